"""The records of the topology as values, to and from the JSON that etcd holds.

Reading tolerates fields that it does not know (a newer version wrote them) and raises TopoError, naming the key and
the field, for a required one that is missing or of a wrong type. A VSchema is Vitess's JSON, which `router.vschema`
reads; a limit is read by `core.limits.Limit.from_json`.
"""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Final, Self, cast

from controlplane.topo.errors import TopoError
from controlplane.topo.values import Value

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "tuple[str, ...]": (list, tuple),
    "dict[str, Any]": (dict,),
}


class _Json:
    """`from_json` and `to_json` of a dataclass whose fields are of the types above."""

    __slots__ = ()

    @classmethod
    def from_json(cls, key: str, value: Mapping[str, Any]) -> Self:
        """`key` is for the error's text. Raises TopoError."""
        found: dict[str, Any] = {}
        for spec in fields(cast(Any, cls)):
            if spec.name not in value:
                if spec.default is MISSING and spec.default_factory is MISSING:
                    raise TopoError(f"{key}: the record has no '{spec.name}'")
                continue
            item = value[spec.name]
            kind = spec.type if isinstance(spec.type, str) else _name(spec.type)
            if not isinstance(item, _TYPES[kind]) or (isinstance(item, bool) and kind != "bool"):
                raise TopoError(f"{key}: '{spec.name}' is {item!r}, not of type {kind}")
            found[spec.name] = tuple(item) if isinstance(item, list) else item
        return cls(**found)

    def to_json(self) -> Value:
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(cast(Any, self)).items()}


def _name(annotation: Any) -> str:
    text = str(annotation)
    return text.replace("typing.", "") if "[" in text else str(annotation.__name__)


@dataclass(frozen=True, slots=True)
class KeyspaceRecord(_Json):
    """`keyspaces/<name>`"""

    name: str
    sharded: bool
    """More than one shard; the VSchema says whether its tables have vindexes."""


@dataclass(frozen=True, slots=True)
class ShardRecord(_Json):
    """`shards/<keyspace>/<range>`"""

    keyspace: str
    shard: str
    primary: str = ""
    """Alias of the tablet that is its primary; empty: whichever registers as PRIMARY."""


@dataclass(frozen=True, slots=True)
class TabletRecord(_Json):
    """`tablets/<alias>`, on the tablet's lease."""

    alias: str
    keyspace: str
    shard: str
    endpoint: str
    """ZeroMQ endpoint that it binds."""
    type: str = "PRIMARY"
    state: str = "STARTING"
    """As in `core.rpc.messages`."""
    pid: int = 0
    host: str = ""
    server_version: str = ""
    """What its MySQL announces."""


@dataclass(frozen=True, slots=True)
class RouterRecord(_Json):
    """`routers/<id>`, on the router's lease."""

    id: str
    mysql: str = ""
    http: str = ""
    state: str = "STARTING"
    pid: int = 0
    host: str = ""
    demand: dict[str, Any] = field(default_factory=dict)
    """{scope: {"connections" or "concurrency": how many use it or wait for it here}}."""

    def demand_of(self, scope: str, key: str) -> int:
        """0 where it says nothing, or nothing sensible."""
        keys = self.demand.get(scope)
        number = keys.get(key, 0) if isinstance(keys, dict) else 0
        return number if isinstance(number, int) and number > 0 else 0


@dataclass(frozen=True, slots=True)
class ControlPlaneRecord(_Json):
    """`controlplanes/<id>`, on the daemon's lease."""

    id: str
    pid: int = 0
    host: str = ""
    state: str = "STARTING"


@dataclass(frozen=True, slots=True)
class LeaderRecord(_Json):
    """`leader`: written once a term and never changed, so that its mod revision is the term's fencing token."""

    id: str
    pid: int = 0
    host: str = ""


@dataclass(frozen=True, slots=True)
class UserRecord(_Json):
    """`users/<name>`: overrides a user of that name in cluster.toml. Never holds a password, only what checks one."""

    name: str
    native: str
    """`*HEX`, what mysql_native_password checks; empty: not by that plugin."""
    sha2: str
    """`0x...`, the `$A$...` of caching_sha2_password in hex digits; empty: not by that plugin."""
    empty_password: bool = False
    """Both are empty because the password is. With neither, nobody gets in."""
    default_keyspace: str = ""
    roles: tuple[str, ...] = ()
    require_tls: bool = False
    max_connections: int = 0
    removed: bool = False
    """There is no such user, whatever cluster.toml says."""


@dataclass(frozen=True, slots=True)
class ShareRecord(_Json):
    """`shares/<router id>`, written by the leader."""

    shares: dict[str, Any]
    """{scope: {key: [this router's share, the limit that was divided]}}: see `core.limits.to_snapshot`."""


@dataclass(frozen=True, slots=True)
class HealthRecord(_Json):
    """`health`: what the leader sees; written when it changes."""

    leader: str
    shards: dict[str, Any]
    """{keyspace/shard: state of its primary, or DEAD where none is registered}."""
    routers: dict[str, Any]
    """{router id: state}."""
    problems: tuple[str, ...] = ()
    """For a person, one line each; empty: all is well."""
