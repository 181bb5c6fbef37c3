"""The merge engine against real servers: two databases as shards, one with all rows; both must answer alike.

Columns and values are the odd ones: every collation kind (padding or not), trailing spaces and control characters,
integers beyond 2^63, negative zero, times beyond a day, zero dates, bits, enums, NULL and the empty string.
"""

import random
import struct
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest

from router.engine.merge import MergeRun
from router.engine.numbers import double_text
from router.engine.output import ClientFlavour
from router.engine.reader import ResultReader, Stage
from router.plan.plans import Aggregate, Merge, OrderKey
from tests.kit.servers import RunningMysql
from wire.columns import Column
from wire.constants import TYPE_STRING, TYPE_VAR_STRING
from wire.packets import iterate_payloads
from wire.rows import split_text_row

pytestmark = pytest.mark.e2e

Rows = list[list[bytes | None]]

TEXTS = [
    "",
    " ",
    "a",
    "A",
    "a ",
    "a  ",
    "a\t",
    "a \t",
    "a\n b",
    "á",
    "ä",
    "ae",
    "æ",
    "ß",
    "ss",
    "SS",
    "b",
    "B",
    "Z",
    "_",
    "10",
    "9",
]
NUMBERS = ["0", "-1", "1", "42", "-42", "127", "-128", "9", "10"]
COLUMNS: dict[str, tuple[str, list[str]]] = {
    "i": ("INT", NUMBERS),
    "big": ("BIGINT UNSIGNED", ["0", "1", "9223372036854775807", "9223372036854775808", "18446744073709551615"]),
    "z": ("INT(6) ZEROFILL", ["0", "5", "42", "123456"]),
    "d": ("DECIMAL(30,10)", ["0", "-0.0000000001", "0.5", "12345678901234567890.0123456789", "-99999999999999999999"]),
    "f": ("DOUBLE", ["0", "-0e0", "1e300", "-1e300", "1e-300", "0.1", "0.3", "1e15", "123456.789"]),
    "f2": ("DOUBLE(10,2)", ["0", "1.005", "-3.335", "99999.99"]),
    "fl": ("FLOAT", ["0", "1.5", "-2.25", "1e10"]),
    "dt": ("DATE", ["'2020-01-01'", "'1000-01-01'", "'9999-12-31'", "'1970-01-01'"]),
    "ts": ("DATETIME(6)", ["'2020-01-01 10:00:00.000001'", "'2020-01-01 09:59:59.999999'", "'1999-12-31 23:59:59'"]),
    "tm": ("TIME(3)", ["'-838:59:59'", "'838:59:59'", "'-0:00:00.5'", "'00:00:00.5'", "'-99:00:00'", "'10:00'"]),
    "y": ("YEAR", ["1901", "2155", "2000", "0"]),
    "bi": ("BIT(10)", ["b'0'", "b'1'", "b'1111111111'", "b'1000000000'", "b'11111111'"]),
    "e": ("ENUM('z','a','m','')", ["'z'", "'a'", "'m'", "''"]),
    "st": ("SET('z','a','m')", ["''", "'z'", "'a'", "'z,a'", "'m'", "'a,m'", "'z,a,m'"]),
    "ci": ("VARCHAR(20) COLLATE utf8mb4_general_ci", []),
    "uni": ("VARCHAR(20) COLLATE utf8mb4_unicode_ci", []),
    "bin": ("VARCHAR(20) COLLATE utf8mb4_bin", []),
    "dft": ("VARCHAR(20)", []),
    "la": ("VARCHAR(20) CHARACTER SET latin1", []),
    "ch": ("CHAR(10)", []),
    "tx": ("TEXT", []),
    "vb": ("VARBINARY(20)", []),
    "bl": ("BLOB", []),
}  # fmt: skip
LATIN = [text for text in TEXTS if all(ord(char) < 256 for char in text)]
NAMES = list(COLUMNS)
WHOLE, SHARDS = "merge_whole", ("merge_a", "merge_b")
ROWS = 160


def raw_query(connection: "pymysql.connections.Connection[Any]", sql: str) -> bytes:
    """The packets of the answer, as they came."""
    connection._execute_command(0x03, sql.encode())
    reader = ResultReader()
    data = b""
    while True:
        header = connection._rfile.read(4)
        packet = header + connection._rfile.read(struct.unpack("<I", header)[0] & 0xFFFFFF)
        data += packet
        reader.feed(packet, False)
        while reader.next_row() is not None:
            pass
        if reader.stage in (Stage.END, Stage.ERROR):
            return data


def parse(data: bytes) -> tuple[list[Column], Rows]:
    reader = ResultReader()
    reader.feed(data, True)
    rows = []
    while (payload := reader.next_row()) is not None:
        rows.append(split_text_row(payload, len(reader.columns)))
    assert reader.stage is Stage.END, reader.error_payload
    return reader.columns, rows


def insert(dice: random.Random, number: int) -> str:
    values = [str(number)]
    for name, (_, literals) in COLUMNS.items():
        if dice.random() < 0.15:
            values.append("NULL")
        elif literals:
            values.append(dice.choice(literals))
        else:
            values.append("'" + dice.choice(LATIN if name == "la" else TEXTS) + "'")
    return f"INSERT INTO t VALUES ({', '.join(values)})"


@pytest.fixture(scope="module")
def connections(mysql_server: RunningMysql) -> Iterator[list["pymysql.connections.Connection[Any]"]]:
    dice = random.Random(7)
    root = mysql_server.connect(autocommit=True)
    columns = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
    with root.cursor() as cursor:
        for database in (WHOLE, *SHARDS):
            cursor.execute(f"CREATE DATABASE {database} CHARACTER SET utf8mb4")
            cursor.execute(f"CREATE TABLE {database}.t (id INT PRIMARY KEY, {columns})")
        for number in range(ROWS):
            text = insert(dice, number)
            for database in (WHOLE, dice.choice(SHARDS)):
                cursor.execute(f"USE {database}")
                cursor.execute(text)
    opened = [mysql_server.connect(database) for database in (*SHARDS, WHOLE)]
    yield opened
    for connection in opened:
        connection.close()
    with root.cursor() as cursor:
        for database in (WHOLE, *SHARDS):
            cursor.execute(f"DROP DATABASE {database}")
    root.close()


def helpers(expression: str, column: str, flavour: str) -> str:
    """What the planner appends for a key: its weight, and that of a space where its collation pads."""
    if column in ("e", "st") and flavour == "mariadb" and "(" not in expression:
        return f"{expression}+0, ''"
    pad = f"IF(LEFT({expression},0)=' ', WEIGHT_STRING(CONCAT(LEFT({expression},0),' ')), '')"
    return f"WEIGHT_STRING({expression}), {pad}"


def merge(connections: Any, sql: str, plan: Merge, flavour: str) -> tuple[list[Column], Rows]:
    run = MergeRun(plan, 2, ClientFlavour(), 10_000, enum_weights=flavour == "mysql")
    dice = random.Random(sql)
    rest = {shard: raw_query(connections[shard], sql) for shard in range(2)}
    out = b""
    while rest:
        shard = dice.choice(list(rest))
        size = dice.randint(1, 400)
        data, rest[shard] = rest[shard][:size], rest[shard][size:]
        last = not rest[shard]
        if last:
            del rest[shard]
        out += b"".join(run.feed(shard, data, last))
    assert run.error is None, run.error
    return parse(out)


@pytest.mark.parametrize("down", [False, True], ids=["asc", "desc"])
@pytest.mark.parametrize("name", NAMES)
def test_order_by(connections: Any, flavour: str, name: str, down: bool) -> None:
    way = " DESC" if down else ""
    tail = f"FROM t ORDER BY {name}{way}, id"
    _, expected = parse(raw_query(connections[2], f"SELECT id, {name} {tail}"))
    plan = Merge(2, order=(OrderKey(1, 2, down, 3), OrderKey(0)))
    _, got = merge(connections, f"SELECT id, {name}, {helpers(name, name, flavour)} {tail}", plan, flavour)
    assert got == expected
    limited = Merge(2, order=plan.order, limit=20, offset=7)
    sql = f"SELECT id, {name}, {helpers(name, name, flavour)} {tail} LIMIT 27"
    assert merge(connections, sql, limited, flavour)[1] == expected[7:27]


@pytest.mark.parametrize("by_hash", [False, True], ids=["streamed", "hashed"])
@pytest.mark.parametrize("name", NAMES)
def test_group_by(connections: Any, flavour: str, name: str, by_hash: bool) -> None:
    visible = "COUNT(*), SUM(id), MIN(id), MAX(id), {}, SUM(d), SUM(f2)"
    tail = f"FROM t GROUP BY {name}"
    order = f" ORDER BY {name}" if not by_hash else ""
    _, expected = parse(
        raw_query(connections[2], f"SELECT {visible.format('AVG(i)')} {tail} ORDER BY {name}")
    )
    key = OrderKey(7, 8, False, 9)
    plan = Merge(
        7,
        order=() if by_hash else (key,),
        group=(key,),
        aggregates=(
            Aggregate("count", 0),
            Aggregate("sum", 1),
            Aggregate("min", 2),
            Aggregate("max", 3),
            Aggregate("avg", 4, 10),
            Aggregate("sum", 5),
            Aggregate("sum", 6),
        ),
        grouped=True,
    )
    weights = ", ".join(f"MIN({part})" for part in helpers(name, name, flavour).split(", ", 1))
    sql = f"SELECT {visible.format('SUM(i)')}, {name}, {weights}, COUNT(i) {tail}{order}"
    _, got = merge(connections, sql, plan, flavour)
    if by_hash:
        got.sort(key=str)
        expected.sort(key=str)
    assert got == expected


@pytest.mark.parametrize("name", NAMES)
def test_distinct(connections: Any, flavour: str, name: str) -> None:
    _, [[expected]] = parse(
        raw_query(connections[2], f"SELECT COUNT(*) FROM (SELECT DISTINCT {name} FROM t) q")
    )
    plan = Merge(1, distinct=True, distinct_weights=(OrderKey(0, 1, False, 2),))
    _, got = merge(
        connections, f"SELECT DISTINCT {name}, {helpers(name, name, flavour)} FROM t", plan, flavour
    )
    assert len(got) == int(expected or b"-1")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("op", ["min", "max"])
def test_least_and_greatest(connections: Any, flavour: str, name: str, op: str) -> None:
    expression = f"{op.upper()}({name})"
    definitions, [[expected]] = parse(raw_query(connections[2], f"SELECT {expression} FROM t"))
    plan = Merge(1, aggregates=(Aggregate(op, 0, weight=1, pad=2),), grouped=True)
    columns, [[got]] = merge(
        connections, f"SELECT {expression}, {helpers(expression, name, flavour)} FROM t", plan, flavour
    )
    assert (columns[0].type, columns[0].decimals) == (definitions[0].type, definitions[0].decimals)
    if definitions[0].type in (TYPE_VAR_STRING, TYPE_STRING, 252) and got != expected:
        # equal by the collation, as MySQL may give either
        assert got is not None
        assert expected is not None
        same = f"SELECT COUNT(DISTINCT {name}) FROM t WHERE {name} IN (%s, %s)"
        with connections[2].cursor() as cursor:
            cursor.execute(same, (got.decode(), expected.decode()))
            assert cursor.fetchone() == (1,)
    else:
        assert got == expected


@pytest.mark.parametrize("name", ["i", "big", "z", "d", "f2", "fl", "y", "bi", "tm", "dt"])
def test_sum_and_average_with_their_metadata(connections: Any, flavour: str, name: str) -> None:
    for where in ("", " WHERE id < 0", " WHERE id < 3"):
        direct = f"SELECT SUM({name}), AVG({name}), COUNT({name}) FROM t{where}"
        definitions, expected = parse(raw_query(connections[2], direct))
        plan = Merge(
            3,
            aggregates=(Aggregate("sum", 0), Aggregate("avg", 1, 3), Aggregate("count", 2)),
            grouped=True,
            names=((1, f"AVG({name})"),),
        )
        sql = f"SELECT SUM({name}), SUM({name}), COUNT({name}), COUNT({name}) FROM t{where}"
        columns, got = merge(connections, sql, plan, flavour)
        assert got == expected
        for column, definition in zip(columns, definitions, strict=True):
            assert (column.name, column.type, column.decimals) == (
                definition.name,
                definition.type,
                definition.decimals,
            )
            if definition.type != 5:
                assert (column.length, column.flags) == (definition.length, definition.flags)


def test_odd_doubles_are_printed_as_the_server_does(connections: Any, flavour: str) -> None:
    dice = random.Random(11)
    values = [dice.choice((-1, 1)) * 10 ** dice.uniform(-20, 20) for _ in range(300)]
    values += [struct.unpack("<d", dice.randbytes(8))[0] for _ in range(300)]
    values = [value for value in values if value == value and abs(value) < 1e308]
    values += [0.0, 1e15, 1e15 + 0.5, 1e-15, 1e-16]
    if flavour == "mysql":  # MariaDB has no negative zero
        values.append(-0.0)
    # from a table: a literal is printed with its own number of digits
    with connections[2].cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE doubles (n INT, x DOUBLE)")
        rows = ", ".join(f"({at}, {float_literal(value)})" for at, value in enumerate(values))
        cursor.execute(f"INSERT INTO doubles VALUES {rows}")
    _, got = parse(raw_query(connections[2], "SELECT x FROM doubles ORDER BY n"))
    assert got == [[double_text(value)] for value in values]


def float_literal(value: float) -> str:
    text = repr(value)
    return text if "e" in text else text + "e0"


def test_binary_rows_are_those_of_a_prepared_statement(connections: Any, flavour: str) -> None:
    sql = "SELECT * FROM t ORDER BY id"
    whole = connections[2]
    whole._execute_command(0x16, sql.encode())
    statement, definitions = whole._read_packet()._data[1:5], 0
    while definitions < len(COLUMNS) + 1:
        whole._read_packet()
        definitions += 1
    whole._read_packet()
    whole._execute_command(0x17, statement + b"\0\1\0\0\0")
    expected = []
    for _ in range(1 + len(COLUMNS) + 1 + 1):
        whole._read_packet()
    while not (packet := whole._read_packet()).is_eof_packet():
        expected.append(bytes(packet._data))
    run = MergeRun(Merge(len(COLUMNS) + 1, order=(OrderKey(0),)), 2, ClientFlavour(binary=True), 10_000)
    out = b""
    for shard in range(2):
        out += b"".join(run.feed(shard, raw_query(connections[shard], sql), True))
    assert run.error is None, run.error
    assert list(iterate_payloads(out))[len(COLUMNS) + 3 : -1] == expected
