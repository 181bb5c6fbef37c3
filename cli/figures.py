"""What a client, a query and a process cost, as measured: the one place for the constants of sizing.

Source: docs/connections.md (an idle client, workers, the kernel) and docs/performance.md (queries, memory). When a
figure there changes, change it here: `up`'s warnings and `clusterctl plan` follow.
"""

from typing import Final

KERNEL_BYTES: Final = 5_000
"""Of the kernel's memory for one idle connection's end, measured; a client on the same machine takes as much."""
PARKED_BYTES: Final = 300
"""Of a router worker's memory for one parked client: 270 measured."""
AWAKE_BYTES: Final = 1_100
"""Of a router worker's memory for a client that asked lately: 940 measured."""
WORKER_BYTES: Final = 16_000_000
"""Of its own for a router worker, warm."""
ROUTER_BYTES: Final = 60_000_000
"""The router's main process and fork server."""
TABLET_BYTES: Final = 60_000_000
CONTROL_BYTES: Final = 160_000_000
"""Control plane and etcd."""

ROUTER_QUERY_S: Final = 45e-6
"""CPU of a router worker for a query that goes to one shard: the budget; 21 us were measured for point selects."""
TABLET_QUERY_S: Final = 45e-6
"""CPU of a tablet, likewise; 26 us were measured."""
CORE_USE: Final = 0.6
"""How full a process' core may be planned: what is above makes p99 grow."""

WORKER_DESCRIPTORS: Final = 400
"""What a worker needs beside its clients."""
UNEVEN: Final = 1.1
"""SO_REUSEPORT spreads clients by hash: a tenth more room in each worker."""
BACKLOG: Final = 4096
TCP_BYTES: Final = 1024
"""Of tcp_mem for one idle client: its buffers are empty."""
MEMORY_USE: Final = 0.8
"""Share of a machine's memory that is planned with."""
