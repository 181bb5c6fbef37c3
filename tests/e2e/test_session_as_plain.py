"""Sequences of statements in one session: through the router each says what it says on the plain server."""

import threading
from typing import Any

import pymysql
import pytest

from tests.kit.cluster import Cluster, wait_for

pytestmark = pytest.mark.e2e

TABLE = "CREATE TABLE as_plain (id INT AUTO_INCREMENT PRIMARY KEY, a INT UNIQUE)"
SEQUENCES: list[tuple[str, ...]] = [
    # SET TRANSACTION is about the next statement where no transaction is opened
    (
        "SET TRANSACTION READ ONLY",
        "INSERT INTO as_plain (a) VALUES (1)",
        "SELECT * FROM as_plain",
        "INSERT INTO as_plain (a) VALUES (2)",
        "SELECT * FROM as_plain",
    ),
    (
        "SET TRANSACTION READ ONLY",
        "SELECT * FROM as_plain",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE",
        "INSERT INTO as_plain (a) VALUES (2)",
        "SELECT ROW_COUNT(), LAST_INSERT_ID()",
        "SET TRANSACTION READ ONLY",
        "START TRANSACTION",
        "INSERT INTO as_plain (a) VALUES (3)",
        "ROLLBACK",
        "INSERT INTO as_plain (a) VALUES (3)",
    ),
    # text PREPARE
    (
        "PREPARE one FROM 'INSERT INTO as_plain (a) VALUES (?)'",
        "SET @a = 5, @b = 6",
        "EXECUTE one USING @a",
        "EXECUTE one USING @b",
        "EXECUTE one USING @a",
        "PREPARE two FROM 'REPLACE INTO as_plain (a) VALUES (?), (7), (?)'",
        "EXECUTE two USING @a, @b",
        "SELECT a FROM as_plain ORDER BY a",
        "PREPARE three FROM '(SELECT ?, ? + 1) UNION SELECT 1, 2'",
        "EXECUTE three USING @a, @b",
        "EXECUTE three USING 17864960750176564435, 'x'",  # MariaDB's
        "PREPARE four FROM ' '",
    ),
    # mistakes are told by PREPARE, and what it names is forgotten
    (
        "PREPARE one FROM 'SELECT 1'",
        "PREPARE one FROM 'bad'",
        "SHOW WARNINGS",
        "EXECUTE one",
        "PREPARE one FROM 'SELECT * FROM nosuch'",
        "PREPARE one FROM 'SELECT nosuch FROM as_plain'",
        "PREPARE one FROM 'SELECT 1; SELECT 2'",
        "PREPARE one FROM 'PREPARE two FROM \"SELECT 1\"'",
        "PREPARE one FROM 'EXECUTE two'",
        "PREPARE one FROM 'LOCK TABLES as_plain READ'",
        "PREPARE one FROM 'BEGIN'",
        "PREPARE one FROM @nobody",
        "PREPARE one FROM 5",
        "PREPARE one FROM CONCAT('SELECT ', '5')",
        "EXECUTE one",
        "EXECUTE IMMEDIATE CONCAT('SELECT ', '6', '+ ?') USING 2 + 3",
        "PREPARE one FROM 'SELECT ?, 1'",
        "EXECUTE one",
        "EXECUTE one USING @a, @b",
        "EXECUTE one USING @@sql_mode",
        "EXECUTE one USING @a",
        "DEALLOCATE PREPARE one",
        "DROP PREPARE one",
        "CREATE TEMPORARY TABLE as_plain_x (x INT)",
        "PREPARE one FROM 'SELECT y FROM as_plain_x'",
        "PREPARE one FROM 'SELECT x FROM as_plain_x'",
        "EXECUTE one",
    ),
    # warnings before an error stay
    (
        "SET sql_mode = ''",
        "INSERT INTO as_plain (a) VALUES (1)",
        "INSERT INTO as_plain (a) VALUES ('1 one'), (2)",
        "SHOW WARNINGS",
        "SELECT @@warning_count, @@error_count",
        "SHOW ERRORS",
        "BEGIN",
        "INSERT INTO as_plain (a) VALUES ('2 two'), ('1 one')",
        "SHOW WARNINGS",
        "SELECT nosuch FROM as_plain",
        "SHOW WARNINGS",
        "SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = 'a warning'",
        "SHOW WARNINGS",
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'an error', MYSQL_ERRNO = 5000",
        "SHOW WARNINGS",
        "RESIGNAL",
    ),
    # variables that one of the servers does not have, and doubles
    (
        "SET transaction_isolation = 'READ-COMMITTED'",
        "SET SESSION transaction_isolation = 'READ-COMMITTED'",
        "SET SESSION tx_isolation = 'READ-COMMITTED'",
        "SET tx_read_only = 1",
        "SET gtid_seq_no = DEFAULT",
        "SET SESSION TRANSACTION READ ONLY",
        "SHOW VARIABLES LIKE 't%isolation'",
        "SET long_query_time = 1.5, timestamp = 1000",
        "SELECT @@long_query_time, @@timestamp",
        "SELECT @@long_query_time, @@timestamp + 1, COUNT(*) FROM as_plain",
        "SET @l = @@long_query_time",
        "SELECT @l",
    ),
    # what is left behind for the next question
    (
        "INSERT INTO as_plain (a) VALUES (1), (2)",
        "SELECT ROW_COUNT()",
        "INSERT IGNORE INTO as_plain (a) VALUES (1), (3)",
        "SHOW WARNINGS",
        "SELECT ROW_COUNT()",
        "UPDATE as_plain SET a = a + 10",
        "SELECT ROW_COUNT()",
        "SELECT a FROM nosuch",
        "SELECT ROW_COUNT()",
    ),
    # ends of transactions that nobody wrote
    (
        "BEGIN",
        "INSERT INTO as_plain (a) VALUES (1)",
        "CREATE TABLE as_plain (id INT)",
        "ROLLBACK",
        "SET autocommit = 0",
        "INSERT INTO as_plain (a) VALUES (2)",
        "SET autocommit = 0",
        "ROLLBACK",
        "INSERT INTO as_plain (a) VALUES (3)",
        "SET autocommit = 1",
        "ROLLBACK",
        "BEGIN",
        "INSERT INTO as_plain (a) VALUES (4)",
        "BEGIN",
        "INSERT INTO as_plain (a) VALUES (5)",
        "ROLLBACK AND CHAIN",
        "INSERT INTO as_plain (a) VALUES (6)",
        "ROLLBACK",
        "SELECT a FROM as_plain ORDER BY a",
    ),
    # LOCK TABLES with autocommit off, as the manual has it: transactions come and go, the locks stay
    (
        "SET autocommit = 0",
        "INSERT INTO as_plain (a) VALUES (1)",
        "LOCK TABLES as_plain WRITE",
        "INSERT INTO as_plain (a) VALUES (2)",
        "ROLLBACK",
        "SELECT COUNT(*) FROM note",
        "INSERT INTO as_plain (a) VALUES (3)",
        "SELECT 1",
        "COMMIT",
        "SELECT COUNT(*) FROM note",
        "INSERT INTO as_plain (a) VALUES (4)",
        "UNLOCK TABLES",
        "ROLLBACK",
        "SELECT a FROM as_plain ORDER BY a",
        "LOCK TABLES nosuch READ",
        "LOCK TABLES as_plain READ",
        "SET autocommit = 1",
        "SELECT COUNT(*) FROM as_plain",
        "SELECT COUNT(*) FROM note",
        "START TRANSACTION",
        "INSERT INTO as_plain (a) VALUES (5)",
        "ROLLBACK",
        "SELECT COUNT(*) FROM as_plain",
    ),
    # with autocommit off, what has no part in a transaction begins none
    (
        "SET autocommit = 0",
        "SELECT NOW() IS NULL, RAND() IS NULL",
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SELECT a FROM as_plain",
        "SET TRANSACTION READ ONLY",
        "ROLLBACK",
        "SELECT CONNECTION_ID() IS NULL",
        "SET TRANSACTION READ ONLY",
        "INSERT INTO as_plain (a) VALUES (1)",
    ),
    # ODBC's SQLColumns
    (
        (
            "SELECT COLUMN_NAME, CASE DATA_TYPE WHEN 'int' THEN @dt:=(4) ELSE @dt:=(-9) END AS DATA_TYPE,"
            " IF(@dt = 4, 10, NULL) AS `RADIX` FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"
            " AND TABLE_NAME LIKE 'as_plain' ORDER BY ORDINAL_POSITION"
        ),
        "SELECT @dt",
    ),
    # to a client whose character set is binary every string is, and words are strings
    (
        "SET NAMES binary",
        "SET autocommit = OFF, completion_type = CHAIN",
        "SET SESSION transaction_isolation = 'READ-COMMITTED'",
        "SELECT @@autocommit, @@completion_type",
        "SET character_set_results = latin1, sql_mode = NO_BACKSLASH_ESCAPES",
        "SELECT '\\'",
        "SET autocommit = 'MAYBE'",
    ),
    # the keyspace is there already
    (
        "BEGIN",
        "INSERT INTO as_plain (a) VALUES (1)",
        "CREATE DATABASE main",
        "ROLLBACK",
        "SELECT a FROM as_plain",
        "CREATE DATABASE /*!32312 IF NOT EXISTS*/ main CHARACTER SET utf8mb4",
        "SHOW WARNINGS",
        "CREATE DATABASE",
    ),
    # warnings are those of the last statement that had any
    (
        "SELECT 1 + 'one'",
        "SELECT 1 + 'two'",
        "SHOW WARNINGS",
        "INSERT INTO as_plain (a) VALUES (1)",
        "SHOW WARNINGS",
    ),
    # user variables in the places of literals
    (
        "SET @bits = b'0100000101000010', @hex = x'4142', @one = 1",
        "SELECT @bits, @bits + 0, @hex = 'AB', @hex + 0",
        "SELECT CONCAT('v: ', @one) UNION SELECT 'x'",
        "(SELECT @one)",
        "((SELECT @one) UNION SELECT 2) ORDER BY 1",
        "INSERT INTO as_plain (id, a) VALUES (1, 3), (2, 2)",
        "SELECT GROUP_CONCAT(v) FROM (SELECT a AS v FROM as_plain ORDER BY @one, id) AS t",
        "SELECT a, id FROM as_plain GROUP BY id, @one ORDER BY id",
    ),
    # stored programs read and set the session's user variables
    (
        "CREATE TRIGGER as_plain_t BEFORE INSERT ON as_plain FOR EACH ROW SET NEW.a = @by, @count = @count + 1",
        "DROP FUNCTION IF EXISTS as_plain_f",
        "CREATE FUNCTION as_plain_f() RETURNS INT DETERMINISTIC RETURN @by",
        "DROP PROCEDURE IF EXISTS as_plain_p",
        "CREATE PROCEDURE as_plain_p() BEGIN SET @told = @by; SIGNAL SQLSTATE '45000'; END",
        "SET @by = 7, @count = 0",
        "INSERT INTO as_plain () VALUES ()",
        "SELECT a, @count, LAST_INSERT_ID() FROM as_plain",
        "BEGIN",
        "SET @by = 8",
        "INSERT INTO as_plain () VALUES ()",
        "PREPARE one FROM 'INSERT INTO as_plain (id) VALUES (?)'",
        "SET @id = 9, @by = 'none'",
        "EXECUTE one USING @id",
        "SET @by = 9",
        "EXECUTE one USING @id",
        "ROLLBACK",
        "SELECT a, @count FROM as_plain",
        "SELECT as_plain_f(), as_plain_f() + 1 FROM as_plain WHERE a < as_plain_f()",
        "SET @by = as_plain_f() + 1",
        "CALL as_plain_p()",
        "SELECT @by, @told, @nobody",
        # FOUND_ROWS() is of what read them, and text is itself in whatever characters it is told
        "SELECT as_plain_f() FROM (SELECT 1 AS x UNION SELECT 2 UNION SELECT 3) AS three LIMIT 2",
        "SELECT FOUND_ROWS()",
        "SELECT as_plain_f() + COUNT(*) FROM as_plain INTO @one",
        "SELECT FOUND_ROWS()",
        "SELECT as_plain_f() INTO @`o``n'e`",
        "SELECT @`o``n'e`, @\"o`n'e\"",
        "SET @by = 5, @other = 'ö'",
        "SET NAMES latin1",
        "SELECT as_plain_f(), (@other := CONCAT(@other, '!')) = '!'",
        "SELECT HEX(@other), @by",
        "SELECT SQL_CALC_FOUND_ROWS 1 UNION SELECT 2 LIMIT 1",
        "SELECT FOUND_ROWS()",
        "SET NAMES utf8mb4",
        "DROP PROCEDURE as_plain_p",
        "DROP FUNCTION as_plain_f",
    ),
    # where else a statement reads the session's state
    (
        "SET @b = 'zz', @n = '5'",
        "CREATE TABLE as_plain_x (u VARCHAR(9) DEFAULT 'd') AS (SELECT CONCAT(@b, 'x'), LAST_INSERT_ID(), @n AS n)",
        "SELECT * FROM as_plain_x",
        "DROP TABLE as_plain_x",
        "PREPARE one FROM 'CREATE TABLE as_plain_x WITH t AS (SELECT @b AS b) SELECT b, ? AS n, USER() > 1 FROM t'",
        "EXECUTE one USING @n",
        "SELECT * FROM as_plain_x",
        "DROP TABLE as_plain_x",
        "INSERT INTO as_plain (a) VALUES (1), (2)",
        "EXPLAIN SELECT id FROM as_plain WHERE a = @n - 3",
        "EXPLAIN SELECT CONCAT(@b, '`x') FROM as_plain",
        "PREPARE two FROM 'SELECT ? + a, ?, @b FROM as_plain'",
        "EXECUTE two USING @n, @b",
        "PREPARE three FROM 'SELECT -?, DATABASE()'",
        "EXECUTE three USING @n",
    ),
    # procedures begin and end transactions: what they leave open is the session's
    (
        "DROP PROCEDURE IF EXISTS as_plain_p",
        "DROP PROCEDURE IF EXISTS as_plain_q",
        "DROP PROCEDURE IF EXISTS as_plain_r",
        (
            "CREATE PROCEDURE as_plain_p() BEGIN SET @calls = 1; START TRANSACTION;"
            " INSERT INTO as_plain () VALUES (); END"
        ),
        (
            "CREATE PROCEDURE as_plain_q() BEGIN INSERT INTO as_plain () VALUES (); COMMIT;"
            " INSERT INTO as_plain () VALUES (); END"
        ),
        "CREATE PROCEDURE as_plain_r() BEGIN SET autocommit = 0; INSERT INTO as_plain () VALUES (); END",
        "CALL as_plain_p()",
        "SELECT COUNT(*) FROM as_plain",
        "COMMIT",
        "CALL as_plain_p()",
        "INSERT INTO as_plain () VALUES ()",
        "ROLLBACK",
        "SELECT COUNT(*) FROM as_plain",
        "CALL as_plain_r()",
        "SELECT @@autocommit",
        "ROLLBACK",
        "SELECT COUNT(*) FROM as_plain",
        "CALL as_plain_q()",
        "ROLLBACK",
        "SELECT COUNT(*) FROM as_plain",
        "INSERT INTO as_plain () VALUES ()",
        "SET autocommit = 1",
        "ROLLBACK",
        "SELECT COUNT(*) FROM as_plain",
        "CREATE TEMPORARY TABLE as_plain_t (id INT)",
        "SET autocommit = 0",
        "CALL as_plain_q()",
        "SET autocommit = 1",
        "INSERT INTO as_plain () VALUES ()",
        "CALL as_plain_p()",
        "ROLLBACK",
        "SELECT COUNT(*) FROM as_plain",
        "DROP TEMPORARY TABLE as_plain_t",
        "SET TRANSACTION READ ONLY",
        "CALL as_plain_p()",
        "SELECT @calls",
        "CALL as_plain_nosuch()",
        "DROP PROCEDURE as_plain_p",
        "DROP PROCEDURE as_plain_q",
        "DROP PROCEDURE as_plain_r",
    ),
    # session variables that programs SET are the session's
    (
        "DROP PROCEDURE IF EXISTS as_plain_p",
        "DROP PROCEDURE IF EXISTS as_plain_q",
        "DROP FUNCTION IF EXISTS as_plain_f",
        (
            "CREATE PROCEDURE as_plain_p(n INT) BEGIN SET time_zone = '+02:00', @@session.group_concat_max_len = n;"
            " SELECT @@time_zone; SET sql_mode = 'ANSI'; SET SESSION max_join_size = 1000, @n = n; END"
        ),
        (
            "CREATE PROCEDURE as_plain_q() BEGIN SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;"
            " SET lc_time_names = 'de_DE'; SIGNAL SQLSTATE '45000'; END"
        ),
        (
            "CREATE FUNCTION as_plain_f(n INT) RETURNS INT DETERMINISTIC"
            " BEGIN SET SESSION div_precision_increment = n; RETURN 1; END"
        ),
        "CREATE TRIGGER as_plain_t BEFORE INSERT ON as_plain FOR EACH ROW SET SESSION default_week_format = NEW.a",
        "SET @old = @@sql_mode, group_concat_max_len = 50",
        "CALL as_plain_p(77)",
        "SELECT @@time_zone, @@group_concat_max_len, @@sql_mode = @old, @@max_join_size, @@sql_big_selects, @n",
        "SHOW VARIABLES LIKE 'time\\_zone'",
        "SET time_zone = DEFAULT, sql_big_selects = 1",
        "SELECT @@time_zone, @@max_join_size, @@sql_big_selects",
        "CALL as_plain_q()",
        "SELECT @@lc_time_names, MONTHNAME('2026-05-05')",
        "SHOW VARIABLES LIKE 't%isolation'",
        "SELECT as_plain_f(9)",
        "SELECT @@div_precision_increment, 1 / 3",
        "SET @third = as_plain_f(6) / 3",
        "SELECT @@div_precision_increment, @third",
        "DROP FUNCTION IF EXISTS as_plain_g",
        "CREATE FUNCTION as_plain_g() RETURNS INT READS SQL DATA RETURN @@autocommit + 10",
        "SELECT as_plain_g()",
        "SET autocommit = 0",
        "SELECT as_plain_g()",
        "INSERT INTO as_plain (a) VALUES (as_plain_g())",
        "SELECT a, as_plain_g() FROM as_plain",
        "ROLLBACK",
        "SELECT a, as_plain_g() FROM as_plain",
        "SET autocommit = 1",
        "SELECT as_plain_g()",
        "DROP FUNCTION as_plain_g",
        "INSERT INTO as_plain (a) VALUES (3)",
        "SELECT @@default_week_format, WEEK('2026-01-01')",
        "BEGIN",
        "CALL as_plain_p(88)",
        "SELECT NOW() = UTC_TIMESTAMP() + INTERVAL 2 HOUR, @@group_concat_max_len",
        "SET group_concat_max_len = 50, time_zone = DEFAULT",
        "SELECT GROUP_CONCAT(REPEAT('a', 60)), @@time_zone",
        "INSERT INTO as_plain (a) VALUES (as_plain_f(4) + 4)",
        "SELECT @@default_week_format, 1 / 3",
        "ROLLBACK",
        "SELECT @@default_week_format, @@group_concat_max_len",
        "PREPARE one FROM 'CALL as_plain_p(?)'",
        "EXECUTE one USING @n",
        "SELECT @@group_concat_max_len",
        "DROP PROCEDURE as_plain_p",
        "DROP PROCEDURE as_plain_q",
        "DROP FUNCTION as_plain_f",
    ),
    # a function that SETs a variable which the statement reads
    (
        "DROP FUNCTION IF EXISTS as_plain_f",
        "CREATE FUNCTION as_plain_f(n INT) RETURNS INT DETERMINISTIC BEGIN SET @x = n; RETURN n + 1; END",
        "SET @x = 5, @y = 3",
        "SELECT @y, as_plain_f(7), @x, @x + 1, 'it''s @y'",
        "INSERT INTO as_plain (a) VALUES (as_plain_f(1) + @x), (as_plain_f(@y) + @x + 10)",
        "SELECT a, as_plain_f(a), @x FROM as_plain ORDER BY @y, a",
        "SELECT @x",
        "DROP FUNCTION as_plain_f",
    ),
    # SET TRANSACTION holds on where a statement has failed before it read anything
    (
        "SET TRANSACTION READ ONLY",
        "SELECT * FROM nosuch",
        "SELEC",
        "INSERT INTO as_plain (a) VALUES (1)",
        "DELETE FROM as_plain",
        "SELECT COUNT(*) FROM as_plain",
        "INSERT INTO as_plain (a) VALUES (1)",
        "SET TRANSACTION READ ONLY",
        "SELECT nosuch FROM as_plain",
        "DELETE FROM as_plain",
        "SELECT COUNT(*) FROM as_plain",
    ),
    # programs that read ROW_COUNT() and FOUND_ROWS() before a statement of their own
    (
        "DROP FUNCTION IF EXISTS as_plain_f",
        "DROP FUNCTION IF EXISTS as_plain_g",
        "DROP PROCEDURE IF EXISTS as_plain_p",
        "CREATE FUNCTION as_plain_f() RETURNS INT NO SQL RETURN FOUND_ROWS()",
        "CREATE FUNCTION as_plain_g() RETURNS INT NO SQL RETURN ROW_COUNT()",
        (
            "CREATE PROCEDURE as_plain_p() BEGIN SELECT ROW_COUNT(), FOUND_ROWS(), LAST_INSERT_ID();"
            " UPDATE as_plain SET a = a + 1 ORDER BY a DESC; SELECT ROW_COUNT(); END"
        ),
        "SELECT a FROM as_plain",  # what DDL leaves differs from one time to the next
        *(
            one
            for statement in (
                "INSERT INTO as_plain (a) VALUES (11), (21), (31)",
                "SELECT a FROM as_plain WHERE a > 11",
                "UPDATE as_plain SET a = a + 1 WHERE a > 20 ORDER BY a DESC",
                "DELETE FROM as_plain WHERE a = 1",
                "SET @x = 1",
                "DO 1",
            )
            for one in (
                statement,
                "SELECT as_plain_f(), as_plain_g()",
                statement,
                "CALL as_plain_p()",
                "SELECT a FROM as_plain",
                statement,
                "BEGIN",
                statement,
                "SELECT as_plain_g()",
                "SELECT as_plain_g() + 1 FROM as_plain LIMIT 1",
                statement,
                "INSERT INTO as_plain (a) VALUES (as_plain_g() + 1000)",
                "SELECT MAX(a) FROM as_plain",
                "ROLLBACK",
            )
        ),
        "DROP PROCEDURE as_plain_p",
        "DROP FUNCTION as_plain_f",
        "DROP FUNCTION as_plain_g",
    ),
    # what a sequence gave this transaction (MariaDB)
    (
        "CREATE SEQUENCE as_plain_s",
        "BEGIN",
        "SELECT NEXTVAL(as_plain_s), NEXTVAL(as_plain_s)",
        "SELECT LASTVAL(as_plain_s)",
        "INSERT INTO as_plain (a) SELECT PREVIOUS VALUE FOR as_plain_s",
        "SELECT a FROM as_plain",
        "ROLLBACK",
        "DROP SEQUENCE as_plain_s",
    ),
    # a procedure's own cursor shows in the status of its results
    (
        "INSERT INTO as_plain (a) VALUES (1), (2)",
        "DROP PROCEDURE IF EXISTS as_plain_p",
        (
            "CREATE PROCEDURE as_plain_p() BEGIN DECLARE n INT; DECLARE c CURSOR FOR SELECT a FROM as_plain;"
            " OPEN c; FETCH c INTO n; SELECT n; FETCH c INTO n; SELECT n; CLOSE c; CLOSE c; END"
        ),
        "CALL as_plain_p()",
        "SELECT 3",
        "DROP PROCEDURE as_plain_p",
    ),
    # what drivers and ORMs write: a quoted USE, SIGNAL, comments that hide a column from older servers
    (
        "SET sql_mode = 'ANSI_QUOTES'",
        'USE "information_schema"',
        "SELECT DATABASE()",
        'USE "main"',
        "SET sql_mode = DEFAULT",
        'USE "main"',
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'own', MYSQL_ERRNO = 1234",
        "SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = 'noted', MYSQL_ERRNO = 1235",
        "SHOW WARNINGS",
        "RESIGNAL",
        (
            "SELECT index_name AS i /*!50000 , non_unique AS n */ FROM information_schema.statistics"
            " WHERE table_schema = DATABASE() AND table_name = 'as_plain'"
        ),
        "SELECT COUNT(*) /*!50000 + 1 */ FROM as_plain, information_schema.schemata LIMIT 0",
    ),
    # FOUND_ROWS() of what is no SELECT
    (
        "INSERT INTO as_plain (a) VALUES (1), (2), (3)",
        *(
            one
            for statement in (
                "UPDATE as_plain SET a = a + 10 WHERE id > 1",
                "UPDATE as_plain SET a = 1 WHERE a > 100",
                "DELETE FROM as_plain WHERE a = 100",
                "SHOW VARIABLES LIKE 'sql_mode'",
                "SHOW DATABASES LIKE 'main'",
                "SHOW CREATE TABLE as_plain",
                "SHOW COUNT(*) WARNINGS",
                "SHOW WARNINGS",
                "CHECKSUM TABLE as_plain",
                "EXPLAIN SELECT a FROM as_plain",
                "DO 1",
                "SELECT a FROM as_plain WHERE a = 1 INTO @x",
                "SELECT a FROM as_plain WHERE a = 0 INTO @x",
                "SELECT SQL_CALC_FOUND_ROWS a FROM as_plain LIMIT 1",
                "SELECT GET_LOCK('as plain', 0)",
                "INSERT INTO as_plain (a) VALUES (50) RETURNING a",
                "DELETE FROM as_plain WHERE a = 50 RETURNING a",
            )
            for one in ("SELECT a FROM as_plain", statement, "SELECT FOUND_ROWS()", "SELECT ROW_COUNT()")
        ),
        "DROP PROCEDURE IF EXISTS as_plain_p",
        "CREATE PROCEDURE as_plain_p() BEGIN SELECT 1; UPDATE as_plain SET a = a + 100; END",
        "SELECT a FROM as_plain",
        "CALL as_plain_p()",
        "SELECT FOUND_ROWS()",
        "DROP PROCEDURE as_plain_p",
    ),
    # variables that live in one connection
    (
        "SET insert_id = 55",
        "SELECT @@insert_id",
        "INSERT INTO as_plain (a) VALUES (1)",
        "SELECT LAST_INSERT_ID(), @@insert_id",
        "BEGIN",
        "SET insert_id = 77, @x = 5",
        "INSERT INTO as_plain (a) VALUES (1)",
        "INSERT INTO as_plain (a) VALUES (@x), (@x + 1)",
        "SELECT id, a FROM as_plain",
        "ROLLBACK",
        "SET insert_id = 90",
        "SET insert_id = 91",
        "INSERT INTO as_plain (id, a) VALUES (12, 12)",
        "SELECT @@insert_id",
        "INSERT INTO as_plain (a) VALUES (13)",
        "SELECT @@insert_id, MAX(id) FROM as_plain",
        "SET rand_seed1 = 5, rand_seed2 = 7",
        "SELECT RAND(), RAND()",
        "SET @r = RAND(), sql_mode = ''",
        "SELECT @r, RAND(), a FROM as_plain",
        "SHOW PROFILES",
        "SET profiling = 1",
        "SELECT @@profiling",
        "SHOW VARIABLES LIKE 'profiling'",
        "SET profiling = 0, nosuch = 1",
        "SELECT @@profiling",
        "SET insert_id = 'x'",
        "SET optimizer_trace = 'enabled=on'",
        "SELECT a FROM as_plain WHERE a = 1",
        "SELECT query FROM information_schema.optimizer_trace",
    ),
    # what a server reads of executable comments, as dumps have them
    (
        "/*M!999999\\- enable the sandbox mode */ \n\n/*!40101 SET @a = 1 */",
        "SET @b = 2/*!40102 , @c = CONCAT('x', 3) *//*!999999 , @d = 4 */",
        "/*!50003 SET */ /*!40101 @e = 5*/ /* six */",
        "SELECT @a, @b, @c, @d, @e",
        "/*!40100 SET sql_mode = '' */",
        "SET SQL_QUOTE_SHOW_CREATE = 1/*!40102 , sql_mode = CONCAT(@@sql_mode, _utf8 ',ANSI') */",
        "SELECT @@sql_mode",
        "START TRANSACTION /*!40100 WITH CONSISTENT SNAPSHOT */",
        (
            "/*!50003 CREATE*/ /*!50017 DEFINER=CURRENT_USER*/ /*!50003 TRIGGER as_plain_c BEFORE INSERT ON as_plain"
            " FOR EACH ROW SET NEW.a = 9 */"
        ),
        "INSERT INTO as_plain (a) VALUES (1)",
        "SELECT a FROM as_plain",
    ),
    # comments alone
    ("--", "/* nothing */", "# nothing", "/*!99999 SELECT 1 */", "/*!*/", " /*! */;", " ", ";"),
    ("SET character_set_results = NULL", "SHOW VARIABLES LIKE 'character_set_results'"),
]


def said(cnx: "pymysql.Connection[Any]", sql: str) -> tuple[Any, ...]:
    """Everything that the client sees of a statement, rows in any order."""
    with cnx.cursor() as cursor:
        try:
            affected = cursor.execute(sql)
            names = [column[0] for column in cursor.description or ()]
            rows = sorted(cursor.fetchall())
            while cursor.nextset():
                rows += sorted(cursor.fetchall())
            return sql, affected, cursor.lastrowid, names, rows
        except pymysql.err.MySQLError as error:
            return sql, error.args[0]


@pytest.mark.parametrize("sequence", SEQUENCES, ids=range(len(SEQUENCES)))
def test_sequences(cluster: Cluster, sequence: tuple[str, ...]) -> None:
    told = []
    for kwargs in (cluster.connect_kwargs(database="main"), cluster.direct_tcp("main/-")):
        cluster.query(TABLE, database="main")
        try:
            with pymysql.connect(**kwargs, autocommit=True) as cnx:
                told.append([said(cnx, sql) for sql in sequence])
        finally:
            cluster.query("DROP TABLE as_plain", database="main")
    assert [pair for pair in zip(*told, strict=True) if pair[0] != pair[1]] == []


def test_found_rows_after_a_call_without_rows_is_nobody_elses(cluster: Cluster) -> None:
    """The connection may have had another session's SELECT last."""
    with cluster.connect("main") as cnx:
        said(cnx, "DROP PROCEDURE IF EXISTS as_plain_none")
        said(cnx, "CREATE PROCEDURE as_plain_none() BEGIN END")
        said(cnx, "SELECT 1 UNION SELECT 2")
        assert said(cnx, "CALL as_plain_none()")[1] == 0
        assert said(cnx, "SELECT FOUND_ROWS()")[1] == 1235
        said(cnx, "SELECT 1 UNION SELECT 2")
        assert said(cnx, "SELECT FOUND_ROWS()")[-1] == [(2,)]
        said(cnx, "DROP PROCEDURE as_plain_none")


def test_a_sleep_that_is_killed(cluster: Cluster) -> None:
    sql = "SELECT SLEEP(25)"
    running = f"SELECT id FROM information_schema.processlist WHERE info = '{sql}'"
    told = []
    for kwargs in (cluster.direct_tcp("main/-"), cluster.connect_kwargs(database="main")):
        with pymysql.connect(**kwargs) as cnx, pymysql.connect(**kwargs) as other:

            def kill(cnx: Any = cnx, other: Any = other) -> None:
                wait_for(lambda: bool(cluster.query_direct("main/-", running)), 20, "it does not run")
                said(other, f"KILL QUERY {cnx.thread_id()}")

            killer = threading.Thread(target=kill)
            killer.start()
            told.append(said(cnx, sql))
            killer.join()
            told[-1] += said(cnx, "SELECT 1")
    assert told[0] == told[1]


def test_counters_of_the_session(cluster: Cluster) -> None:
    told = []
    for kwargs in (cluster.direct("main/-"), cluster.connect_kwargs(database="main")):
        cluster.query(TABLE, database="main")
        try:
            with pymysql.connect(**{**kwargs, "autocommit": True}) as cnx:
                told.append(
                    [
                        said(cnx, sql)
                        for sql in (
                            "INSERT INTO as_plain (a) VALUES (1), (2), (3)",
                            "FLUSH STATUS",
                            "SELECT a FROM as_plain WHERE a = 2",
                            "SELECT id FROM as_plain WHERE id = 3",
                            "SHOW SESSION STATUS LIKE 'Handler_read_key'",
                        )
                    ]
                )
        finally:
            cluster.query("DROP TABLE as_plain", database="main")
    assert told[0] == told[1]
