"""`python -m tests.fuzz [--seconds N] [TARGET ...]`: coverage-guided fuzzing with atheris, one process a target.

Each begins with the captures of `seeds.json` and goes on for its share of the time; the first fault ends it with status
1, and its input is left as `crash-*` under the corpus directory. Bounds: 5 s and 512 MiB an input.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.seeds import seeds_of

_NAMES = ("login", "packets", "commands", "execute", "bulk", "binary", "answers", "compressed", "lines")


def run(name: str, argv: list[str]) -> None:
    """This process becomes the fuzzer of one target."""
    import atheris

    with atheris.instrument_imports(
        include=[
            "wire",
            "router.clients.connection",
            "router.clients.login",
            "router.engine",
            "tests.fuzz.targets",
        ]
    ):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *argv], TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="coverage-guided fuzzing of the protocol"
    )
    parser.add_argument("targets", nargs="*", default=_NAMES, metavar="TARGET", help=", ".join(_NAMES))
    parser.add_argument("--seconds", type=int, default=240, help="for all targets together")
    parser.add_argument("--corpus", type=Path, help="where inputs are kept from run to run")
    parser.add_argument("--one", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        run(asked.one[0], asked.one[1:])
        return 0
    base = asked.corpus or Path(tempfile.mkdtemp(prefix="sluice-fuzz-"))
    failed = []
    for name in asked.targets:
        corpus = base / name
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds_of(name)):
            (corpus / f"seed-{number}").write_bytes(seed)
        share = max(1, asked.seconds // len(asked.targets))
        bounds = [f"-max_total_time={share}", "-timeout=5", "-rss_limit_mb=512", "-max_len=4096"]
        options = [*bounds, "-print_final_stats=1", f"-artifact_prefix={base}/{name}-"]
        argv = [sys.executable, "-m", "tests.fuzz", "--one", name, *options, str(corpus)]
        print(f"== {name}: {share} s, corpus {corpus}", flush=True)
        if subprocess.run(argv, check=False).returncode:
            failed.append(name)
    print(f"faults: {', '.join(failed)}" if failed else "no fault", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
