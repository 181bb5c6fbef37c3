"""The commands of docker-compose.yml as plain processes: every role alone, external MySQL, tablets on TCP.

Only addresses differ from what the containers run: names of services become ports of this machine.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
import yaml

from cli.local import Flavour
from tests.kit.cluster import wait_for
from tests.kit.servers import RunningMysql, Servers, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


class Alone:
    """The roles of the compose file, each a process of ours."""

    def __init__(self, home: Path, mysql: RunningMysql, etcd_port: int) -> None:
        self.home = home
        self.port, self.http = free_port(), free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        text = (ROOT / "deploy" / "cluster.toml").read_text()
        text = text.replace("/var/lib/sluice", str(home / "data"))
        text = text.replace("etcd:2379", f"127.0.0.1:{etcd_port}")
        text = text.replace("0.0.0.0:15306", f"127.0.0.1:{self.port}")
        text = text.replace("0.0.0.0:15380", f"127.0.0.1:{self.http}")
        # One server stands for all three, with a database each.
        databases = {"mysql-commerce-0": "c0", "mysql-commerce-1": "c1", "mysql-main": "main"}
        for host, database in databases.items():
            text = re.sub(rf"@{host}:3306/\w+", f"@127.0.0.1:{mysql.port}/{database}", text)
        self.file = home / "cluster.toml"
        self.file.write_text(text)
        for name in ("commerce.sql", "main.sql", "commerce.vschema.json", "main.vschema.json"):
            shutil.copy(ROOT / "cli" / "demo" / name, home)
        for host, database in databases.items():
            self._prepare(mysql, host, database)

    def _prepare(self, mysql: RunningMysql, host: str, database: str) -> None:
        """What the image of MySQL does with its environment and initdb scripts."""
        mysql.query(f"CREATE DATABASE {database}")
        mysql.query("CREATE USER IF NOT EXISTS 'sluice'@'%' IDENTIFIED BY 'change-me'")
        mysql.query(f"GRANT ALL PRIVILEGES ON {database}.* TO 'sluice'@'%'")
        name = SERVICES[host]["environment"]["MYSQL_DATABASE"]
        for statement in (ROOT / "cli" / "demo" / f"{name}.sql").read_text().split(";\n"):
            if statement.strip():
                mysql.query(statement, database)

    def argv(self, service: str) -> list[str]:
        swap = {"python": sys.executable, "/etc/sluice/cluster.toml": str(self.file)}
        argv = [swap.get(word, word) for word in SERVICES[service]["command"]]
        return [re.sub(r"tcp://eth0:\d+", "tcp://lo:0", word) for word in argv]

    def start(self, service: str) -> None:
        with (self.home / f"{service}.log").open("ab") as log:
            self.processes[service] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self.argv(service)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def healthy(self) -> bool:
        for name, process in self.processes.items():
            assert process.poll() is None, (self.home / f"{name}.log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/healthz", timeout=3) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> dict[str, int]:
        """Exit statuses after SIGTERM, the last started first."""
        found = {}
        for name, process in reversed(self.processes.items()):
            process.send_signal(signal.SIGTERM)
            try:
                found[name] = process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                found[name] = process.wait()
        self.processes.clear()
        return found


@pytest.fixture
def alone(tmp_path: Path, servers: Servers, flavour: Flavour) -> Iterator[Alone]:
    mysql = servers.mysql(flavour, max_connections=100)
    found = Alone(tmp_path, mysql, servers.etcd().server.client_port)
    yield found
    found.stop()


def test_the_roles_of_the_compose_file(alone: Alone) -> None:
    for _ in range(2):  # again changes nothing
        subprocess.run(alone.argv("seed"), cwd=ROOT, check=True, timeout=30)
    roles = ("controlplane", "tablet-commerce-0", "tablet-commerce-1", "tablet-main", "router-1")
    for service in roles:
        alone.start(service)
    wait_for(alone.healthy, 30, "the router does not serve")

    def serves() -> bool:
        try:
            with connect(alone) as cnx, cnx.cursor() as cursor:
                cursor.execute("SELECT COUNT(*) FROM customer")
                cursor.execute("SELECT COUNT(*) FROM product")
                return cursor.fetchall() == ((5,),)
        except pymysql.err.Error:
            return False

    wait_for(serves, 15, "the shards do not serve")
    with connect(alone) as cnx, cnx.cursor() as cursor:
        rows = [(f"n{number}", f"{number}@x", "DE") for number in range(40)]
        cursor.executemany("INSERT INTO customer (name, email, country) VALUES (%s, %s, %s)", rows)
        cursor.execute("SELECT COUNT(*), MIN(customer_id) FROM customer")
        ((count, least),) = cursor.fetchall()
        assert (count, least >= 1000) == (40, True)
        for shard in ("-80", "80-"):
            cursor.execute(f"USE `commerce:{shard}`")
            cursor.execute("SELECT COUNT(*) FROM customer")
            ((part,),) = cursor.fetchall()
            assert 0 < part < 40
    assert alone.stop() == dict.fromkeys(roles, 0)


def connect(alone: Alone) -> "pymysql.Connection[Any]":
    return pymysql.connect(
        host="127.0.0.1", port=alone.port, user="app", password="app", database="commerce", autocommit=True
    )
