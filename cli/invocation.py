"""How `clusterctl` can be typed where this process was started: every hint prints a command that works as it stands."""

import os
import shlex
import shutil
import sys
from functools import cache
from pathlib import Path

COMMAND = "clusterctl"


@cache
def name() -> str:
    """`clusterctl` where the shell finds this installation's, else the path of it; asked once a process."""
    return name_for(Path(sys.executable).parent / COMMAND, shutil.which(COMMAND), os.getcwd())


def name_for(script: Path, found: str | None, here: str) -> str:
    """`script`: of this installation; `found`: what the shell would run; `here`: the working directory.

    Where there is no script (`python -m cli.main` from a source tree) it is the plain name.
    """
    if not script.exists() or (found is not None and os.path.realpath(found) == os.path.realpath(script)):
        return COMMAND
    relative = os.path.relpath(script, here)
    return shlex.quote(str(script) if relative.startswith("..") else relative)
