"""What clients are told of their transactions (session_track_transaction_info), byte for byte as by the plain server.

The scripts hold what a tracker tells of: letters of each kind, implicit and explicit transactions, what chains and what
ends them, characteristics, errors, locked and temporary tables. Both ways in which rows end are tried, since servers
tell at different moments then.
"""

from contextlib import closing

import pymysql
import pytest

from tests.kit.cluster import PASSWORD, USER, Cluster
from tests.kit.told import Told
from wire.constants import CLIENT_DEPRECATE_EOF, CLIENT_SESSION_TRACK

pytestmark = pytest.mark.e2e

TABLES = (
    "CREATE TABLE tracked (id INT AUTO_INCREMENT PRIMARY KEY, a INT)",
    "CREATE TABLE tracked_isam (id INT) ENGINE = MyISAM",
)

SCRIPTS = {
    "letters": """
SET session_track_transaction_info = 'STATE'
BEGIN
INSERT INTO tracked (a) VALUES (1)
DO 1
SELECT 1
SELECT * FROM tracked
DO 1
INSERT INTO tracked_isam VALUES (1)
SELECT * FROM tracked_isam
SELECT * FROM tracked LIMIT 1
SELECT * FROM tracked FOR UPDATE
SAVEPOINT a
ROLLBACK TO a
RELEASE SAVEPOINT a
UPDATE tracked SET a = 2
COMMIT
COMMIT
INSERT INTO tracked (a) VALUES (1)
SELECT * FROM tracked
DO 1
SET @x = 1
BEGIN
SELECT SLEEP(0)
SELECT @@session_track_transaction_info, @x
SELECT LAST_INSERT_ID()
SHOW WARNINGS
SELECT a INTO @z FROM tracked ORDER BY id LIMIT 1
SET @x = 2
BEGIN
BEGIN
ROLLBACK
""",
    "characteristics": """
SET session_track_transaction_info = CHARACTERISTICS
BEGIN
SELECT 1
COMMIT AND CHAIN
ROLLBACK AND CHAIN
COMMIT
COMMIT AND CHAIN
COMMIT
START TRANSACTION READ ONLY
BEGIN
SELECT * FROM tracked
INSERT INTO tracked (a) VALUES (1)
DO 1
ROLLBACK
START TRANSACTION READ WRITE
COMMIT
START TRANSACTION WITH CONSISTENT SNAPSHOT
SELECT * FROM tracked
COMMIT
START TRANSACTION READ ONLY, WITH CONSISTENT SNAPSHOT
COMMIT AND CHAIN
INSERT INTO tracked (a) VALUES (1)
COMMIT AND NO CHAIN
SET TRANSACTION ISOLATION LEVEL READ COMMITTED
BEGIN
SELECT * FROM tracked
COMMIT AND CHAIN
DO 1
COMMIT
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY
SELECT 1
DO 1
SELECT * FROM tracked
DO 1
SET TRANSACTION READ WRITE
SET TRANSACTION READ WRITE
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ
SET SESSION TRANSACTION READ WRITE
COMMIT
BEGIN
COMMIT
SET TRANSACTION READ ONLY
START TRANSACTION
BEGIN
INSERT INTO tracked (a) VALUES (1)
ROLLBACK
""",
    "without autocommit": """
SET session_track_transaction_info = 'CHARACTERISTICS'
SET autocommit = 0
DO 1
SELECT 1
INSERT INTO tracked (a) VALUES (2)
ROLLBACK
SET TRANSACTION READ ONLY
SELECT * FROM tracked
INSERT INTO tracked (a) VALUES (2)
DO 1
COMMIT
SELECT * FROM tracked LIMIT 1
SELECT 1
DO 1
COMMIT AND CHAIN
UPDATE tracked SET a = 3
BEGIN
COMMIT
INSERT INTO tracked (a) VALUES (2)
SET autocommit = 1
INSERT INTO tracked (a) VALUES (2)
""",
    "errors and ends": """
SET session_track_transaction_info = 'STATE'
BEGIN
SELECT * FROM nosuch
INSERT INTO tracked (id) VALUES (1)
INSERT INTO tracked (id) VALUES (1)
DO 1
INSERT INTO tracked (a) VALUES (7)
CREATE TABLE tracked_more (id INT)
BEGIN
INSERT INTO tracked (a) VALUES (1)
DROP TABLE tracked_more
LOCK TABLES tracked WRITE
INSERT INTO tracked (a) VALUES (1)
SELECT * FROM tracked
UNLOCK TABLES
LOCK TABLES tracked READ, tracked_isam WRITE
BEGIN
ROLLBACK
CREATE TEMPORARY TABLE tracked_temporary (id INT)
BEGIN
INSERT INTO tracked_temporary VALUES (1)
SELECT * FROM tracked_temporary
DO 1
COMMIT
DROP TEMPORARY TABLE tracked_temporary
USE main
""",
    "turned off and on": """
BEGIN
BEGIN
INSERT INTO tracked (a) VALUES (1)
SELECT * FROM tracked
COMMIT
START TRANSACTION WITH CONSISTENT SNAPSHOT
ROLLBACK
SET autocommit = 0
INSERT INTO tracked (a) VALUES (1)
SELECT * FROM tracked
COMMIT
SET autocommit = 1
SET session_track_transaction_info = 'STATE'
SET session_track_transaction_info = 'CHARACTERISTICS'
SET session_track_transaction_info = 'CHARACTERISTICS'
BEGIN
SET session_track_transaction_info = 'STATE'
SELECT @@session_track_transaction_info
INSERT INTO tracked (a) VALUES (1)
SET session_track_transaction_info = 'nosuch'
SET lock_wait_timeout = 5, session_track_transaction_info = 7
SET session_track_transaction_info = DEFAULT
INSERT INTO tracked (a) VALUES (1)
COMMIT
BEGIN
COMMIT
""",
}


@pytest.fixture(params=[0, CLIENT_DEPRECATE_EOF], ids=["eof", "ok"])
def caps(request: pytest.FixtureRequest) -> int:
    return int(request.param) | CLIENT_SESSION_TRACK


@pytest.mark.parametrize("script", SCRIPTS)
def test_as_by_the_plain_server(cluster: Cluster, caps: int, script: str) -> None:
    straight = cluster.direct("main/-")
    told = []
    statements = SCRIPTS[script].strip().splitlines()
    for address, user, password in (
        (("127.0.0.1", cluster.port), USER, PASSWORD),
        (straight["unix_socket"], straight["user"], straight["password"]),
    ):
        with closing(pymysql.connect(**straight)) as plain, plain.cursor() as cursor:
            for sql in TABLES:
                cursor.execute(sql)
            try:
                with Told(address, user, password, caps) as client:
                    client.ends("USE main")
                    told.append([(sql, client.ends(sql)) for sql in statements])
            finally:
                cursor.execute("DROP TABLE tracked, tracked_isam")
    assert [pair for pair in zip(*told, strict=True) if pair[0] != pair[1]] == []


def test_transactions_of_several_shards(cluster: Cluster, caps: int) -> None:
    with Told(("127.0.0.1", cluster.port), USER, PASSWORD, caps) as client:
        for sql in ("USE commerce", "SET session_track_transaction_info = 'STATE'", "BEGIN"):
            client.ends(sql)
        client.ends("SELECT customer_id FROM customer ORDER BY customer_id")
        ((*_, told),) = client.ends("UPDATE customer SET name = 'x' WHERE customer_id IN (1, 2, 3, 4, 5, 6)")
        assert (told or b"").endswith(b"\x08T_R_W_S_")
        ((*_, told),) = client.ends("COMMIT")
        assert (told or b"").endswith(b"\x08________")
        ((*_, told),) = client.ends("UPDATE customer SET name = 'x' WHERE customer_id IN (1, 2, 3, 4, 5, 6)")
        assert told is None
