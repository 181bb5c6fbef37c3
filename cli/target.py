"""Which cluster a command is about: the file of `-f`, `./cluster.toml`, or the demo; and how to reach its etcd.

The demo's file comes with the package; its data_dir is `.sluice` in the current directory, and `up` copies the
files there, so that the processes and later commands read them from one place.
"""

import os
import re
import sys
import tomllib
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

from cli import invocation
from cli.errors import CommandError, UsageError
from cli.layout import Layout, layout_of, write_whole
from core import config as configuration
from core.config import Config, ConfigError

DEFAULT_FILE: Final = "cluster.toml"
DEMO_DATA_DIR: Final = ".sluice"
DEMO_FILES: Final = ("cluster.toml", "commerce.sql", "commerce.vschema.json", "main.sql", "main.vschema.json")

_DATA_DIR: Final = re.compile(r"""^\s*data_dir\s*=\s*["']([^"']+)["']""", re.MULTILINE)
_NAME_MAX_BYTES: Final = 255
_PATH_MAX_BYTES: Final = 3800
"""PATH_MAX of Linux is 4096; what lies under data_dir needs the rest."""


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster: its configuration as the user wrote it, and where its local things lie."""

    config: Config
    layout: Layout
    is_demo: bool

    @property
    def file_option(self) -> str:
        """What to add to a command so that it means this cluster: ` -f FILE`, or nothing."""
        if self.is_demo or self.config.path == Path(DEFAULT_FILE).absolute():
            return ""
        return f" -f {os.path.relpath(self.config.path)}"

    def command(self, words: str) -> str:
        """What to type here for `clusterctl WORDS` of this cluster."""
        return f"{invocation.name()} {words}{self.file_option}"

    def wrong(self, message: str) -> UsageError:
        """A mistake in the cluster's file, which is named where `message` begins with one of its keys."""
        named = not self.is_demo and message.startswith("[")
        return UsageError(f"{os.path.relpath(self.config.path)}: {message}" if named else message)


def find(file: str | None) -> Target:
    """The cluster of `-f FILE`, else of ./cluster.toml, else the demo. Raises UsageError; creates nothing."""
    path = Path(file) if file is not None else Path(DEFAULT_FILE)
    if file is None and not path.exists():
        return _demo()
    config = _load(path)
    layout = layout_of(config.data_dir)
    if problem := path_problem(layout.data_dir):
        raise UsageError(f"{os.path.relpath(path)}: [cluster] data_dir: {problem}")
    return Target(config, layout, False)


def find_started(file: str | None) -> Target:
    """As `find`, for commands on what runs: where the file has a mistake by now, the cluster as it was started, and a
    note on stderr that says so. Raises UsageError."""
    try:
        return find(file)
    except UsageError as mistake:
        path = Path(file if file is not None else DEFAULT_FILE).absolute()
        started = _as_started(path)
        if started is None:
            raise
        print(f"note: {mistake}\nnote: what runs is still as it was started, before that", file=sys.stderr)
        return started


def _as_started(path: Path) -> Target | None:
    """By what the last `up` wrote in the data directory, which `path` still names somehow."""
    try:
        named = _DATA_DIR.search(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    layout = layout_of(path.parent / (named[1] if named is not None else configuration.Cluster().data_dir))
    if path_problem(layout.data_dir) or not layout.is_ours():
        return None
    try:
        config = configuration.load(layout.effective)
    except ConfigError:
        return None
    return Target(replace(config, path=path), layout, False)


def path_problem(path: Path) -> str:
    """Why no directory can have that name on Linux; empty where one can."""
    longest = max(path.parts, key=lambda part: len(os.fsencode(part)))
    if len(os.fsencode(longest)) > _NAME_MAX_BYTES:
        return f"a name in it has {len(os.fsencode(longest))} bytes, {_NAME_MAX_BYTES} are possible"
    if len(os.fsencode(path)) > _PATH_MAX_BYTES:
        return f"it has {len(os.fsencode(path))} bytes, {_PATH_MAX_BYTES} are possible"
    return ""


def _demo() -> Target:
    layout = layout_of(Path(DEMO_DATA_DIR).absolute())
    if layout.demo_file.is_file() and layout.is_ours():
        return Target(_load(layout.demo_file), layout, True)
    with resources.as_file(resources.files("cli") / "demo") as folder:
        config = _load(folder / "cluster.toml")
    return Target(
        replace(config, cluster=replace(config.cluster, data_dir=str(layout.data_dir))), layout, True
    )


def copy_demo(target: Target) -> Target:
    """Puts the demo's files into data_dir (anew: they follow the version of Sluice) and reads them there."""
    for name in DEMO_FILES:
        text = (resources.files("cli") / "demo" / name).read_text(encoding="utf-8")
        write_whole(target.layout.data_dir / name, text)
    return Target(_load(target.layout.demo_file), target.layout, True)


def _load(path: Path) -> Config:
    try:
        return configuration.load(path)
    except ConfigError as error:
        text = str(error)
        raise UsageError(text if text.startswith(str(path)) else f"{os.path.relpath(path)}: {text}") from None


def write_effective(target: Target, endpoints: tuple[str, ...]) -> Path:
    """Writes the file that every process of the cluster reads; returns its path.

    It is the user's file with absolute paths and etcd's address, so that no process has to know how a local etcd
    is found.
    """
    config = target.config
    raw: dict[str, Any] = tomllib.loads(config.path.read_text(encoding="utf-8"))
    raw.setdefault("cluster", {})["data_dir"] = str(target.layout.data_dir)
    raw.setdefault("etcd", {})["endpoints"] = list(endpoints)
    _make_absolute(config, raw.get("router", {}), ("tls_cert", "tls_key"))
    if "/" in config.mysql.binary:
        _make_absolute(config, raw["mysql"], ("binary",))
    for keyspace in raw.get("keyspaces", []):
        _make_absolute(config, keyspace, ("vschema", "schema"))
    write_whole(target.layout.effective, to_toml(raw))
    return target.layout.effective


def _make_absolute(config: Config, table: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        if table.get(key):
            table[key] = os.path.abspath(config.resolve(table[key]))


def to_toml(raw: dict[str, Any]) -> str:
    """TOML of what `tomllib` read, for the value types of cluster.toml."""
    lines: list[str] = []
    _write_table(lines, "", raw)
    return "\n".join(lines) + "\n"


def _write_table(lines: list[str], prefix: str, table: dict[str, Any]) -> None:
    nested = {k: v for k, v in table.items() if isinstance(v, dict) or _is_tables(v)}
    lines += [f"{key} = {_value(value)}" for key, value in table.items() if key not in nested]
    for key, value in nested.items():
        if isinstance(value, dict):
            lines.append(f"[{prefix}{key}]")
            _write_table(lines, f"{prefix}{key}.", value)
            continue
        for item in value:
            lines.append(f"[[{prefix}{key}]]")
            _write_table(lines, f"{prefix}{key}.", item)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return _string(str(value))


def _string(text: str) -> str:
    """A basic string of TOML; https://toml.io/en/v1.0.0#string says what must be escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'


def endpoints(target: Target) -> tuple[str, ...]:
    """etcd's addresses: those of the file, else the local etcd's of the last `up`.

    Raises CommandError where no local etcd was ever started.
    """
    if target.config.etcd.endpoints:
        return target.config.etcd.endpoints
    try:
        effective = configuration.load(target.layout.effective)
    except ConfigError:
        raise CommandError(
            f"nothing was started under {target.layout.data_dir} yet: run {target.command('up')}"
        ) from None
    return effective.etcd.endpoints
