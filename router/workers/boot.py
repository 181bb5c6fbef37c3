"""What is made once, before the fork, and shared by all workers of a router."""

import datetime
import hashlib
import os
import resource
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from core.config import Config, ConfigError, parse_address
from core.limits import SharedCounters
from router.sessions.accounts import Accounts
from router.sessions.flavour import greeted_plugin, greeted_version, mariadb_offers
from router.sessions.query_attributes import offered_by
from router.variables.charsets import greeted_charset
from wire.constants import CLIENT_LOCAL_FILES, CLIENT_QUERY_ATTRIBUTES, SERVER_CAPABILITIES
from wire.keys import RsaPrivateKey, generate_rsa_pem
from wire.login_actions import LoginSettings
from wire.passwords import Decoys
from wire.tls import ensure_certificate, server_context

DESCRIPTORS_FOR_ITSELF: Final = 400
"""What a worker needs beside its clients: tablets, ZeroMQ, logs, listening sockets."""
MAX_BACKLOG: Final = 4096
_SOCKET_PATH_MAX: Final = 107


@dataclass(frozen=True, slots=True)
class Boot:
    """Made by `make_boot`, inherited by every worker."""

    config: Config
    router: str
    """The router's id; workers are `<router>.<slot>`."""
    number: int
    """1 to 255, part of connection ids."""
    control: str
    """Endpoint on which the router's main process speaks with its workers."""
    address: tuple[str, int]
    backlog: int
    accounts: Accounts
    login: LoginSettings
    """Before the MySQL behind is known."""
    tls: ssl.SSLContext
    counters: SharedCounters

    def login_to(self, server_version: str, decoys: Decoys) -> LoginSettings:
        """What clients of a MySQL of this version are greeted with."""
        return replace(
            self.login,
            server_version=greeted_version(server_version),
            default_plugin=greeted_plugin(server_version),
            caps=self.login.caps | offered_by(server_version) | mariadb_offers(server_version),
            charset=greeted_charset(server_version),
            decoys=decoys,
        )


def column(slot: int, generation: int) -> int:
    """A worker process' own column of the shared counters: while a slot's worker gives over to its successor, both
    count."""
    return 2 * slot + generation % 2


def workers_needed(config: Config) -> int:
    """One a core, and as many more as max_connections needs under RLIMIT_NOFILE."""
    if config.router.workers:
        return config.router.workers
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = max(1, hard - DESCRIPTORS_FOR_ITSELF)
    # the kernel spreads clients by hash: leave each worker a tenth of room for the uneven part
    by_limit = -(-config.router.max_connections * 11 // 10 // room)
    return max(os.cpu_count() or 1, by_limit)


def make_boot(config: Config, router: str, number: int) -> Boot:
    """Raises ConfigError, OSError (certificate files, address)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    workers = workers_needed(config)
    room = hard - DESCRIPTORS_FOR_ITSELF
    if config.router.max_connections > room * workers:
        raise ConfigError(
            f"[router] max_connections = {config.router.max_connections} needs more than workers = {workers} "
            f"with {hard} descriptors each (RLIMIT_NOFILE): set workers = 0, or raise the limit"
        )
    accounts = Accounts(config.users, os.urandom(32))
    not_offered = 0 if config.router.local_infile else CLIENT_LOCAL_FILES
    tls = _tls(config)
    key = RsaPrivateKey(generate_rsa_pem())
    return Boot(
        config=config,
        router=router,
        number=number,
        control=control_endpoint(config, router),
        address=parse_address(config.router.mysql, "[router] mysql"),
        backlog=MAX_BACKLOG,
        accounts=accounts,
        login=LoginSettings(
            server_version="Sluice",
            decoys=accounts.decoys,
            caps=SERVER_CAPABILITIES & ~(CLIENT_QUERY_ATTRIBUTES | not_offered),
            tls=True,
            require_tls=config.router.require_tls,
            rsa_key=lambda: key,
        ),
        tls=tls,
        counters=SharedCounters(workers=2 * workers),
    )


def _tls(config: Config) -> ssl.SSLContext:
    if config.router.tls_cert:
        certificate, key = config.resolve(config.router.tls_cert), config.resolve(config.router.tls_key)
    else:
        certificate, key = ensure_certificate(config.data_dir / "tls", datetime.datetime.now(datetime.UTC))
    try:
        return server_context(certificate, key)
    except ssl.SSLError as error:
        raise ConfigError(f"[router] tls_cert {certificate}, tls_key {key}: {error.reason}") from None


def control_endpoint(config: Config, router: str) -> str:
    """An ipc path under data_dir, or a short one in /tmp where that would be too long for a unix socket."""
    path = config.data_dir / "run" / f"{router}.ipc"
    if len(os.fsencode(path)) > _SOCKET_PATH_MAX:
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        path = Path(f"/tmp/sluice-{os.getuid()}-{digest}.ipc")
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"ipc://{path}"
