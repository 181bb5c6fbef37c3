"""What the topology raises. Everything is a TopoError; the text says what failed and, where known, what to do."""


class TopoError(Exception):
    """The topology could not be read or written, or a record in it is broken."""


class TopoUnavailable(TopoError):
    """etcd did not answer in time. A read changed nothing; whether a write took effect is not known."""


class TopoFenced(TopoError):
    """The write was refused, since the writer is the leader no longer. Nothing was written."""
