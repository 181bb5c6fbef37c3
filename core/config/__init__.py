"""`cluster.toml` as frozen dataclasses: read once, unknown keys refused, nothing started on an error.

Every error is a ConfigError whose message names the file's key and what to change; `clusterctl` prints it and
exits with status 2. Relative paths are relative to the file. Live values (limits, VSchema) come from etcd, not
from here.
"""

from core.config.checks import RESERVED_KEYSPACES as RESERVED_KEYSPACES
from core.config.reading import from_dict as from_dict
from core.config.reading import load as load
from core.config.texts import ConfigError as ConfigError
from core.config.texts import parse_address as parse_address
from core.config.texts import parse_size as parse_size
from core.config.values import Cluster as Cluster
from core.config.values import Config as Config
from core.config.values import Dsn as Dsn
from core.config.values import Etcd as Etcd
from core.config.values import External as External
from core.config.values import Keyspace as Keyspace
from core.config.values import Mysql as Mysql
from core.config.values import Router as Router
from core.config.values import Tablet as Tablet
from core.config.values import User as User
