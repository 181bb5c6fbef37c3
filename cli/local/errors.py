"""The one error of local servers."""


class LocalServerError(Exception):
    """A local server cannot be found, initialised, started or set up; the message says what to do."""
