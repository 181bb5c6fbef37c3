"""One request to a tablet for code that waits: its answer as an awaitable."""

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from core.errors import SluiceError, fail
from core.rpc import messages as m
from router.gateway import Link
from wire.answers import Err, parse_err
from wire.packets import iterate_payloads

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""A whole answer kept in memory may be that large; more is RESULT_TOO_LARGE for the statement."""


class TabletError(SluiceError):
    """A tablet's FAIL, as an exception with its own number and text."""

    def __init__(self, number: int, sqlstate: str, text: str, handle: int) -> None:
        Exception.__init__(self, text)
        self.number = number
        self.sqlstate = sqlstate
        self.message = text
        self.handle = handle


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: client-ready packets, and what the tablet holds afterwards."""

    info: int
    data: bytes
    handle: int
    status: int
    told: bytes = b""
    """What I_INSERT_ID told; empty: nothing."""
    warnings: bytes = b""
    """What SHOW WARNINGS says of the statement, where the flags asked for it."""
    tracked: bytes | None = None
    """What the server's trackers said, where the flags asked for it (I_TRACKED)."""
    settings: bytes = b""
    """What I_SETTINGS told; empty: nothing."""

    @property
    def failed(self) -> bool:
        return bool(self.info & m.I_ERR)

    def error(self) -> Err:
        """MySQL's error of a failed answer."""
        return parse_err(self.last_payload())

    def check(self, handle: int) -> None:
        """Raises TabletError, which names `handle`, for an error of MySQL's."""
        if self.failed:
            error = self.error()
            raise TabletError(error.number, error.sqlstate, error.text, handle)

    def last_payload(self) -> bytes:
        """The packet that ends the answer."""
        *_, last = iterate_payloads(self.data)
        return last


class FileSource(Protocol):
    """Who has the file of a LOAD DATA LOCAL."""

    def wanted(self, link: Link, request: int, name: bytes) -> None:
        """MySQL asks for the file: send it by `link.send_file(request, ...)`."""
        ...

    def taken(self, size_bytes: int) -> None:
        """MySQL's socket took so much of what was sent."""
        ...


class Call:
    """Collects one answer; `await call.answer` gives it or raises TabletError."""

    __slots__ = (
        "_chunks",
        "_file",
        "_link",
        "_settings",
        "_size",
        "_told",
        "_too_large",
        "_tracked",
        "_warnings",
        "answer",
        "killed",
        "request",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, link: Link, file: FileSource | None = None) -> None:
        self._file = file
        self.answer: asyncio.Future[Answer] = loop.create_future()
        self.request = 0
        self.killed = False
        """KILL QUERY was said."""
        self._link = link
        self._chunks: list[bytes] = []
        self._size = 0
        self._too_large = False
        self._told = self._warnings = b""
        self._tracked: bytes | None = None
        self._settings = b""

    def on_result(self, info: int, data: bytes, handle: int, status: int) -> None:
        if info & m.I_WARNINGS:
            self._warnings = data
            return
        if info & m.I_TRACKED:
            self._tracked = data
            return
        if info & m.I_SETTINGS:
            self._settings = data
            return
        if info & m.I_INFILE:
            assert self._file is not None
            self._file.wanted(self._link, self.request, data)
            return
        if info & m.I_INSERT_ID and not info & m.I_LAST:
            self._told = data
            return
        self._size += len(data)
        if self._too_large:
            if info & m.I_LAST:
                self._refuse(handle)
        elif info & m.I_LAST:
            if not self.answer.done():
                whole = b"".join((*self._chunks, data)) if self._chunks else data
                self.answer.set_result(
                    Answer(
                        info, whole, handle, status, self._told, self._warnings, self._tracked, self._settings
                    )
                )
        elif self._size > MAX_ANSWER_BYTES:
            self._too_large = True
            self._chunks.clear()
            self._link.cancel(self.request)
        else:
            self._chunks.append(data)
            self._link.credit(self.request, len(data))

    def on_taken(self, size_bytes: int) -> None:
        assert self._file is not None
        self._file.taken(size_bytes)

    def _refuse(self, handle: int) -> None:
        """Told at the end of the answer only: till then it is not known what the tablet still holds."""
        if not self.answer.done():
            error = fail("RESULT_TOO_LARGE", limit=f"{MAX_ANSWER_BYTES} bytes of")
            self.answer.set_exception(TabletError(error.number, error.sqlstate, error.message, handle))

    def on_fail(self, number: int, sqlstate: str, text: str, handle: int) -> None:
        if self._too_large:
            self._refuse(handle)
        elif not self.answer.done():
            self.answer.set_exception(TabletError(number, sqlstate, text, handle))


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """`packets`: the server's answer to COM_STMT_PREPARE, classic EOF flavour, definitions in its own form."""

    params: int
    columns: int
    packets: bytes


class PrepareCall:
    """The same of a COM_STMT_PREPARE."""

    __slots__ = ("answer",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[PreparedAnswer] = loop.create_future()

    def on_prepared(self, params: int, columns: int, packets: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result(PreparedAnswer(params, columns, packets))

    def on_fail(self, number: int, sqlstate: str, text: str, handle: int) -> None:
        if not self.answer.done():
            self.answer.set_exception(TabletError(number, sqlstate, text, handle))
