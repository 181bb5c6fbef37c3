"""Which mysqld or etcd to run: the configured one, one on PATH, or the one that set-up unpacked."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cli.local.errors import LocalServerError

Flavour = Literal["mysql", "mariadb"]

UNPACKED_MYSQLD: Final = Path(__file__).resolve().parents[2] / ".servers" / "bin" / "mysqld"
"""What scripts/setup.sh makes in a clone."""

_DAEMON_DIRS: Final = "/usr/local/sbin:/usr/sbin:/sbin"
"""Debian puts mysqld and mariadbd where an ordinary user's PATH does not look."""

_VERSION: Final = re.compile(r"\bVer\s+(\S+)")


@dataclass(frozen=True, slots=True)
class MysqldBinary:
    """A server binary that ran and told its version; a `mysqld` may well be a MariaDB."""

    path: Path
    flavour: Flavour
    version: str
    """As it prints it, such as `9.7.4-2` or `10.11.19-MariaDB-0+deb12u1`."""


def find_mysqld(binary: str = "", *, unpacked: Path = UNPACKED_MYSQLD) -> MysqldBinary:
    """The server to run: `binary` (a path or a name), else the first of mysqld, mariadbd on PATH, else `unpacked`.

    Raises LocalServerError, naming what to do, where there is none or where it does not run.
    """
    if binary:
        found = shutil.which(binary, path=_search_path())
        if found is None:
            raise LocalServerError(
                f"[mysql] binary '{binary}' is not an executable file; name another, or leave it empty"
            )
        return identify(Path(found))
    for candidate in ("mysqld", "mariadbd", str(unpacked)):
        found = shutil.which(candidate, path=_search_path())
        if found is not None:
            return identify(Path(found))
    raise LocalServerError(
        "there is no mysqld or mariadbd on PATH: run `make up`, which installs one, or name one as [mysql] binary"
    )


def identify(path: Path) -> MysqldBinary:
    """Asks `path` for its version. Raises LocalServerError where it is no MySQL or MariaDB that runs here."""
    path = Path(os.path.abspath(path))
    try:
        ran = subprocess.run(
            [str(path), "--no-defaults", "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LocalServerError(f"{path} does not run: {error}") from None
    version = _VERSION.search(ran.stdout)
    if ran.returncode != 0 or version is None:
        reason = (ran.stderr or ran.stdout).strip().splitlines()
        raise LocalServerError(
            f"{path} is no MySQL server that runs here: {reason[-1] if reason else 'silent'}"
        )
    flavour: Flavour = "mariadb" if "mariadb" in ran.stdout.lower() else "mysql"
    return MysqldBinary(path, flavour, version.group(1))


def find_etcd() -> Path:
    """The etcd on PATH. Raises LocalServerError naming what to do."""
    found = shutil.which("etcd", path=_search_path())
    if found is None:
        raise LocalServerError(
            "there is no etcd on PATH: run `make up`, which installs it, or name a running one as [etcd] endpoints"
        )
    return Path(found)


def _search_path() -> str:
    return os.environ.get("PATH", os.defpath) + ":" + _DAEMON_DIRS
