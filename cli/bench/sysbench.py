"""sysbench's oltp_point_select, run on both places and read.

The password goes in a file that only the owner may read, never on a command line.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cli.bench.connection import Place
from cli.bench.results import Measured
from cli.errors import CommandError

TABLE: Final = "sbtest1"
PS_MODES: Final = {"text": "disable", "prepared": "auto"}

_QUERIES: Final = re.compile(r"^\s*queries:\s+(\d+)\s+\(([\d.]+) per sec", re.MULTILINE)
_EVENTS: Final = re.compile(r"^\s*transactions:\s+(\d+)\s", re.MULTILINE)
_ERRORS: Final = re.compile(r"^\s*ignored errors:\s+(\d+)\s", re.MULTILINE)
_TIME: Final = re.compile(r"^\s*total time:\s+([\d.]+)s", re.MULTILINE)
_BUCKET: Final = re.compile(r"^\s*([\d.]+)\s*\|\**\s*(\d+)\s*$", re.MULTILINE)


def find() -> str:
    """Raises CommandError."""
    path = shutil.which("sysbench")
    if path is None:
        raise CommandError(
            "sysbench is not on PATH: install it (apt-get install sysbench), or leave --sysbench out"
        )
    return path


def run(place: Place, command: str, *, rows: int, threads: int, seconds: float, statement: str) -> str:
    """`command`: prepare, run or cleanup. Returns what sysbench printed. Raises CommandError."""
    options = {
        "db-driver": "mysql", "mysql-host": place.host, "mysql-port": place.port, "mysql-user": place.user,
        "mysql-password": place.password, "mysql-db": place.database, "tables": 1, "table-size": rows,
        "threads": threads, "time": max(1, round(seconds)), "db-ps-mode": PS_MODES[statement],
        "histogram": "on", "rand-type": "uniform",
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        file = Path(folder) / "options"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as options_file:
            options_file.writelines(f"{key}={value}\n" for key, value in options.items())
        ran = subprocess.run(
            [find(), f"--config-file={file}", "oltp_point_select", command],
            capture_output=True,
            text=True,
            timeout=seconds + 120,
        )
    if ran.returncode != 0:
        said = [line for line in (ran.stdout + ran.stderr).splitlines() if "FATAL" in line] or [
            ran.stderr.strip()
        ]
        raise CommandError(f"sysbench {command} on {place.name} ({place.host}:{place.port}): {said[0]}")
    return ran.stdout


def parse(text: str) -> Measured:
    """Of a report with a histogram. Raises ValueError where it is none."""
    queries, events, total = _QUERIES.search(text), _EVENTS.search(text), _TIME.search(text)
    if queries is None or events is None or total is None:
        raise ValueError("this is not sysbench's report")
    errors = _ERRORS.search(text)
    ignored = int(errors[1]) if errors is not None else 0
    buckets = [(float(ms) / 1000, int(count)) for ms, count in _BUCKET.findall(text)]
    count = int(queries[1])
    return Measured(
        seconds=count / float(queries[2]) if count else float(total[1]),
        events=int(events[1]),
        queries=count,
        wrong=0,
        lost=0,
        errors=Counter({"ignored by sysbench": ignored}) if ignored else Counter(),
        generator_cores=None,
        p50_s=percentile(buckets, 50),
        p95_s=percentile(buckets, 95),
        p99_s=percentile(buckets, 99),
    )


def percentile(buckets: Iterable[tuple[float, int]], percent: float) -> float:
    """Of (value, count) pairs in order; sysbench's buckets are some 2 % wide."""
    found = list(buckets)
    rank = sum(count for _, count in found) * percent / 100
    seen = 0
    for value, count in found:
        seen += count
        if seen >= rank:
            return value
    return 0.0
