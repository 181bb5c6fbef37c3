"""How a command ends when it cannot do what it was asked."""

from typing import Final

DONE: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2


class CommandError(Exception):
    """Ends the command: the message goes to stderr, its first line saying what is wrong and what to do."""

    status = FAILED


class UsageError(CommandError):
    """The arguments or a file given by the user are wrong; nothing was started or changed."""

    status = WRONG_USE
