"""Local servers: how one mysqld, mariadbd or etcd on this machine is found, initialised and started.

Nothing here runs a server: functions give argument lists, and the supervisor of processes starts, restarts and
stops them. What is written lies under the server's own home directory; servers of the system stay untouched.

    binary = find_mysqld()
    check_memory(pool_size, binary.flavour, memory_bytes)
    server = MysqlServer(binary, home, 13306, max_connections(pool_size), memory_bytes)
    initialise(server)                      # once; a second call does nothing
    process = Popen(start_argv(server))     # the supervisor's task
    await wait_ready(server, timeout_s=60, alive=lambda: process.poll() is None)
    account = ensure_account(server)        # `sluice`@`localhost`, all rights; root is locked
    create_database(server, "commerce")
    run_schema(server, "commerce", path)    # exactly once
"""

from cli.local.accounts import (
    Account,
    DirectUser,
    SchemaRun,
    connect,
    create_database,
    create_users,
    ensure_account,
    read_account,
    run_schema,
)
from cli.local.binaries import Flavour, MysqldBinary, find_etcd, find_mysqld
from cli.local.errors import LocalServerError
from cli.local.etcd import EtcdServer, etcd_argv, wait_etcd_ready
from cli.local.initialise import abandon_initialising, initialise, is_initialised
from cli.local.memory import MemoryNeed, check_memory, max_connections, memory_need
from cli.local.mysql import MysqlServer, start_argv, wait_ready
from cli.local.paths import log_cause, log_tail, socket_path

__all__ = [
    "Account",
    "DirectUser",
    "EtcdServer",
    "Flavour",
    "LocalServerError",
    "MemoryNeed",
    "MysqlServer",
    "MysqldBinary",
    "SchemaRun",
    "abandon_initialising",
    "check_memory",
    "connect",
    "create_database",
    "create_users",
    "ensure_account",
    "etcd_argv",
    "find_etcd",
    "find_mysqld",
    "initialise",
    "is_initialised",
    "log_cause",
    "log_tail",
    "max_connections",
    "memory_need",
    "read_account",
    "run_schema",
    "socket_path",
    "start_argv",
    "wait_etcd_ready",
    "wait_ready",
]
