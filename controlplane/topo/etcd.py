"""The wire to etcd: the one importer of etcd3 and gRPC.

Of etcd3 0.12 only the generated messages and stubs are used. Its own client blocks on every call, and its watcher
falls silent for good when a stream breaks; both are replaced here: unary calls are gRPC futures that settle
asyncio futures, and a watch stream tells when it ends.

Invariants
- This module is imported by `Store.connect` only, so that importing the topology loads no gRPC (25 MB), starts
  no thread, and may be followed by fork.
- Everything but the reader of a watch stream runs in the thread of the event loop.
- A channel connects again by itself within about a second after etcd is back. When a call went unanswered, and
  the channel is not new, another one takes its place with host names resolved anew, for addresses that moved.
- One line is logged when etcd stops answering and one when it answers again, whatever was asked meanwhile.
"""

import asyncio
import ipaddress
import logging
import queue
import socket
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

with warnings.catch_warnings():  # generated code of 2017 under protobuf 3.20
    warnings.simplefilter("ignore", DeprecationWarning)
    import grpc
    from etcd3 import etcdrpc as rpc

from controlplane.topo.errors import TopoError, TopoUnavailable

__all__ = ["Etcd", "Stream", "rpc"]

_log = logging.getLogger(__name__)

_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),  # also the time a connect may take
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 10_000),  # etcd refuses pings more often than every 5 s
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.use_local_subchannel_pool", 1),  # else a renewed channel inherits the old one's back-off
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.enable_http_proxy", 0),
)
_RENEW_S: Final = 5.0
"""A channel is replaced at that age at the earliest."""

_OLD_CHANNEL_S: Final = 15.0
"""A replaced channel stays open that long for the calls still on it (longer than any timeout_s)."""

_UNAVAILABLE: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
)


class Etcd:
    """A channel to the endpoints and the calls the topology needs. Use from one event loop."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        """`endpoints`: `host:port` each. Connects at the first call; raises TopoError for no endpoint at all,
        or one without a port."""
        if not endpoints:
            raise TopoError("no etcd endpoint is given; set [etcd] endpoints")
        for endpoint in endpoints:
            if not endpoint.rpartition(":")[2].isdigit():
                raise TopoError(f"[etcd] endpoints: '{endpoint}' is not host:port")
        self._endpoints = tuple(endpoints)
        self._channel: Any = None
        self._retired: list[Any] = []
        """Channels before it, which calls of theirs may still use for a while."""
        self._made_s = 0.0
        self._lock = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None
        self.on_renew: Callable[[], None] = lambda: None
        """Called when another channel took the place of the old one, whose streams should be left."""
        self.answers = True
        """False while etcd does not answer."""
        self.closed = False

    def __str__(self) -> str:
        return f"etcd at {', '.join(self._endpoints)}"

    async def range(self, request: Any, timeout_s: float) -> Any:
        return await self._call("Range", request, timeout_s)

    async def put(self, request: Any, timeout_s: float) -> Any:
        return await self._call("Put", request, timeout_s)

    async def txn(self, request: Any, timeout_s: float) -> Any:
        return await self._call("Txn", request, timeout_s)

    async def delete_range(self, request: Any, timeout_s: float) -> Any:
        return await self._call("DeleteRange", request, timeout_s)

    async def lease_grant(self, ttl_s: float, timeout_s: float) -> int:
        """A new lease; etcd knows whole seconds and lengthens what is below about 2 s."""
        request = rpc.LeaseGrantRequest(TTL=max(1, round(ttl_s)))
        return int((await self._call("LeaseGrant", request, timeout_s)).ID)

    async def lease_revoke(self, lease_id: int, timeout_s: float) -> None:
        await self._call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease_id), timeout_s)

    async def lease_keepalive(self, lease_id: int, timeout_s: float) -> bool:
        """False if the lease is gone."""
        request = rpc.LeaseKeepAliveRequest(ID=lease_id)
        return bool((await self._call("LeaseKeepAlive", request, timeout_s)).TTL > 0)

    async def _call(self, name: str, request: Any, timeout_s: float) -> Any:
        try:
            response = await self._ask(name, request, timeout_s)
        except TopoUnavailable as error:
            if self.answers and not self.closed:
                self.answers = False
                _log.warning("%s; what is known of the cluster stays in force", error)
            if self._renewing is None or self._renewing.done():
                self._renewing = asyncio.get_running_loop().create_task(self._renew())
            raise
        if not self.answers:
            self.answers = True
            _log.warning("%s answers again", self)
        return response

    async def _ask(self, name: str, request: Any, timeout_s: float) -> Any:
        await self._ready()
        loop = asyncio.get_running_loop()
        settled: asyncio.Future[None] = loop.create_future()
        call = self._methods[name].future(request, timeout=timeout_s, wait_for_ready=True)
        call.add_done_callback(lambda _: _to_loop(loop, _settle, settled))
        try:
            await settled
        except asyncio.CancelledError:
            call.cancel()
            raise
        try:
            return call.result()
        except grpc.RpcError as error:
            if call.code() in _UNAVAILABLE:
                raise TopoUnavailable(f"{self} does not answer ({name}, {timeout_s:g} s)") from error
            raise TopoError(f"{self} refused {name}: {call.details()}") from error
        except grpc.FutureCancelledError as error:
            raise TopoUnavailable(f"{self}: {name} was broken off") from error

    async def _ready(self) -> None:
        if self.closed:
            raise TopoError("the topology's store is closed")
        if self._channel is None:
            async with self._lock:
                if self._channel is None:
                    self._open(await self._target())

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._lock:
            if self.closed or self._channel is None or loop.time() - self._made_s < _RENEW_S:
                return
            try:
                target = await self._target()
            except TopoError:
                return
            if self.closed:
                return
            old = self._channel
            self._open(target)
            self._retired.append(old)
            loop.call_later(_OLD_CHANNEL_S, self._close_retired, old)
        self.on_renew()

    async def _target(self) -> str:
        """All addresses behind the endpoints as one gRPC target."""
        found: dict[int, list[str]] = {socket.AF_INET: [], socket.AF_INET6: []}
        problem = ""
        for endpoint in self._endpoints:
            host, _, port = endpoint.rpartition(":")
            try:
                infos = await asyncio.get_running_loop().getaddrinfo(
                    host.strip("[]") or "127.0.0.1", port, type=socket.SOCK_STREAM
                )
            except OSError as error:
                problem = f"{endpoint}: {error}"
                continue
            for family, _type, _proto, _name, address in infos:
                if family in found:
                    ip = ipaddress.ip_address(str(address[0]))
                    found[family].append(f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}")
        if found[socket.AF_INET]:  # one target holds one family
            return "ipv4:" + ",".join(dict.fromkeys(found[socket.AF_INET]))
        if found[socket.AF_INET6]:
            return "ipv6:" + ",".join(dict.fromkeys(found[socket.AF_INET6]))
        raise TopoUnavailable(f"the address of etcd cannot be found: {problem}")

    def _open(self, target: str) -> None:
        channel = grpc.insecure_channel(
            target, options=(*_OPTIONS, ("grpc.default_authority", self._endpoints[0]))
        )
        self._made_s = asyncio.get_running_loop().time()
        self._channel = channel
        kv, lease = rpc.KVStub(channel), rpc.LeaseStub(channel)
        self._methods = {
            "Range": kv.Range,
            "Put": kv.Put,
            "Txn": kv.Txn,
            "DeleteRange": kv.DeleteRange,
            "LeaseGrant": lease.LeaseGrant,
            "LeaseRevoke": lease.LeaseRevoke,
            # A stream by its definition; with one message each way it is the same bytes as a unary call,
            # which needs no thread.
            "LeaseKeepAlive": channel.unary_unary(
                "/etcdserverpb.Lease/LeaseKeepAlive",
                request_serializer=rpc.LeaseKeepAliveRequest.SerializeToString,
                response_deserializer=rpc.LeaseKeepAliveResponse.FromString,
            ),
        }

    async def stream(
        self, on_response: Callable[["Stream", Any], None], on_end: Callable[["Stream"], None]
    ) -> "Stream":
        """A new watch stream; both callbacks run in the loop's thread, `on_end` once."""
        await self._ready()
        return Stream(rpc.WatchStub(self._channel), asyncio.get_running_loop(), on_response, on_end)

    def close(self) -> None:
        """Breaks off what is in flight. The store cannot be used afterwards."""
        self.closed = True
        if self._renewing is not None:
            self._renewing.cancel()
        for old in list(self._retired):  # a process with an open channel may not come to its end
            self._close_retired(old)
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _close_retired(self, channel: Any) -> None:
        if channel in self._retired:
            self._retired.remove(channel)
            channel.close()


class Stream:
    """One bidirectional Watch call: requests go out in order, responses come back by callback."""

    def __init__(
        self,
        stub: Any,
        loop: asyncio.AbstractEventLoop,
        on_response: Callable[["Stream", Any], None],
        on_end: Callable[["Stream"], None],
    ) -> None:
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._call = stub.Watch(iter(self._requests.get, None), wait_for_ready=True)
        self._loop = loop
        self._on_response = on_response
        self._on_end = on_end
        threading.Thread(target=self._read, name="topo-watch", daemon=True).start()

    def _read(self) -> None:
        try:
            for response in self._call:
                _to_loop(self._loop, self._on_response, self, response)
        except (grpc.RpcError, grpc.FutureCancelledError):
            pass  # why it ended matters to nobody: whatever it was, the watches list again
        finally:
            self._requests.put(None)
            _to_loop(self._loop, self._on_end, self)

    def create(self, key: bytes, range_end: bytes, start_revision: int) -> None:
        self._requests.put(
            rpc.WatchRequest(
                create_request=rpc.WatchCreateRequest(
                    key=key, range_end=range_end, start_revision=start_revision
                )
            )
        )

    def cancel(self, watch_id: int) -> None:
        self._requests.put(rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=watch_id)))

    def close(self) -> None:
        self._requests.put(None)
        self._call.cancel()


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _to_loop(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *args: Any) -> None:
    try:
        loop.call_soon_threadsafe(callback, *args)
    except RuntimeError:  # the loop is closed: nobody waits
        pass
