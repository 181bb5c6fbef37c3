"""A TCP or unix proxy between a client and a server that cuts, stalls and refuses on command."""

import contextlib
import socket
import struct
import threading
from pathlib import Path
from types import TracebackType

Address = tuple[str, int] | str
"""(host, port), or the path of a unix socket."""

_LINGER_0 = struct.pack("ii", 1, 0)


class CutProxy:
    """Listens on a free port of 127.0.0.1 (or on the unix socket `listen`) and forwards to `target`.

    Forwarding is on from the start. Threads carry the bytes, so tests with and without a loop can use it.
    """

    def __init__(self, target: Address, listen: Path | None = None) -> None:
        self.target = target
        self._listen = listen
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._deaf: set[tuple[socket.socket, socket.socket]] = set()
        self._open = threading.Event()
        self._open.set()
        self._listener: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self._port = 0
        self.accepted = 0
        self.resume()

    @property
    def address(self) -> Address:
        """Where clients connect; stays the same over `refuse` and `resume`."""
        return str(self._listen) if self._listen else ("127.0.0.1", self._port)

    @property
    def port(self) -> int:
        return self._port

    def cut(self, *, reset: bool = False) -> int:
        """Closes every connection in both directions (`reset`: with RST); returns how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                if reset and end.family == socket.AF_INET:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
                    _wake_and_close(end, socket.SHUT_RD)
                else:
                    _wake_and_close(end)
        return len(pairs)

    def stall(self) -> None:
        """Bytes are no longer carried, and nothing is closed: a network that swallows packets."""
        self._open.clear()

    def flow(self) -> None:
        """Ends `stall`; what was held back goes on."""
        self._open.set()

    def swallow(self, first: int = 0) -> None:
        """What clients say on the connections there are, but for the `first` oldest, is lost for good, also their
        end; answers still come through. New connections are as ever."""
        with self._lock:
            self._deaf.update(self._pairs[first:])

    def refuse(self) -> None:
        """New connections are refused; those there are stay (see `cut`)."""
        listener, self._listener = self._listener, None
        if listener is not None:
            _wake_and_close(listener)
            if self._listen:
                self._listen.unlink(missing_ok=True)

    def resume(self) -> None:
        """Ends `refuse`."""
        if self._listener is not None:
            return
        if self._listen:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(self._listen))
        else:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self._port))
            self._port = listener.getsockname()[1]
        listener.listen(1024)
        self._listener = listener
        self._start(self._accept, listener)

    def close(self) -> None:
        """Ends all, and waits for the threads."""
        self.refuse()
        self.flow()
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def __enter__(self) -> "CutProxy":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, run: object, *args: object) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX if isinstance(self.target, str) else socket.AF_INET)
            try:
                server.connect(self.target)
            except OSError:
                server.close()
                client.close()
                continue
            for end in (client, server):
                if end.family == socket.AF_INET:
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = (client, server)
            with self._lock:
                self._pairs.append(pair)
                self.accepted += 1
            self._start(self._carry, client, server, pair)
            self._start(self._carry, server, client, pair)

    def _carry(
        self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        try:
            while data := source.recv(65536):
                self._open.wait()
                if source is not pair[0] or pair not in self._deaf:
                    sink.sendall(data)
        except OSError:
            pass
        self._open.wait()
        if source is pair[0] and pair in self._deaf:
            return
        with self._lock:
            mine = pair in self._pairs
            if mine:
                self._pairs.remove(pair)
        if mine:
            # One side ended: so does the whole connection. MySQL has no half-closed ones.
            for end in pair:
                _wake_and_close(end)


def _wake_and_close(end: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    """Closes `end`; a thread that blocks in accept or recv on it is woken first, which closing would not do."""
    with contextlib.suppress(OSError):
        end.shutdown(how)
    end.close()
