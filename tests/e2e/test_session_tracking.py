"""What OK packets say of a session, through the router as on the plain server: trackers, and status flags."""

from typing import Any

import pymysql
import pytest
from pymysql.constants import COMMAND

from tests.kit.cluster import Cluster
from wire.answers import Ok, SessionChanges, parse_ok

pytestmark = pytest.mark.e2e

SESSION_TRACK = 1 << 23
STATUS = 1 << 0 | 1 << 1 | 1 << 9 | 1 << 13 | 1 << 15
"""In a transaction, autocommit, NO_BACKSLASH_ESCAPES, read only, ANSI_QUOTES (MariaDB)."""

TRACKED = """
USE main
USE information_schema
USE main
SET autocommit = 0
SET autocommit = 1
SET NAMES latin1
SET NAMES latin1
SET time_zone = '+03:00'
SET @x = 1
SET sql_mode = ''
SET character_set_results = NULL
SET NAMES utf8mb4, @y = 2, time_zone = DEFAULT
DO 1
SET session_track_state_change = 1
SET @x = 1
USE main
SET sql_mode = ''
SET SESSION TRANSACTION READ WRITE
SET TRANSACTION READ WRITE
PREPARE tracked FROM 'SELECT 1'
DEALLOCATE PREPARE tracked
CREATE TEMPORARY TABLE tracked (id INT)
INSERT INTO tracked VALUES (1)
DROP TEMPORARY TABLE tracked
SET session_track_system_variables = '*'
SET sql_mode = '', lock_wait_timeout = 5
SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE
SET long_query_time = 3, foreign_key_checks = 0, timestamp = 5
SET CHARACTER SET latin1
SET last_insert_id = 5
SET session_track_system_variables = 'sql_mode,TIME_ZONE'
SET sql_mode = 'ANSI', lock_wait_timeout = 7, time_zone = '+01:00', autocommit = 1
SET session_track_system_variables = ''
SET time_zone = '+02:00'
SET session_track_system_variables = DEFAULT
SET time_zone = '+04:00'
SET session_track_schema = OFF
USE main
SET session_track_state_change = OFF
SET session_track_schema = ON
USE main
SET @x = 2
"""

TRANSACTIONS = """
SET sql_mode = 'NO_BACKSLASH_ESCAPES'
DO 1
USE main
BEGIN
DO (SELECT COUNT(*) FROM note)
COMMIT
SET sql_mode = 'ANSI_QUOTES'
SET @x = 1
DO 1
SET sql_mode = DEFAULT
START TRANSACTION READ ONLY
SET @x = 1
DO 1
COMMIT
SET SESSION TRANSACTION READ ONLY
BEGIN
SET @x = 1
COMMIT
START TRANSACTION READ WRITE
DO (SELECT COUNT(*) FROM note)
ROLLBACK
SET SESSION TRANSACTION READ WRITE
SET TRANSACTION READ ONLY
BEGIN
SET @x = 1
COMMIT AND CHAIN
SET @x = 1
ROLLBACK
BEGIN
ROLLBACK
"""


def ok_of(cnx: "pymysql.Connection[Any]", sql: str) -> Ok:
    cnx._execute_command(COMMAND.COM_QUERY, sql)
    return parse_ok(cnx._read_packet().get_all_data(), bool(cnx.client_flag & SESSION_TRACK))


def told(changes: SessionChanges | None) -> tuple[str | None, bool | None, dict[str, str]]:
    """Names of variables in lower case, without the number of the statement: sessions share connections."""
    found = changes or SessionChanges()
    variables = {name.lower(): value for name, value in found.system_variables}
    variables.pop("statement_id", None)
    return found.schema, found.state_changed, variables


@pytest.fixture
def both(cluster: Cluster, request: pytest.FixtureRequest) -> Any:
    """A connection through the router and one to the server, with the capability flags that the test asks for."""
    through = cluster.connect_kwargs(database="main")
    kwargs = {"autocommit": True, "charset": "utf8mb4", "client_flag": request.param}
    with (
        pymysql.connect(**through, **kwargs) as routed,
        pymysql.connect(**cluster.direct_tcp("main/-"), **kwargs) as plain,
    ):
        yield routed, plain


@pytest.mark.parametrize("both", [SESSION_TRACK], indirect=True)
def test_what_trackers_tell(both: Any) -> None:
    wrong = []
    for sql in TRACKED.strip().splitlines():
        routed, plain = (told(ok_of(cnx, sql).session_changes) for cnx in both)
        if routed != plain:
            wrong.append((sql, routed, plain))
    assert wrong == []


@pytest.mark.parametrize("both", [0], indirect=True)
def test_status_flags(both: Any) -> None:
    wrong = []
    for sql in TRANSACTIONS.strip().splitlines():
        routed, plain = (hex(ok_of(cnx, sql).status & STATUS) for cnx in both)
        if routed != plain:
            wrong.append((sql, routed, plain))
    assert wrong == []


@pytest.mark.parametrize(
    "value", ["'nosuch'", "' sql_mode , TIME_ZONE'", "'*'", "'sql_mode,*'", "NULL", "5", "''", "DEFAULT"]
)
@pytest.mark.parametrize("both", [0], indirect=True)
def test_the_list_of_tracked_variables(both: Any, value: str) -> None:
    found = []
    for cnx in both:
        said: list[Any] = []
        with cnx.cursor() as cursor:
            for sql in (
                f"SET session_track_system_variables = {value}",
                "SHOW WARNINGS",
                "SELECT @@session_track_system_variables",
            ):
                try:
                    cursor.execute(sql)
                    said.append(cursor.fetchall())
                except pymysql.err.MySQLError as error:
                    said.append(error.args)
        found.append(said)
    routed, plain = found
    if value == "DEFAULT":  # the plain server's has an order of its own
        routed[2], plain[2] = (sorted(said[2][0][0].split(",")) for said in found)
    assert routed == plain
