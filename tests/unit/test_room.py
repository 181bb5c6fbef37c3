"""What is said of a machine that will not hold all clients."""

from dataclasses import replace

from cli.cluster.room import Kernel, warnings

ROOMY = Kernel(
    descriptors=1 << 20, file_max=1 << 40, somaxconn=4096, memory_bytes=64 << 30, tcp_mem_pages=1 << 30
)


def test_a_roomy_machine_is_not_spoken_of() -> None:
    assert warnings(1_000_000, 2, ROOMY) == []


def test_a_small_cluster_is_not_spoken_of() -> None:
    assert warnings(10_000, 2, Kernel(1024, 1024, 128, 1 << 30, 100)) == []


def test_each_limit_has_its_command() -> None:
    for poor, command in (
        (replace(ROOMY, file_max=100_000), "sysctl -w fs.file-max=2201600"),
        (replace(ROOMY, somaxconn=128), "sysctl -w net.core.somaxconn=4096"),
        (replace(ROOMY, tcp_mem_pages=1000), 'sysctl -w net.ipv4.tcp_mem="125000 187500 250000"'),
        (replace(ROOMY, conntrack=65_536), "sysctl -w net.netfilter.nf_conntrack_max=2201600"),
        (replace(ROOMY, ports=28_232), 'sysctl -w net.ipv4.ip_local_port_range="1024 65535"'),
        (replace(ROOMY, memory_bytes=2 << 30), "lower [router] max_connections"),
    ):
        (warning,) = warnings(1_000_000, 2, poor)
        assert command in warning


def test_many_workers_for_want_of_descriptors() -> None:
    (warning,) = warnings(1_000_000, 1000, replace(ROOMY, descriptors=20_000, memory_bytes=1 << 40))
    assert "ulimit -Hn 1048576" in warning
