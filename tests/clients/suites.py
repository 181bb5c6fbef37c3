"""Foreign test suites: got by pip from their source packages, run in a process of their own, read as JUnit XML.

A suite's outcome is a dict of `file::Class::test` to "passed", "failed" or "skipped", without the server's version in
the names, so that two runs can be compared.
"""

import os
import re
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.clients.place import DATABASES, PASSWORD, USER, Place

_ROOT: Final = Path(__file__).resolve().parents[2]
_KEPT: Final = _ROOT / ".servers" / "clients"
_PLAIN_PYTEST: Final = (
    "-p",
    "no:cacheprovider",
    "-p",
    "no:asyncio",
    "-o",
    "addopts=",
    "-o",
    "filterwarnings=",
    "-q",
)
# what SQLAlchemy adds to a class's name: _mysql+pymysql_9_7_4
_TARGET: Final = re.compile(r"_(mysql|mariadb)\+\w+?_\d[\d_]*$")
_TIMEOUT_S: Final = 600.0

Outcome = dict[str, str]


@dataclass(frozen=True, slots=True)
class Suite:
    """`package` as pip names it; `tests`: paths in its source package; `driver`: of SQLAlchemy's URL."""

    name: str
    package: str
    tests: tuple[str, ...]
    driver: str = "pymysql"


SUITES: Final = (
    Suite("sqlalchemy", "sqlalchemy", ("test/dialect/test_suite.py", "test/dialect/mysql")),
    Suite("sqlalchemy-mysqldb", "sqlalchemy", ("test/dialect/test_suite.py",), "mysqldb"),
    Suite("mysqlclient", "mysqlclient", ("tests",)),
)


def source_of(package: str) -> Path:
    """The unpacked source package of the installed version; downloaded when it is not there."""
    wanted = version(package)
    home = _KEPT / f"{package}-{wanted}"
    if not home.exists():
        _KEPT.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            f"{sys.executable} -m pip download -q --no-deps --no-binary {package} {package}=={wanted}".split(),
            cwd=_KEPT,
            check=True,
        )
        (archive,) = _KEPT.glob(f"{package}-{wanted}.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(_KEPT, filter="data")
    return home


def outcome(suite: Suite, place: Place, port: int, scratch: Path) -> Outcome:
    """Runs `suite` against `port` of `place`. AssertionError where it does not get to its end."""
    place.empty()
    scratch.mkdir(parents=True, exist_ok=True)
    report = scratch / f"{suite.name}-{port}.xml"
    source = source_of(suite.package)
    env = dict(os.environ)
    argv = [sys.executable, "-m", "pytest", *_PLAIN_PYTEST, "--tb=short", "--junitxml", str(report)]
    if suite.package == "sqlalchemy":
        argv += ["-c", "pyproject.toml", "--rootdir", ".", "-p", "warnings", "-p", "logging", "--timeout=60"]
        argv += ["--dburi", place.url(port, suite.driver), "--dropfirst"]
    else:
        argv += ["-c", os.devnull, "--rootdir", "."]
        env["TESTDB"] = str(_option_file(scratch, port))
    log = scratch / f"{suite.name}-{port}.log"
    with log.open("wb") as out:
        subprocess.run(
            [*argv, *suite.tests],
            cwd=source,
            env=env,
            stdout=out,
            stderr=out,
            timeout=_TIMEOUT_S,
            check=False,
        )
    assert report.exists(), f"{suite.name} came to no end:\n{log.read_text()[-4000:]}"
    return _read(report)


def differences(plain: Outcome, routed: Outcome) -> list[str]:
    """What passes on the plain server and not through the router."""
    return sorted(name for name, how in plain.items() if how == "passed" and routed.get(name) != "passed")


def _option_file(scratch: Path, port: int) -> Path:
    file = scratch / f"client-{port}.cnf"
    lines: Sequence[str] = (
        "[MySQLdb-tests]",
        "host = 127.0.0.1",
        f"port = {port}",
        f"user = {USER}",
        f"password = {PASSWORD}",
        f"database = {DATABASES[0]}",
        "default-character-set = utf8mb4",
    )
    file.write_text("\n".join(lines) + "\n")
    return file


def _read(report: Path) -> Outcome:
    found: Outcome = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        name = f"{_TARGET.sub('', case.get('classname') or '')}::{case.get('name')}"
        kinds = {child.tag for child in case}
        how = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        if found.get(name) != "failed":
            found[name] = how
    return found
