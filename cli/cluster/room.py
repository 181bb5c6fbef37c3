"""What the kernel must allow for `[router] max_connections`: said before anything is started, with the commands that
mend it. Pure but for `read_kernel`.

Invariants: nothing here stops `up` (router.workers.boot refuses what is impossible); every warning names the number
that is, the number that should be, and one command.
"""

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli import figures
from cli.sizing import kernel_for

STORM_FROM: Final = 20_000
"""From so many clients on, the backlog and the machine's limits are looked at."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """What this machine allows."""

    descriptors: int
    """Of one process, hard limit."""
    file_max: int
    somaxconn: int
    memory_bytes: int
    tcp_mem_pages: int
    """Where the kernel refuses memory to sockets."""
    ports: int = 64_512
    """Local ports for connections that are made here: of clients on this machine."""
    conntrack: int = 1 << 62
    """Connections that a firewall here can track."""
    page_bytes: int = 4096


def read_kernel() -> Kernel:
    """Numbers that cannot be read count as unlimited."""
    return Kernel(
        descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        file_max=_number("/proc/sys/fs/file-max", 0),
        somaxconn=_number("/proc/sys/net/core/somaxconn", 0),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        tcp_mem_pages=_number("/proc/sys/net/ipv4/tcp_mem", 2),
        ports=_number("/proc/sys/net/ipv4/ip_local_port_range", 1)
        - _number("/proc/sys/net/ipv4/ip_local_port_range", 0)
        + 1,
        conntrack=_number("/proc/sys/net/netfilter/nf_conntrack_max", 0),
        page_bytes=os.sysconf("SC_PAGE_SIZE"),
    )


def warnings(max_connections: int, workers: int, kernel: Kernel) -> list[str]:
    """What will not hold `max_connections`, each with the command that mends it."""
    found: list[str] = []
    if max_connections < STORM_FROM:
        return found
    need = kernel_for(max_connections, workers, kernel.page_bytes)
    wanted = need.file_max
    if kernel.file_max < wanted:
        found.append(
            f"fs.file-max is {kernel.file_max:,}, {max_connections:,} clients need {wanted:,}:"
            f" sysctl -w fs.file-max={2 * wanted}"
        )
    if kernel.somaxconn < need.somaxconn:
        found.append(
            f"net.core.somaxconn is {kernel.somaxconn}: storms of logins overflow it:"
            f" sysctl -w net.core.somaxconn={need.somaxconn}"
        )
    pages = need.tcp_mem_pages
    if kernel.tcp_mem_pages < pages:
        found.append(
            f"net.ipv4.tcp_mem ends at {kernel.tcp_mem_pages:,} pages, {max_connections:,} clients may need {pages:,}:"
            f' sysctl -w net.ipv4.tcp_mem="{pages // 2} {pages * 3 // 4} {pages}"'
        )
    if kernel.conntrack < need.conntrack:
        found.append(
            f"net.netfilter.nf_conntrack_max is {kernel.conntrack:,}, {max_connections:,} clients need"
            f" {need.conntrack:,}: sysctl -w net.netfilter.nf_conntrack_max={2 * need.conntrack}"
        )
    if 0 < kernel.ports < min(max_connections, 60_000):
        found.append(
            f"net.ipv4.ip_local_port_range has {kernel.ports:,} ports: no client address of this machine can have"
            ' more connections: sysctl -w net.ipv4.ip_local_port_range="1024 65535", and several addresses'
        )
    each = figures.KERNEL_BYTES + figures.PARKED_BYTES
    memory = max_connections * each + workers * figures.WORKER_BYTES
    if memory > kernel.memory_bytes * figures.MEMORY_USE:
        found.append(
            f"{max_connections:,} clients take about {memory / 1e9:.1f} GB of the router's machine,"
            f" which has {kernel.memory_bytes / 1e9:.1f} GB: lower [router] max_connections, or add memory"
        )
    if workers > 4 * (os.cpu_count() or 1) and kernel.descriptors < 1_000_000:
        found.append(
            f"{workers} router workers are needed, since a process may have {kernel.descriptors:,} descriptors;"
            " fewer would do: ulimit -Hn 1048576 before clusterctl up (LimitNOFILE=1048576 under systemd)"
        )
    return found


def _number(path: str, column: int) -> int:
    try:
        return int(Path(path).read_text().split()[column])
    except (OSError, ValueError, IndexError):
        return 1 << 62
