"""`cluster.toml` as frozen dataclasses: read once, unknown keys refused, nothing started on an error.

Every error is a ConfigError whose message names the file's key and what to change; `clusterctl` prints it and
exits with status 2. Relative paths are relative to the file. Live values (limits, VSchema) come from etcd, not
from here.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from core.keyrange import partition_error
from core.users import DEFAULT_ROLES, RoleError, parse_role

_T = TypeVar("_T")

RESERVED_KEYSPACES: Final = frozenset({"mysql", "information_schema", "performance_schema", "sys"})


class ConfigError(Exception):
    """The configuration is wrong; the message names the key and what to change."""


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
    """/metrics, /healthz and the cluster's state."""
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


_UNITS: Final = {
    "": 1,
    "B": 1,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "K": 2**10,
    "M": 2**20,
    "G": 2**30,
}


def parse_size(text: str, key: str) -> int:
    """Bytes of a size such as `512MiB`; ConfigError naming `key`."""
    digits = text.strip().rstrip("abBgGiIkKmM")
    unit = text.strip()[len(digits) :].upper()
    try:
        size = int(digits)
    except ValueError:
        size = -1
    if size <= 0 or unit not in _UNITS:
        raise ConfigError(f"{key}: '{text}' is not a size; write for example 512MiB or 2GiB")
    return size * _UNITS[unit]


def parse_address(text: str, key: str) -> tuple[str, int]:
    """`host:port` taken apart; ConfigError naming `key`."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ConfigError(f"{key}: '{text}' is not an address; write for example 127.0.0.1:15306")
    return host.strip("[]") or "0.0.0.0", int(port)


_SECTIONS: Final = {
    "cluster": "[cluster]",
    "etcd": "[etcd]",
    "router": "[router]",
    "tablet": "[tablet]",
    "mysql": "[mysql]",
    "users": "[[users]]",
    "keyspaces": "[[keyspaces]]",
}


def load(path: Path) -> Config:
    """Reads and checks `path`. Raises ConfigError; touches nothing else."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    return from_dict(raw, path)


def from_dict(raw: Mapping[str, Any], path: Path) -> Config:
    """A Config from the parsed file. Raises ConfigError."""
    for name, value in raw.items():
        if name not in _SECTIONS:
            what = "section" if isinstance(value, dict | list) else "key"
            raise ConfigError(
                f"unknown {what} '{name}'; the file's sections are {', '.join(_SECTIONS.values())}"
            )
    config = Config(
        path=path.absolute(),
        cluster=_section(Cluster, raw.get("cluster", {}), "[cluster]"),
        etcd=_section(Etcd, raw.get("etcd", {}), "[etcd]"),
        router=_section(Router, raw.get("router", {}), "[router]"),
        tablet=_section(Tablet, raw.get("tablet", {}), "[tablet]"),
        mysql=_section(Mysql, raw.get("mysql", {}), "[mysql]"),
        users=tuple(_section(User, u, f"[[users]] {i + 1}") for i, u in _tables(raw, "users")),
        keyspaces=tuple(_keyspace(k, i) for i, k in _tables(raw, "keyspaces")),
    )
    _check(config)
    return config


def _tables(raw: Mapping[str, Any], key: str) -> list[tuple[int, Mapping[str, Any]]]:
    value = raw.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ConfigError(f"{key} is a list of tables: write [[{key}]]")
    return list(enumerate(value))


def _known(raw: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in raw:
        if key not in known:
            raise ConfigError(f"unknown key '{key}' in {where}; known: {', '.join(sorted(known))}")


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,),
    "str | None": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "tuple[str, ...]": (list,),
}
_NAMES: Final = {
    "str": "a string",
    "str | None": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple[str, ...]": "a list of strings",
}


def _section(cls: type[_T], raw: Any, where: str) -> _T:
    """An instance of the dataclass `cls` from a TOML table: known keys, right types, all required ones."""
    if not isinstance(raw, dict):
        raise ConfigError(f"{where} is a table")
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    _known(raw, set(known), where)
    values: dict[str, Any] = {}
    for name, spec in known.items():
        if name not in raw:
            if spec.default is MISSING and spec.default_factory is MISSING:
                raise ConfigError(f"{where}: key '{name}' is missing")
            continue
        value = raw[name]
        kind = str(spec.type if isinstance(spec.type, str) else _type_name(spec.type))
        if not isinstance(value, _TYPES[kind]) or isinstance(value, bool) is not (kind == "bool"):
            raise ConfigError(f"{where} {name} is {_NAMES[kind]}, not {value!r}")
        if isinstance(value, list):
            if not all(isinstance(item, str) for item in value):
                raise ConfigError(f"{where} {name} is {_NAMES[kind]}, not {value!r}")
            value = tuple(value)
        values[name] = value
    return cls(**values)


def _type_name(annotation: Any) -> str:
    return (
        annotation.__name__
        if isinstance(annotation, type) and "[" not in str(annotation)
        else str(annotation)
    )


def _keyspace(raw: Mapping[str, Any], index: int) -> Keyspace:
    where = f"[[keyspaces]] {raw.get('name', index + 1)}"
    plain = {key: value for key, value in raw.items() if key != "external"}
    _known(raw, {f.name for f in fields(Keyspace)}, where)
    external = []
    for i, item in _tables(raw, "external"):
        spot = f"{where} external {i + 1}"
        _known(item, {"shard", "dsn"}, spot)
        for key in ("shard", "dsn"):
            if not isinstance(item.get(key), str):
                raise ConfigError(f"{spot}: key '{key}' is missing or not a string")
        dsn = Dsn.parse(item["dsn"], f"{spot} dsn")
        if not dsn.database:
            raise ConfigError(
                f"{spot} dsn: the database is missing: mysql://USER:PASSWORD@HOST:PORT/DATABASE"
            )
        external.append(External(item["shard"], dsn))
    keyspace = _section(Keyspace, plain, where)
    return replace(keyspace, external=tuple(external))


_POSITIVE: Final = {
    "router": ("max_connections", "max_memory_rows", "login_timeout_s", "max_half_open", "plan_cache_bytes"),
    "tablet": (
        "queue_size",
        "queue_timeout_ms",
        "query_timeout_s",
        "transaction_timeout_s",
        "idle_transaction_timeout_s",
        "idle_timeout_s",
        "max_lifetime_s",
    ),
}


def _check(config: Config) -> None:
    for section, keys in _POSITIVE.items():
        for key in keys:
            if getattr(getattr(config, section), key) <= 0:
                raise ConfigError(f"[{section}] {key} must be greater than 0")
    if not config.cluster.name or "/" in config.cluster.name:
        raise ConfigError("[cluster] name must not be empty and has no '/'")
    parse_address(config.router.mysql, "[router] mysql")
    parse_address(config.router.http, "[router] http")
    if config.router.workers < 0:
        raise ConfigError("[router] workers must be 0 (chosen from the cores) or more")
    if config.router.transaction_mode not in ("single", "multi"):
        raise ConfigError("[router] transaction_mode is 'single' or 'multi'")
    if not 1 << 20 <= config.router.max_allowed_packet <= 128 << 20:  # half a frame between router and tablet
        raise ConfigError("[router] max_allowed_packet must be 1 MiB (1048576) or more, and at most 128 MiB")
    if bool(config.router.tls_cert) != bool(config.router.tls_key):
        raise ConfigError("[router] tls_cert and tls_key belong together: give both or neither")
    for key in ("tls_cert", "tls_key"):
        _file_exists(config, getattr(config.router, key), f"[router] {key}")
    if config.tablet.pool_size < 3:
        raise ConfigError(
            "[tablet] pool_size must be 3 or more: one for the tablet's own work, two for clients"
        )
    if not 0 < config.tablet.reserved_share <= 1:
        raise ConfigError("[tablet] reserved_share must be above 0 and at most 1")
    if config.tablet.consolidator not in ("on", "off"):
        raise ConfigError("[tablet] consolidator is 'on' or 'off'")
    for endpoint in config.etcd.endpoints:
        parse_address(endpoint, "[etcd] endpoints")
    _ = config.mysql.memory_bytes
    if config.mysql.binary and "/" in config.mysql.binary:
        _file_exists(config, config.mysql.binary, "[mysql] binary")
    _check_keyspaces(config)
    _check_users(config)


def _check_keyspaces(config: Config) -> None:
    if not config.keyspaces:
        raise ConfigError("no [[keyspaces]]: a cluster has at least one")
    seen: set[str] = set()
    for keyspace in config.keyspaces:
        where = f"[[keyspaces]] {keyspace.name}"
        if not keyspace.name or not keyspace.name.replace("_", "a").replace("-", "a").isalnum():
            raise ConfigError(f"{where}: name has letters, digits, '_' and '-' only")
        if keyspace.name.lower() in RESERVED_KEYSPACES:
            raise ConfigError(f"{where}: the name '{keyspace.name}' belongs to MySQL itself; choose another")
        if keyspace.name in seen:
            raise ConfigError(f"{where} stands twice")
        seen.add(keyspace.name)
        problem = partition_error(list(keyspace.shards))
        if problem:
            raise ConfigError(f"{where} shards: {problem}")
        if keyspace.replicas < 0:
            raise ConfigError(f"{where} replicas must be 0 or more")
        if keyspace.replicas:
            raise ConfigError(f"{where} replicas: this version serves primaries only; write replicas = 0")
        _file_exists(config, keyspace.vschema, f"{where} vschema")
        _file_exists(config, keyspace.schema, f"{where} schema")
        if len(keyspace.shards) > 1 and not keyspace.vschema:
            raise ConfigError(f"{where}: several shards need a vschema that says how tables are sharded")
        for external in keyspace.external:
            if external.shard not in keyspace.shards:
                raise ConfigError(f"{where} external: shard '{external.shard}' is not in shards")
        if len({e.shard for e in keyspace.external}) != len(keyspace.external):
            raise ConfigError(f"{where} external: a shard stands twice")


def _check_users(config: Config) -> None:
    names = [user.name for user in config.users]
    keyspaces = {keyspace.name for keyspace in config.keyspaces}
    for user in config.users:
        where = f"[[users]] {user.name}"
        if names.count(user.name) > 1:
            raise ConfigError(f"{where} stands twice")
        if (user.password is None) == (user.password_hash is None):
            raise ConfigError(f"{where}: give either password or password_hash")
        if (
            user.default_keyspace
            and user.default_keyspace.partition(":")[0].partition("@")[0] not in keyspaces
        ):
            raise ConfigError(f"{where} default_keyspace: there is no keyspace '{user.default_keyspace}'")
        if user.max_connections < 0:
            raise ConfigError(f"{where} max_connections must be 0 (not limited) or more")
        for text in user.roles:
            try:
                role = parse_role(text)
            except RoleError as error:
                raise ConfigError(f"{where} roles: {error}") from None
            if role.keyspace and role.keyspace not in keyspaces:
                raise ConfigError(f"{where} roles: there is no keyspace '{role.keyspace}'")


def _file_exists(config: Config, path: str, key: str) -> None:
    if path and not config.resolve(path).is_file():
        raise ConfigError(f"{key}: there is no file {config.resolve(path)}")
