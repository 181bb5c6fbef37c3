"""That an operator drains this router, kept in a file: a router that is started again lets nobody in until
`clusterctl drain --undo`, as nobody would expect otherwise.

Invariant: the file is whole or not there; one that cannot be read counts as "drained", with the usual times.
"""

import contextlib
import json
import logging
import os
from pathlib import Path
from typing import Any

from core.config import Config

USUAL: dict[str, float] = {"grace_s": 30.0, "limit_s": 30.0}

log = logging.getLogger("router.main")


class Drained:
    """See the module. `order` is what the workers are told, None while the router is not drained."""

    __slots__ = ("_path", "order")

    def __init__(self, config: Config, router: str) -> None:
        """As the router's last process left it."""
        self._path: Path = config.data_dir / "run" / f"{router}.drained"
        self.order: dict[str, Any] | None = self._read()
        if self.order is not None:
            log.warning("an operator drains this router: it takes no clients until clusterctl drain --undo")

    def _read(self) -> dict[str, Any] | None:
        try:
            found = json.loads(self._path.read_bytes())
            return {name: float(found[name]) for name in USUAL}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s cannot be read: %s", self._path, error)
            return dict(USUAL)

    def begin(self, order: dict[str, Any]) -> None:
        """What the operator has ordered: seconds of `USUAL`."""
        self.order = order
        aside = self._path.with_suffix(".drained~")
        try:
            aside.write_text(json.dumps({name: order[name] for name in USUAL}))
            os.replace(aside, self._path)
        except OSError as error:
            log.error("that the router is drained will be forgotten at its restart: %s", error)

    def end(self) -> None:
        """It takes clients again."""
        self.order = None
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
