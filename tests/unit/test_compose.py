"""docker-compose.yml and the Dockerfile against the code, since a container engine is not at hand everywhere."""

import argparse
import importlib
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from core.config import Config, load, parse_address

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
CONFIG_PATH = "/etc/sluice/cluster.toml"
ROLES = {
    name: service
    for name, service in SERVICES.items()
    if service.get("command", [""])[:2] == ["python", "-m"] and name != "seed"
}
TABLETS = {name: service for name, service in ROLES.items() if service["command"][2] == "tablet"}
ROUTERS = {name: service for name, service in ROLES.items() if service["command"][2] == "router"}
MYSQLS = {name: service for name, service in SERVICES.items() if name.startswith("mysql-")}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The file as the containers see it: with the files that are mounted beside it."""
    home = tmp_path_factory.mktemp("etc")
    for source, target in _mounts(ROLES["controlplane"]).items():
        assert target.parent == Path(CONFIG_PATH).parent
        (home / target.name).write_bytes((ROOT / source).read_bytes())
    return load(home / "cluster.toml")


def _mounts(service: dict[str, Any]) -> dict[str, Path]:
    """Host path to container path, of the files of this repository."""
    pairs = [volume.split(":") for volume in service["volumes"]]
    return {pair[0]: Path(pair[1]) for pair in pairs if pair[0].startswith("./")}


def _parse(command: list[str]) -> argparse.Namespace:
    """What the module's own parser makes of the command. Fails the test where it refuses it."""
    module = importlib.import_module(f"{command[2]}.__main__")
    parsed: list[argparse.Namespace] = []

    class Stop(Exception):
        pass

    whole = argparse.ArgumentParser.parse_args

    def parse(self: argparse.ArgumentParser, *args: Any) -> argparse.Namespace:
        parsed.append(whole(self, *args))
        raise Stop

    with (
        mock.patch.object(sys, "argv", ["python", *command[3:]]),
        mock.patch.object(argparse.ArgumentParser, "parse_args", parse),
        pytest.raises(Stop),
    ):
        module.main()
    return parsed[0]


@pytest.mark.parametrize("name", sorted(ROLES))
def test_every_role_takes_its_command(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    parsed = _parse(ROLES[name]["command"])
    assert str(parsed.file) == CONFIG_PATH


def test_every_shard_has_one_tablet_and_each_its_own_alias(config: Config) -> None:
    parsed = [_parse(service["command"]) for service in TABLETS.values()]
    wanted = [(k.name, shard) for k in config.keyspaces for shard in k.shards]
    assert sorted((p.keyspace, p.shard) for p in parsed) == sorted(wanted)
    assert {p.alias for p in parsed} == set(TABLETS)


def test_a_tablet_waits_for_the_mysql_of_its_dsn(config: Config) -> None:
    for name, service in TABLETS.items():
        parsed = _parse(service["command"])
        keyspace = next(k for k in config.keyspaces if k.name == parsed.keyspace)
        dsn = keyspace.external_dsn(parsed.shard)
        assert dsn is not None
        assert service["depends_on"][dsn.host] == {"condition": "service_healthy"}, name
        assert (dsn.port, SERVICES[dsn.host]["environment"]["MYSQL_DATABASE"]) == (3306, dsn.database)


def test_the_account_of_the_dsns_is_the_one_that_the_servers_make(config: Config) -> None:
    lines = (ROOT / "deploy/mysql.env").read_text().splitlines()
    env = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    for service in MYSQLS.values():
        assert service["env_file"] == "deploy/mysql.env"
    for keyspace in config.keyspaces:
        for external in keyspace.external:
            assert (external.dsn.user, external.dsn.password) == (env["MYSQL_USER"], env["MYSQL_PASSWORD"])


def test_every_mysql_gets_its_keyspace_schema_and_bears_the_pool(config: Config) -> None:
    for name, service in MYSQLS.items():
        keyspace = next(k for k in config.keyspaces if k.name == service["environment"]["MYSQL_DATABASE"])
        (scripts,) = _mounts(service)
        assert Path(scripts).name == keyspace.schema
        options = dict(option.lstrip("-").split("=", 1) for option in service["command"] if "=" in option)
        assert int(options["max-connections"]) > config.tablet.pool_size + 1, name
        assert f"{name}:/var/lib/mysql" in service["volumes"]


def test_tablets_listen_where_others_reach_them() -> None:
    for service in TABLETS.values():
        listen = _parse(service["command"]).listen
        assert re.fullmatch(r"tcp://eth0:\d+", listen)
        assert listen.rpartition(":")[2] in service["healthcheck"]["test"][-1]


def test_published_ports_are_those_of_the_file(config: Config) -> None:
    _, mysql = parse_address(config.router.mysql, "")
    _, http = parse_address(config.router.http, "")
    published: list[str] = []
    for service in ROUTERS.values():
        pairs = [port.rsplit(":", 2) for port in service["ports"]]
        assert [int(inner) for _, _, inner in pairs] == [mysql, http]
        assert {host for host, _, _ in pairs} == {"127.0.0.1"}
        published += [outer for _, outer, _ in pairs]
        assert f":{http}/healthz" in service["healthcheck"]["test"][-1]
    assert len(set(published)) == len(published)
    numbers = [_parse(service["command"]) for service in ROUTERS.values()]
    assert len({(p.id, p.number) for p in numbers}) == len({p.number for p in numbers}) == len(ROUTERS)


def test_descriptors_bear_max_connections(config: Config) -> None:
    from router.workers.boot import DESCRIPTORS_FOR_ITSELF

    for service in ROUTERS.values():
        room = service["ulimits"]["nofile"]["hard"] - DESCRIPTORS_FOR_ITSELF
        assert config.router.max_connections < room


def test_etcd_is_where_the_file_says(config: Config) -> None:
    (endpoint,) = config.etcd.endpoints
    host, port = parse_address(endpoint, "")
    options = dict(option.lstrip("-").split("=", 1) for option in SERVICES[host]["command"])
    assert options["advertise-client-urls"] == f"http://{endpoint}"
    assert options["listen-client-urls"].endswith(f":{port}")


def test_the_seed_is_a_module_and_comes_first() -> None:
    module = SERVICES["seed"]["command"][2]
    assert callable(importlib.import_module(module).main)
    assert SERVICES["seed"]["command"][3:] == [CONFIG_PATH]
    for name, service in ROLES.items():
        assert service["depends_on"]["seed"] == {"condition": "service_completed_successfully"}, name


def test_names_and_mounts_exist() -> None:
    for name, service in SERVICES.items():
        for other in service.get("depends_on", {}):
            assert other in SERVICES, f"{name} depends on {other}"
        for source in _mounts(service) if "volumes" in service else ():
            assert (ROOT / source).is_file(), f"{name} mounts {source}"
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source.startswith("./") or source in COMPOSE["volumes"], f"{name} uses volume {source}"
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} publishes {port} to everybody"
        if name not in ("seed", "controlplane"):
            assert "healthcheck" in service, name


def test_python_in_health_checks_compiles() -> None:
    for service in SERVICES.values():
        test = service.get("healthcheck", {}).get("test", [])
        if test[:3] == ["CMD", "python", "-c"]:
            compile(test[3], "healthcheck", "exec")


def test_the_image_has_every_package_and_every_target() -> None:
    text = (ROOT / "Dockerfile").read_text()
    targets = set(re.findall(r"^FROM \S+ AS (\w+)", text, re.MULTILINE))
    assert {service["build"]["target"] for service in SERVICES.values() if "build" in service} <= targets
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {p.rstrip("*") for p in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    copied: set[str] = set()
    for line in text.splitlines():
        words = shlex.split(line) if line.startswith("COPY") else []
        if words and not words[1].startswith("--"):
            copied |= set(words[1:-1])
    assert packages <= copied
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for source in copied:
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored
    assert {s["image"] for s in ROLES.values()} == {f"sluice:{project['project']['version']}"}
