"""Becomes another program that does not outlive its parent: `python -I -S launch.py PARENT_PID PROGRAM ARGUMENT...`

The supervisor starts every process through this file, since PR_SET_PDEATHSIG must be called in the child and
running Python between fork and exec is not safe where there are threads. The pid stays the same. It imports
nothing of Sluice and starts in about 15 ms.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2); kept over execve


def main(argv: list[str]) -> None:
    """Replaces this process. Exit status 127 where PROGRAM does not start."""
    parent, program = int(argv[1]), argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    # SIGTERM, not SIGKILL: a MySQL whose supervisor was killed still shuts down in order.
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        sys.exit(f"launch: prctl failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("launch: the supervisor ended before this process started")
    # Python ignores these for itself; an ignored signal would stay ignored in the program.
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(program[0], program)
    except OSError as error:
        print(f"launch: {program[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv)
