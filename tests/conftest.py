"""Fixtures of real servers. What they start ends with the test or the session, whatever happens."""

import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from zlib import crc32

import hypothesis
import pluggy
import pytest
from xdist.remote import Producer

from cli.local import EtcdServer, Flavour, create_database
from tests.kit.cluster import Cluster
from tests.kit.proxy import Address, CutProxy
from tests.kit.servers import FLAVOURS, Running, RunningMysql, Servers, Templates
from tests.kit.sharing import ByFlavour


def pytest_configure() -> None:
    """Servers that the tests start can be interrupted, also where the tests are a shell's background job; examples of
    hypothesis are the same in each run, and none fails for a busy machine."""
    hypothesis.settings.register_profile("sluice", derandomize=True, deadline=None, database=None)
    hypothesis.settings.load_profile("sluice")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)  # where xdist is not loaded (`-p no:xdist`)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFlavour:
    """Who hands the tests out to processes (`-n`)."""
    return ByFlavour(config, log)


@pytest.fixture(scope="session", params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """Each installed flavour in turn: "mysql", "mariadb"."""
    chosen: Flavour = request.param
    return chosen


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    return Templates(tmp_path_factory.mktemp("templates"))


@pytest.fixture(scope="session")
def shared_servers(tmp_path_factory: pytest.TempPathFactory, templates: Templates) -> Iterator[Servers]:
    """What lives as long as the session."""
    servers = Servers(tmp_path_factory.mktemp("shared"), templates)
    try:
        yield servers
    finally:
        servers.close()


@pytest.fixture
def servers(tmp_path: Path, templates: Templates) -> Iterator[Servers]:
    """Starts servers for one test: `servers.mysql(flavour, ...)`, `servers.etcd()`."""
    mine = Servers(tmp_path, templates)
    try:
        yield mine
    finally:
        mine.close()


@pytest.fixture(scope="session")
def mysql_server(shared_servers: Servers, flavour: Flavour) -> RunningMysql:
    """A server of each flavour that all tests share: make a database of your own and drop it."""
    return shared_servers.mysql(flavour, memory_bytes=256 * 1024 * 1024, max_connections=300)


@pytest.fixture
def database(mysql_server: RunningMysql, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of the test's own on `mysql_server`; modules that want tables in it override this."""
    name = f"t_{crc32(request.node.nodeid.encode())}"
    create_database(mysql_server.server, name)
    yield name
    mysql_server.query(f"DROP DATABASE {name}")


@pytest.fixture(scope="session")
def etcd_server(shared_servers: Servers) -> Running[EtcdServer]:
    """An etcd that all tests share: use a cluster name of your own."""
    return shared_servers.etcd()


@pytest.fixture
def clean_server(servers: Servers) -> Callable[..., RunningMysql]:
    """`clean_server(flavour, memory_bytes=..., max_connections=..., extra=...)`: a MySQL of this test's own."""
    return servers.mysql


@pytest.fixture
def clean_etcd(servers: Servers) -> Callable[[], Running[EtcdServer]]:
    """`clean_etcd()`: an etcd of this test's own, to be killed at will."""
    return servers.etcd


@pytest.fixture(scope="session")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, templates: Templates, flavour: Flavour
) -> Iterator[Cluster]:
    """A whole cluster of each flavour that all tests share: clear the tables that you write to."""
    mine = Cluster(tmp_path_factory.mktemp(f"cluster-{flavour}"), flavour, templates)
    try:
        yield mine
    finally:
        mine.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, "pluggy.Result[pytest.TestReport]", None]:
    """A failed test of a cluster shows what its processes said last."""
    outcome = yield
    report = outcome.get_result()
    found = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(found, Cluster):
        report.sections.append(("the cluster's logs", found.log_tails()))


@pytest.fixture
def cut_proxy(tmp_path: Path) -> Iterator[Callable[[Address], CutProxy]]:
    """`cut_proxy(("127.0.0.1", port))` or `cut_proxy("/path")`: a proxy on TCP before that server."""
    proxies: list[CutProxy] = []

    def start(target: Address) -> CutProxy:
        proxies.append(CutProxy(target))
        return proxies[-1]

    try:
        yield start
    finally:
        for proxy in proxies:
            proxy.close()
