"""`python -m tests.differential [--write] [PREFIX ...]`: runs the corpus, prints what differs and counts by kind.

`--write` replaces the expectations by what was found; it never writes down a wrong answer that had none before.
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.differential import expectations
from tests.differential.compare import EQUAL, REFUSED, WRONG, Verdict
from tests.differential.place import Sides
from tests.differential.run import Runner


def main(argv: list[str]) -> int:
    prefixes = tuple(one for one in argv if not one.startswith("--"))
    began_s = time.monotonic()
    found: dict[str, Verdict] = {}
    with tempfile.TemporaryDirectory() as home:
        sides = Sides(Path(home))
        try:
            print(
                f"started after {time.monotonic() - began_s:.0f} s; loaded past the router: {len(sides.copied)}"
            )
            runner = Runner(sides)
            for name, query, verdict in runner.all(lambda one: one.startswith(prefixes or ("",))):
                found[name] = verdict
                if verdict.kind != EQUAL:
                    print(f"{verdict.kind} {name}: {query}\n    {verdict.reason}", flush=True)
        finally:
            sides.close()
    summary(found)
    print(f"{time.monotonic() - began_s:.0f} s")
    if "--write" in argv:
        expectations.write(found)
    return int(any(verdict.kind == WRONG for verdict in found.values()))


def summary(found: dict[str, Verdict]) -> None:
    """Counts by part of the corpus and kind."""
    counts = Counter((name.partition(":" if ":" in name else "/")[0], v.kind) for name, v in found.items())
    for part in sorted({part for part, _ in counts}):
        print(f"{part:32}", *(f"{kind} {counts[part, kind]:4}" for kind in (EQUAL, REFUSED, WRONG)))
    total = Counter(verdict.kind for verdict in found.values())
    print(f"{'all':32}", *(f"{kind} {total[kind]:4}" for kind in (EQUAL, REFUSED, WRONG)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
