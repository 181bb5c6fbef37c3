"""What the file can say, section by section, with the defaults."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from core.config.texts import ConfigError, parse_size
from core.users import DEFAULT_ROLES


@dataclass(frozen=True, slots=True)
class Dsn:
    """An address of a MySQL: `mysql://user:password@host:port/database?socket=/path&tls=required`."""

    user: str
    password: str
    host: str
    port: int
    database: str
    socket: str = ""
    tls: str = "preferred"  # disabled, preferred, required
    caller: str = ""  # the tablet that connects, for who looks at that MySQL

    @classmethod
    def parse(cls, text: str, key: str) -> "Dsn":
        """Raises ConfigError naming `key`."""
        parts = urlsplit(text)
        if parts.scheme != "mysql":
            raise ConfigError(f"{key}: '{text}' is not a mysql:// address")
        query = parse_qs(parts.query)
        unknown = sorted(set(query) - {"socket", "tls"})
        if unknown:
            raise ConfigError(f"{key}: unknown option '{unknown[0]}'; known: socket, tls")
        try:
            port = parts.port or 3306
        except ValueError:
            raise ConfigError(f"{key}: the port is not a number from 1 to 65535") from None
        tls = query.get("tls", ["preferred"])[0]
        if tls not in ("disabled", "preferred", "required"):
            raise ConfigError(f"{key}: tls is one of disabled, preferred, required; not '{tls}'")
        if not parts.username:
            raise ConfigError(f"{key}: a user is missing: mysql://USER:PASSWORD@HOST:PORT/DATABASE")
        return cls(
            user=unquote(parts.username),
            password=unquote(parts.password or ""),
            host=parts.hostname or "127.0.0.1",
            port=port,
            database=unquote(parts.path.lstrip("/")),
            socket=query.get("socket", [""])[0],
            tls=tls,
        )


@dataclass(frozen=True, slots=True)
class Cluster:
    name: str = "demo"
    """Names the cluster in etcd (`/sluice/<name>/`) and on the dashboard."""
    data_dir: str = ".sluice"
    """Everything local: MySQL data, etcd data, logs, sockets, pid files."""


@dataclass(frozen=True, slots=True)
class Etcd:
    endpoints: tuple[str, ...] = ()
    """`host:port` of each etcd; empty: a local one is started."""


@dataclass(frozen=True, slots=True)
class Router:
    mysql: str = "127.0.0.1:15306"
    """Where applications connect."""
    http: str = "127.0.0.1:15380"
    """/metrics, /healthz, the cluster's state, and the serverless SQL API."""
    http_idle_timeout_s: float = 20.0
    """A session of the SQL API that holds a transaction or locks ends when no request came for that long."""
    workers: int = 0
    """Worker processes; 0: one a core, more where max_connections needs them."""
    max_connections: int = 10_000
    """Clients over all workers; one more is refused with error 1040."""
    transaction_mode: str = "multi"
    """`single`: a transaction stays on one shard; `multi`: best effort over several."""
    max_memory_rows: int = 300_000
    """Rows that one merging query may hold in the router."""
    max_allowed_packet: int = 64 * 1024 * 1024
    """Bytes of one command from a client."""
    local_infile: bool = True
    """Whether LOAD DATA LOCAL INFILE is served; the MySQLs must have local_infile=ON as well."""
    login_timeout_s: float = 10.0
    """A connection that has not logged in by then is closed."""
    park_after_s: float = 2.0
    """A session idle for that long is put by as a small record until its client speaks again; 0: never."""
    max_half_open: int = 2048
    """Logins in flight in one worker; a further one waits in the backlog."""
    plan_cache_bytes: int = 32 * 1024 * 1024
    """Bound of each worker's plan cache."""
    tls_cert: str = ""
    """PEM file; empty: a self-signed certificate is made under data_dir."""
    tls_key: str = ""
    require_tls: bool = False
    """No login over an open channel (error 3159)."""


@dataclass(frozen=True, slots=True)
class Tablet:
    pool_size: int = 16
    """Hard cap of connections to one MySQL: reads, transactions, reserved, admin, all counted."""
    queue_size: int = 1000
    """Statements that may wait for a connection."""
    queue_timeout_ms: int = 10_000
    """Longest wait for a connection."""
    query_timeout_s: float = 30.0
    """A statement that runs longer is killed (error 3024)."""
    transaction_timeout_s: float = 30.0
    """A transaction that is open longer is rolled back."""
    idle_transaction_timeout_s: float = 30.0
    """A transaction without a statement for that long is rolled back."""
    reserved_share: float = 0.9
    """Share of pool_size that transactions and reserved connections may hold, at most pool_size - 2."""
    idle_timeout_s: float = 300.0
    """A pooled connection unused for that long is closed."""
    max_lifetime_s: float = 3600.0
    """A pooled connection older than that (with jitter) is replaced."""
    consolidator: str = "on"
    """`on` or `off`: identical reads that run at the same time share one execution."""


@dataclass(frozen=True, slots=True)
class Mysql:
    binary: str = ""
    """mysqld or mariadbd; empty: the first of them on PATH."""
    memory: str = "512MiB"
    """Memory budget of each local MySQL; pool_size is checked against it."""

    @property
    def memory_bytes(self) -> int:
        return parse_size(self.memory, "[mysql] memory")


@dataclass(frozen=True, slots=True)
class User:
    name: str
    password: str | None = None
    password_hash: str | None = None
    """`*HEX` (mysql_native_password) or `$A$...` (caching_sha2_password)."""
    default_keyspace: str = ""
    roles: tuple[str, ...] = DEFAULT_ROLES
    """`read`, `write`, `ddl`, `admin`, each for every keyspace or as `read:KEYSPACE` for one."""
    require_tls: bool = False
    """A login over an open channel is refused (error 1045)."""
    max_connections: int = 0
    """Connections of this user over the whole cluster, one more is refused with error 1226; 0: not limited."""


@dataclass(frozen=True, slots=True)
class External:
    """A shard whose MySQL exists already."""

    shard: str
    dsn: Dsn


@dataclass(frozen=True, slots=True)
class Keyspace:
    name: str
    shards: tuple[str, ...] = ("-",)
    vschema: str = ""
    schema: str = ""
    replicas: int = 0
    external: tuple[External, ...] = ()

    def external_dsn(self, shard: str) -> Dsn | None:
        return next((e.dsn for e in self.external if e.shard == shard), None)


@dataclass(frozen=True, slots=True)
class Config:
    """The whole of `cluster.toml`; `path` is where it was read from."""

    path: Path
    cluster: Cluster = field(default_factory=Cluster)
    etcd: Etcd = field(default_factory=Etcd)
    router: Router = field(default_factory=Router)
    tablet: Tablet = field(default_factory=Tablet)
    mysql: Mysql = field(default_factory=Mysql)
    users: tuple[User, ...] = ()
    keyspaces: tuple[Keyspace, ...] = ()

    def resolve(self, path: str) -> Path:
        """`path` as written in the file, made absolute."""
        return (self.path.parent / path).absolute()

    @property
    def data_dir(self) -> Path:
        return self.resolve(self.cluster.data_dir)
