"""Key ranges under the topology's name. They live in `core.keyrange`, since the configuration checks them too."""

from core.keyrange import (
    FULL_RANGE,
    KeyRange,
    KeyRangeError,
    ShardMap,
    partition_error,
    prefix_range,
)

__all__ = ["FULL_RANGE", "KeyRange", "KeyRangeError", "ShardMap", "partition_error", "prefix_range"]
