"""The bench's own table on one shard: made, filled, and dropped again."""

import asyncio
from collections.abc import Awaitable, Callable

import uvloop

from cli.bench import workload
from cli.bench.connection import Connection, ConnectionLost, Place, connect
from cli.bench.protocol import ServerRefused
from cli.errors import CommandError
from wire.errors import WireError

BATCH_ROWS = 1000

Work = Callable[[Connection], Awaitable[str]]

FAILURES = (OSError, ServerRefused, ConnectionLost, WireError, TimeoutError)


def create(place: Place, rows: int) -> str:
    """Makes the table with `rows` rows; returns what the server announced as its version. Raises CommandError."""

    async def work(connection: Connection) -> str:
        await connection.query(f"DROP TABLE IF EXISTS {workload.TABLE}")
        await connection.query(workload.CREATE)
        for first in range(1, rows + 1, BATCH_ROWS):
            await connection.query(workload.fill(first, min(rows, first + BATCH_ROWS - 1)))
        await connection.query(f"ANALYZE TABLE {workload.TABLE}")
        return connection.server_version.removeprefix("5.5.5-")

    return _with(place, work)


def version(place: Place) -> str:
    """What the server announces. Raises CommandError."""

    async def work(connection: Connection) -> str:
        return connection.server_version.removeprefix("5.5.5-")

    return _with(place, work)


def drop(place: Place) -> None:
    """Raises CommandError."""

    async def work(connection: Connection) -> str:
        await connection.query(f"DROP TABLE IF EXISTS {workload.TABLE}")
        return ""

    _with(place, work)


def answers(place: Place) -> str:
    """Whether the table's first row is found there: empty, or why not. Raises CommandError where nobody answers."""

    async def work(connection: Connection) -> str:
        try:
            answer = await connection.query(workload.POINT.text((1,)).decode())
        except ServerRefused as error:
            return str(error)
        return "" if answer.rows == (workload.value(1),) else f"an unexpected row: {answer.rows!r}"

    return _with(place, work)


def pins(place: Place) -> int:
    """How many connections sessions hold through the router at `place`. Raises CommandError."""

    async def work(connection: Connection) -> str:
        return str(len((await connection.query("SHOW PINS")).rows))

    return int(_with(place, work))


def _with(place: Place, work: Work) -> str:
    async def run() -> str:
        connection = await connect(place)
        try:
            return await work(connection)
        finally:
            connection.close()
            await asyncio.sleep(0)

    try:
        return uvloop.run(run())
    except FAILURES as error:
        where = f"{place.host}:{place.port}"
        raise CommandError(f"{place.name} ({where}): {error or type(error).__name__}") from None
