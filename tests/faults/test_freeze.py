"""A MySQL that stands still and goes on: not one connection more than the cap, not even for a moment."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.local import Flavour, create_database
from core.rpc import messages as m
from tests.kit.servers import RunningMysql
from tests.kit.tablet import dsn, running_tablet, until

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

POOL_SIZE = 4


async def test_a_frozen_mysql_is_not_asked_on_another_connection(
    clean_server: Callable[..., RunningMysql], flavour: Flavour, tmp_path: Path
) -> None:
    server = clean_server(flavour, max_connections=30)
    create_database(server.server, "commerce")
    with server.connect() as cnx, cnx.cursor() as cursor:

        def most() -> int:
            """The most connections that MySQL has had since `FLUSH STATUS`, without this one."""
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Max_used_connections'")
            row = cursor.fetchone()
            assert row is not None
            return int(row[1]) - 1

        async with running_tablet(
            tmp_path / "tablet", dsn(server, "commerce"), pool_size=POOL_SIZE
        ) as tablet:
            asker = await tablet.asker()
            await tablet.serving(asker)
            while (await asker.stats())["open"] < POOL_SIZE:
                replies = await asyncio.gather(
                    *(asker.run("SELECT SLEEP(0.3)") for _ in range(2 * POOL_SIZE))
                )
                assert {reply.error for reply in replies} == {(0, "")}
            cursor.execute("FLUSH STATUS")
            assert most() <= POOL_SIZE
            os.kill(server.pid, signal.SIGSTOP)
            try:
                await until(lambda: bool(asker.states) and asker.states[-1] == m.NOT_SERVING, 30)
                assert (await asker.run("SELECT 1")).error[0] == 15001
                await asyncio.sleep(1)
            finally:
                os.kill(server.pid, signal.SIGCONT)
            await until(lambda: asker.states[-1] == m.SERVING, 30)
            replies = await asyncio.gather(*(asker.run("SELECT SLEEP(0.3)") for _ in range(2 * POOL_SIZE)))
            assert {reply.error for reply in replies} == {(0, "")}
            assert most() <= POOL_SIZE
