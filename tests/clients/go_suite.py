"""The tests of go-sql-driver/mysql, Go's driver: fetched as a Go module, compiled once, run against one port.

`available` where there is a Go; scripts/setup.sh sees to it for `make test-clients`.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.clients.place import DATABASES, PASSWORD, USER, Place
from tests.clients.suites import Outcome

NAME: Final = "go-sql-driver"
_MODULE: Final = "github.com/go-sql-driver/mysql"
_VERSION: Final = "v1.8.1"
"""The last that the Go of Debian 12 compiles."""
_KEPT: Final = Path(__file__).resolve().parents[2] / ".servers" / "clients" / f"go-sql-driver-{_VERSION}"
_LEFT_OUT: Final = "TestConnectorReturnsTimeout"
"""It needs an address of the outside world that does not answer, and ends all where there is none."""
_VERDICT: Final = re.compile(r"^\s*--- (PASS|FAIL|SKIP): (\S+)", re.MULTILINE)
_HOW: Final = {"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}
_TIMEOUT_S: Final = 400


def available() -> bool:
    return shutil.which("go") is not None


def outcome(place: Place, port: int, scratch: Path) -> Outcome:
    """Runs the suite against `port` of `place`. AssertionError where it does not get to its end."""
    place.empty()
    program = _program()
    env = {
        **os.environ,
        "MYSQL_TEST_USER": USER,
        "MYSQL_TEST_PASS": PASSWORD,
        "MYSQL_TEST_ADDR": f"127.0.0.1:{port}",
        "MYSQL_TEST_DBNAME": DATABASES[0],
    }
    log = scratch / f"{NAME}-{port}.log"
    only = "|".join(test for test in _tests(program) if test != _LEFT_OUT)
    with log.open("wb") as out:
        ended = subprocess.run(
            [program, "-test.v", f"-test.run=^({only})$", f"-test.timeout={_TIMEOUT_S}s"],
            cwd=program.parent,
            env=env,
            stdout=out,
            stderr=out,
            timeout=_TIMEOUT_S + 30,
            check=False,
        )
    text = log.read_text(errors="replace")
    whole = ended.returncode in (0, 1) and "panic:" not in text
    assert whole, f"{NAME} came to no end:\n{text[-4000:]}"
    return {name: _HOW[how] for how, name in _VERDICT.findall(text)}


def _program() -> Path:
    """The compiled suite, in its source's folder, where its data lies."""
    program = _KEPT / "suite.test"
    if not program.exists():
        _KEPT.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(_KEPT, ignore_errors=True)
        _go(_KEPT.parent, "mod", "download", f"{_MODULE}@{_VERSION}")
        cache = Path(_go(_KEPT.parent, "env", "GOMODCACHE").strip())
        shutil.copytree(cache / f"{_MODULE}@{_VERSION}", _KEPT)
        for folder, _, files in os.walk(_KEPT):
            for name in (".", *files):
                (Path(folder) / name).chmod(0o755)  # Go's cache is read only
        _go(_KEPT, "test", "-c", "-o", program.name, ".")
    return program


def _tests(program: Path) -> list[str]:
    listed = subprocess.run([program, "-test.list=^Test"], capture_output=True, text=True, check=True).stdout
    return listed.split()


def _go(where: Path, *arguments: str) -> str:
    ended = subprocess.run(["go", *arguments], cwd=where, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"go {' '.join(arguments)}:\n{ended.stderr}"
    return ended.stdout
