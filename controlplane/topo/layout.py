"""Where records lie in etcd. Keys are relative to `/sluice/<cluster>/`; values are JSON, so `etcdctl` shows them.

| key | record | written by | lives |
| --- | --- | --- | --- |
| `keyspaces/<ks>` | KeyspaceRecord | `clusterctl up` (seed) | until removed |
| `vschema/<ks>` | Vitess's VSchema JSON, whole | seed, `clusterctl vschema apply` | until removed |
| `shards/<ks>/<range>` | ShardRecord | seed | until removed |
| `tablets/<alias>` | TabletRecord | the tablet | its lease |
| `threads/<ks>/<range>` | the tablet's threads of MySQL (tablet/daemon/threads.py) | the tablet | until removed |
| `routers/<id>` | RouterRecord | the router's main process | its lease |
| `controlplanes/<id>` | ControlPlaneRecord | the daemon | its lease |
| `users/<name>` | UserRecord | `clusterctl users` | until removed |
| `secrets/http` | the key of the HTTP API's sessions, hex | the first router | until removed |
| `limits/<scope>` | LimitRecord | `clusterctl limits set` | until removed |
| `leader` | LeaderRecord | the daemon that leads | its lease |
| `health` | HealthRecord | the leader | until the next one |
| `shares/<router id>` | ShareRecord | the leader | as long as the router |
| `locks/<name>` | free | whoever locks | its lease |

Names may not hold a slash, since it divides keys; a limit's scope does (`shard:commerce/-80`), and it is last.
"""

from typing import Final

from controlplane.topo.errors import TopoError

ROOT: Final = "/sluice/"

KEYSPACES: Final = "keyspaces/"
VSCHEMA: Final = "vschema/"
SHARDS: Final = "shards/"
TABLETS: Final = "tablets/"
THREADS: Final = "threads/"
ROUTERS: Final = "routers/"
CONTROLPLANES: Final = "controlplanes/"
LIMITS: Final = "limits/"
USERS: Final = "users/"
SECRETS: Final = "secrets/"
HTTP_KEY: Final = "secrets/http"
SHARES: Final = "shares/"
LOCKS: Final = "locks/"
LEADER: Final = "leader"
HEALTH: Final = "health"


def base(cluster: str) -> str:
    """The prefix of everything of this cluster. Raises TopoError for a name that cannot stand in a key."""
    return f"{ROOT}{_name(cluster, 'cluster')}/"


def keyspace(name: str) -> str:
    return KEYSPACES + _name(name, "keyspace")


def vschema(name: str) -> str:
    return VSCHEMA + _name(name, "keyspace")


def shards_of(name: str) -> str:
    """The prefix of one keyspace's shards."""
    return f"{SHARDS}{_name(name, 'keyspace')}/"


def shard(keyspace_name: str, shard_name: str) -> str:
    return shards_of(keyspace_name) + _name(shard_name, "shard")


def tablet(alias: str) -> str:
    return TABLETS + _name(alias, "tablet alias")


def threads(keyspace_name: str, shard_name: str) -> str:
    return f"{THREADS}{_name(keyspace_name, 'keyspace')}/{_name(shard_name, 'shard')}"


def router(router_id: str) -> str:
    return ROUTERS + _name(router_id, "router id")


def controlplane(controlplane_id: str) -> str:
    return CONTROLPLANES + _name(controlplane_id, "control plane id")


def share(router_id: str) -> str:
    return SHARES + _name(router_id, "router id")


def limit(scope: str) -> str:
    """`scope` as `core.limits.parse_scope` gives it back."""
    return LIMITS + scope


def user(name: str) -> str:
    return USERS + _name(name, "user name")


def last(key: str) -> str:
    """The last part of a key: `tablets/a1` -> `a1`."""
    return key.rpartition("/")[2]


def _name(text: str, what: str) -> str:
    if not text or "/" in text or any(ord(c) < 33 or ord(c) == 127 for c in text):
        raise TopoError(
            f"{what} {text!r} cannot stand in a key: it is empty, or holds a slash, blank or control"
        )
    return text
