"""Prepared statements and their cursors, packet by packet as the MySQL behind answers them."""

import struct
from typing import Any

import mysql.connector
import pymysql
import pytest
from pymysql.constants import COMMAND

from tests.kit.cluster import Cluster, wait_for

pytestmark = pytest.mark.e2e

READ_ONLY = 1
CURSOR_EXISTS, LAST_ROW_SENT = 64, 128


class Raw:
    """The binary protocol by hand, on a login of PyMySQL (classic EOF packets)."""

    def __init__(self, kwargs: dict[str, Any], **more: Any) -> None:
        self.cnx = pymysql.connect(**kwargs, autocommit=True, **{"charset": "utf8mb4", **more})

    def query(self, sql: str) -> Any:
        with self.cnx.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else cursor.rowcount

    def command(self, command: int, body: bytes) -> None:
        self.cnx._execute_command(command, body)

    def packet(self) -> bytes:
        data: bytes = self.cnx._read_packet().get_all_data()
        return data

    def prepare(self, sql: str | bytes) -> tuple[int, int, int]:
        """Statement id, parameters, columns."""
        self.command(COMMAND.COM_STMT_PREPARE, sql if isinstance(sql, bytes) else sql.encode())
        head = self.packet()
        number, columns, parameters = struct.unpack_from("<IHH", head, 1)
        for count in (parameters, columns):
            for _ in range(count + bool(count)):
                self.packet()
        return number, parameters, columns

    def send_execute(self, number: int, flags: int = 0, strings: list[bytes] | None = None) -> None:
        body = struct.pack("<IBI", number, flags, 1)
        if strings:
            body += b"\0" * ((len(strings) + 7) // 8) + b"\1" + b"\xfd\0" * len(strings)
            body += b"".join(bytes((len(one),)) + one for one in strings)
        self.command(COMMAND.COM_STMT_EXECUTE, body)

    def answer(self) -> list[Any]:
        """Rows, then status; or the error's number."""
        try:
            first = self.packet()
            if first[0] == 0:
                return [struct.unpack_from("<H", first, 3)[0]]
            for _ in range(first[0]):
                self.packet()
            eof = self.packet()
            status = struct.unpack_from("<H", eof, 3)[0]
            if status & CURSOR_EXISTS:
                return ["cursor", status & (CURSOR_EXISTS | LAST_ROW_SENT)]
            return self.rows()
        except pymysql.err.Error as error:
            return [error.args[0]]

    def rows(self) -> list[Any]:
        found: list[Any] = []
        while True:
            packet = self.packet()
            if packet[0] == 0xFE and len(packet) == 5:
                return [*found, struct.unpack_from("<H", packet, 3)[0] & (CURSOR_EXISTS | LAST_ROW_SENT)]
            found.append(packet)

    def execute(self, number: int, flags: int = 0, strings: list[bytes] | None = None) -> list[Any]:
        self.send_execute(number, flags, strings)
        return self.answer()

    def fetch(self, number: int, count: int) -> list[Any]:
        self.command(COMMAND.COM_STMT_FETCH, struct.pack("<II", number, count))
        try:
            return self.rows()
        except pymysql.err.Error as error:
            return [error.args[0]]

    def simple(self, command: int, number: int) -> list[Any]:
        self.command(command, struct.pack("<I", number))
        try:
            self.packet()
        except pymysql.err.Error as error:
            return [error.args[0]]
        return ["ok"]


def both(cluster: Cluster, story: Any, **more: Any) -> Any:
    """What `story` gives through the router, after comparing it with the server's own."""
    told = []
    for kwargs in (cluster.connect_kwargs(database="main"), cluster.direct_tcp("main/-")):
        raw = Raw(kwargs, **more)
        told.append(story(raw))
        raw.cnx.close()
    assert told[0] == told[1]
    return told[0]


def test_a_cursor_as_from_the_server_behind(cluster: Cluster) -> None:
    def story(raw: Raw) -> list[Any]:
        raw.query("DELETE FROM note")
        raw.query("INSERT INTO note (id, body) VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e')")
        number, _, _ = raw.prepare("SELECT id, body FROM note ORDER BY id")
        told: list[Any] = [raw.fetch(number, 1)]
        told.append(raw.execute(number, READ_ONLY))
        told += [raw.fetch(number, count) for count in (2, 3, 1, 1)]
        told += [raw.execute(number, READ_ONLY), raw.fetch(number, 9), raw.fetch(number, 9)]
        told += [raw.execute(number, READ_ONLY), raw.query("SELECT 1"), raw.fetch(number, 1)]
        told += [raw.simple(COMMAND.COM_STMT_RESET, number), raw.fetch(number, 1)]
        empty, _, _ = raw.prepare("SELECT id FROM note WHERE id < 0")
        told += [raw.execute(empty, READ_ONLY), raw.fetch(empty, 1), raw.fetch(empty, 1)]
        failing, _, _ = raw.prepare("SELECT (SELECT id FROM note)")
        told += [raw.execute(failing, READ_ONLY), raw.fetch(failing, 1)]
        update, _, _ = raw.prepare("UPDATE note SET body = 'x' WHERE id = 1")
        told += [raw.execute(update, READ_ONLY), raw.fetch(update, 1)]
        return told

    both(cluster, story)


def test_a_cursor_over_shards_and_a_large_one(cluster: Cluster) -> None:
    cluster.clear("counter")
    raw = Raw(cluster.connect_kwargs())
    raw.query(f"INSERT INTO counter (id, owner) VALUES {', '.join(f'({n}, {n})' for n in range(1, 501))}")
    number, _, _ = raw.prepare("SELECT id FROM counter ORDER BY id")
    assert raw.execute(number, READ_ONLY) == ["cursor", CURSOR_EXISTS]
    found = []
    while True:
        *rows, status = raw.fetch(number, 77)
        found += [struct.unpack_from("<q", row, 2)[0] for row in rows]
        if status & LAST_ROW_SENT:
            break
    assert found == list(range(1, 501))
    for text in (
        "SELECT REPEAT('x', 1000000) FROM counter",
        "SELECT REPEAT('x', 1000000) FROM counter WHERE id = 1",
    ):
        number, _, _ = raw.prepare(text)
        expected = [1235] if "WHERE" not in text else ["cursor", CURSOR_EXISTS]
        assert raw.execute(number, READ_ONLY) == expected
        assert raw.query("SELECT 1") == [(1,)]
    raw.cnx.close()


def test_a_statement_keeps_its_database(cluster: Cluster) -> None:
    def story(raw: Raw) -> list[Any]:
        raw.query("DELETE FROM note")
        raw.query("INSERT INTO note (id, body) VALUES (1, 'a')")
        number, _, _ = raw.prepare("SELECT id, body FROM note")
        database, _, _ = raw.prepare("SELECT DATABASE()")
        raw.query("USE information_schema")
        told = [raw.execute(number), raw.execute(database)]
        told += [raw.execute(number, READ_ONLY), raw.fetch(number, 5), raw.query("SELECT DATABASE()")]
        return told

    both(cluster, story)


def test_ddl_between_prepare_and_execute(cluster: Cluster) -> None:
    def story(raw: Raw) -> list[Any]:
        raw.query("DROP TABLE IF EXISTS moved")
        raw.query("CREATE TABLE moved (id INT PRIMARY KEY, a INT)")
        raw.query("INSERT INTO moved VALUES (1, 2)")
        number, _, _ = raw.prepare("SELECT * FROM moved WHERE id = ?")
        told = [raw.execute(number, strings=[b"1"])]
        raw.query("ALTER TABLE moved ADD COLUMN b VARCHAR(10) DEFAULT 'new'")
        told.append(raw.execute(number, strings=[b"1"]))
        raw.query("DROP TABLE moved")
        told.append(raw.execute(number, strings=[b"1"]))
        raw.query("CREATE TABLE moved (id VARCHAR(5) PRIMARY KEY)")
        raw.query("INSERT INTO moved VALUES ('1')")
        told.append(raw.execute(number, strings=[b"1"]))
        raw.query("DROP TABLE moved")
        return told

    both(cluster, story)


@pytest.mark.parametrize(
    "text",
    ["SET @a = 5", "COMMIT", "SHOW TABLES LIKE 'note'", "DO 1", "SELECT @@autocommit", "SELECT ?"],
)
def test_statements_of_the_session(cluster: Cluster, text: str) -> None:
    def story(raw: Raw) -> list[Any]:
        number, parameters, columns = raw.prepare(text)
        told: list[Any] = [parameters, columns, raw.execute(number, strings=[b"x"] * parameters)]
        told.append(raw.simple(COMMAND.COM_STMT_RESET, number))
        raw.query("ROLLBACK")
        return told

    found = both(cluster, story)
    assert found[-1] == ["ok"]


def test_executions_as_connectors_send_them(cluster: Cluster) -> None:
    """Without types where all is NULL (Connector/J), without its parameters (mysql2), of the last (MariaDB's)."""
    last = 0xFFFFFFFF

    def story(raw: Raw) -> list[Any]:
        number, _, _ = raw.prepare("SELECT ?, ?")

        def send(body: bytes, to: int = number) -> list[Any]:
            raw.command(COMMAND.COM_STMT_EXECUTE, struct.pack("<IBI", to, 0, 1) + body)
            return raw.answer()

        told: list[Any] = [send(b"\3\0"), send(b""), send(b"\0\0" + b"\1x\1y")]
        told += [send(b"\0\1" + b"\xfd\0\xfd\0" + b"\1x\1y"), send(b"\0\0" + b"\1z\1y"), send(b"\3\0")]
        told += [send(b"\0\1" + b"\xfd\0\xfd\0" + b"\1x\1y", last), raw.query("SELECT 1")]
        raw.command(COMMAND.COM_STMT_CLOSE, struct.pack("<I", last))
        told.append(send(b"\3\1" + b"\xfd\0\xfd\0"))
        number = raw.prepare("SELECT 5, ?, ?")[0]
        for text in ("USE main", "SELEC 1"):
            try:
                told.append(raw.execute(raw.prepare(text)[0]))
            except pymysql.err.Error as error:
                told.append(error.args[0])
        return [*told, send(b"\3\1" + b"\xfd\0\xfd\0", last)]

    both(cluster, story)


def test_long_data(cluster: Cluster) -> None:
    def story(raw: Raw) -> list[Any]:
        number, _, _ = raw.prepare("SELECT LENGTH(?), SHA2(?, 256)")
        for parameter, piece in ((0, b"a" * 70000), (0, b"b" * 70000), (1, b"c" * 10)):
            raw.command(COMMAND.COM_STMT_SEND_LONG_DATA, struct.pack("<IH", number, parameter) + piece)
        body = struct.pack("<IBI", number, 0, 1) + b"\0\1" + b"\xfc\0" * 2
        raw.command(COMMAND.COM_STMT_EXECUTE, body)
        told = [raw.answer(), raw.execute(number, strings=[b"x", b"y"])]
        raw.command(COMMAND.COM_STMT_SEND_LONG_DATA, struct.pack("<IH", number, 9) + b"no such parameter")
        told.append(raw.execute(number, strings=[b"x", b"y"]))
        told.append(raw.execute(number, strings=[b"x", b"y"]))
        told += [raw.simple(COMMAND.COM_STMT_RESET, number), raw.execute(number, strings=[b"x", b"y"])]
        return told

    both(cluster, story)


def test_a_charset_with_ascii_bytes_in_its_characters(cluster: Cluster) -> None:
    text = "SELECT HEX('\u8a71\\'x'), HEX(CONVERT(? USING utf8mb4)), '\u8a71'".encode("gbk")

    def story(raw: Raw) -> list[Any]:
        number, _, _ = raw.prepare(text)
        return [raw.execute(number, strings=["\u8a71\u7a0b".encode("gbk")])]

    both(cluster, story, charset="gbk")


def test_inserts_with_a_sequence(cluster: Cluster) -> None:
    cluster.clear("customer")
    cnx = mysql.connector.connect(
        **cluster.connect_kwargs(), collation="utf8mb4_general_ci", use_pure=True, autocommit=True
    )
    cursor = cnx.cursor(prepared=True)
    ids = []
    for n in range(20):
        cursor.execute("INSERT INTO customer (name, country) VALUES (%s, %s)", (f"name {n}", "DE"))
        ids.append(cursor.lastrowid)
    assert len(set(ids)) == 20
    assert all(ids)
    cursor.execute("SELECT COUNT(*) FROM customer WHERE customer_id IN (%s, %s)", (ids[0], ids[1]))
    assert cursor.fetchall() == [(2,)]
    cnx.close()


def test_back_ends_that_are_lost(cluster: Cluster) -> None:
    raw = Raw(cluster.connect_kwargs(database="main"))
    number, _, _ = raw.prepare("SELECT ?")
    expected = raw.execute(number, strings=[b"x"])
    cluster.query_direct("main/-", "SET @skip = 0")
    for (thread,) in cluster.query_direct(
        "main/-",
        "SELECT id FROM information_schema.processlist WHERE command = 'Sleep' AND id <> CONNECTION_ID()",
    ):
        try:
            cluster.query_direct("main/-", f"KILL {thread}")
        except pymysql.err.Error:
            continue

    def again() -> bool:
        return raw.execute(number, strings=[b"x"]) == expected

    wait_for(again, 10, "the statement works again")
    for n in range(600):  # more than a connection keeps
        other, _, _ = raw.prepare(f"SELECT {n}, ?")
        raw.execute(other, strings=[b"y"])
        raw.command(COMMAND.COM_STMT_CLOSE, struct.pack("<I", other))
    assert again()
    raw.cnx.close()


def test_what_only_this_connection_has_is_prepared_on_it(cluster: Cluster) -> None:
    texts = (
        "CREATE TEMPORARY TABLE own_t (id INT, body VARCHAR(9))",
        "INSERT INTO own_t VALUES (1, ?)",
        "SELECT body, id FROM own_t WHERE body = ?",
        "SELECT nosuch FROM own_t",
        "START TRANSACTION",
        "INSERT INTO own_t VALUES (2, ?)",
        "SELECT nosuch FROM own_t WHERE body = ?",
        "SELECT id FROM note, own_t WHERE body = ?",
        "SELECT body FROM own_t WHERE body = ? ORDER BY id",
        "ROLLBACK",
        "SELECT body FROM own_t WHERE body = ? ORDER BY id",
        "DROP TEMPORARY TABLE own_t",
        "SELECT * FROM own_t",
        "PREPARE own FROM 'SELECT 1'",
        "EXECUTE own",
        "DEALLOCATE PREPARE own",
        "LOCK TABLES note WRITE",
        "SELECT id FROM note WHERE body = ?",
        "UNLOCK TABLES",
    )

    def story(raw: Raw) -> list[Any]:
        told: list[Any] = []
        for text in texts:
            try:
                number, parameters, columns = raw.prepare(text)
            except pymysql.err.Error as error:
                told.append((text, error.args[0]))
                if error.args[0] == 1295:
                    raw.query(text)
            else:
                told.append((text, parameters, columns, raw.execute(number, 0, [b"x"] * parameters)))
        return told

    told = both(cluster, story)
    assert [one[0] for one in told if one[1:] == (1054,)] == [texts[3], texts[6]]
    assert told[8][3] == [*[b"\0\0\1x"] * 2, *told[8][3][2:]]


def test_a_text_that_cannot_be_prepared_leaves_the_transaction_as_it_was(cluster: Cluster) -> None:
    def story(raw: Raw) -> list[Any]:
        raw.query("DELETE FROM note")
        raw.query("BEGIN")
        raw.query("INSERT INTO note (id, body) VALUES (1, 'a')")
        with pytest.raises(pymysql.err.ProgrammingError) as said:
            raw.prepare("SELECT nosuch FROM nosuch WHERE id = ?")
        told: list[Any] = [said.value.args[0], raw.query("SELECT COUNT(*) FROM note")]
        raw.query("COMMIT")
        return [*told, raw.query("SELECT COUNT(*) FROM note")]

    assert both(cluster, story) == [1146, [(1,)], [(1,)]]


def test_a_call_opens_no_cursor(cluster: Cluster) -> None:
    def story(raw: Raw) -> list[Any]:
        raw.query("DROP PROCEDURE IF EXISTS cursor_p")
        raw.query("CREATE PROCEDURE cursor_p() SELECT 1 AS one")
        number, _, _ = raw.prepare("CALL cursor_p()")
        told = [raw.execute(number, READ_ONLY), raw.packet()[0], raw.fetch(number, 1), raw.query("SELECT 1")]
        raw.query("DROP PROCEDURE cursor_p")
        return told

    both(cluster, story)
