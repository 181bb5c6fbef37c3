"""What must hold of a Config beyond the types of its values. Each failure names the key and what to change."""

from typing import Final

from core.config.texts import ConfigError, parse_address
from core.config.values import Config
from core.keyrange import partition_error
from core.users import RoleError, parse_role

RESERVED_KEYSPACES: Final = frozenset({"mysql", "information_schema", "performance_schema", "sys"})

_POSITIVE: Final = {
    "router": (
        "max_connections",
        "max_memory_rows",
        "login_timeout_s",
        "max_half_open",
        "plan_cache_bytes",
        "http_idle_timeout_s",
    ),
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


def check(config: Config) -> None:
    """Raises ConfigError."""
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
