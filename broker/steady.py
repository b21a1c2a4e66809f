"""A gRPC server that outlives a path that is not UTF-8.

gRPC's accept loop decodes each call's path; where that fails the loop ends, and the whole server shuts down with it:
one call of any client with a certificate would end every stream of every agency. So the loop that decodes is another
one than the loop that accepts: the server with the port hands each call to a *dispatcher*, a server without a port,
whose loop decodes the path and starts the handler. Only a dispatcher dies of such a path. Its call is dropped (the
client sees CANCELLED; nothing of it can be on record but a count), the calls under way go on, and another dispatcher
takes over with those that wait.

It leans on gRPC's classes below `grpc.aio`, because nothing above them sees a call before its path is decoded. A
release of gRPC in which they differ fails `tests/unit/test_steady.py` and the attack suite.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc._cython import cygrpc
from grpc.aio import _server as aio

Options = Sequence[tuple[str, Any]]


def steady_server(options: Options, dropped: Callable[[], None]) -> grpc.aio.Server:
    """As `grpc.aio.server(options=options)`. `dropped` is told of each call whose path cannot be read."""
    # Not by its own __init__, which would make the server that is replaced here.
    server: Any = aio.Server.__new__(aio.Server)
    server._loop = cygrpc.get_working_loop()
    server._server = _Acceptor(server._loop, tuple(options), dropped)
    made: grpc.aio.Server = server
    return made


class _Acceptor(cygrpc.AioServer):  # type: ignore[misc]
    """The server with the port. Its own loop waits for ever on `_hand_over`, until it is shut down."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: Options, dropped: Callable[[], None]) -> None:
        super().__init__(loop, None, (), (), options, None)
        self._event_loop = loop
        self._dropped = dropped
        self._handlers: list[grpc.GenericRpcHandler] = []
        self._dispatcher: _Dispatcher | None = None

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        # Also called by gRPC's own constructor, before this one's fields are there.
        if handlers:
            self._handlers.extend(handlers)

    def add_registered_method_handlers(self, _: object) -> None:
        """Generated code registers its methods twice; they are answered by their generic handler."""

    async def start(self) -> None:
        self._dispatcher = _Dispatcher(self._event_loop, self._handlers, deque(), self._died)
        await self._dispatcher.start()
        await super().start()

    async def shutdown(self, grace: float | None) -> None:
        await super().shutdown(grace)
        if self._dispatcher is not None:
            await self._dispatcher.shutdown(None)

    def _make_request_call_future(self, _: bytes | None) -> asyncio.Future[Any]:
        return self._event_loop.create_task(self._hand_over(), name="accept")

    async def _hand_over(self) -> None:
        """Ends with gRPC's own exception, when the server is shut down."""
        while True:
            # Not kept in a name: what holds a call that was dropped keeps its client waiting.
            self._offer(await self._request_call())

    def _offer(self, call: Any) -> None:
        assert self._dispatcher is not None
        self._dispatcher.offer(call)

    def _died(self, waiting: deque[Any]) -> None:
        self._dropped()
        successor = _Dispatcher(self._event_loop, self._handlers, waiting, self._died)
        self._dispatcher = successor
        successor.begin()


class _Dispatcher(cygrpc.AioServer):  # type: ignore[misc]
    """A server without a port, whose loop is offered another's calls. It dies of a path that is not UTF-8."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handlers: Sequence[grpc.GenericRpcHandler],
        waiting: deque[Any],
        died: Callable[[deque[Any]], None],
    ) -> None:
        super().__init__(loop, None, tuple(handlers), (), (), None)
        self._event_loop = loop
        self._waiting = waiting
        self._died = died
        self._next: asyncio.Future[Any] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """`start`, without waiting for it: what is offered meanwhile waits."""
        self._keep(self.start())

    def offer(self, call: Any) -> None:
        """To be dispatched as soon as the loop is free."""
        if self._next is not None and not self._next.done():
            self._next.set_result(call)
        else:
            self._waiting.append(call)

    def _make_request_call_future(self, _: bytes | None) -> asyncio.Future[Any]:
        self._next = self._event_loop.create_future()
        if self._waiting:
            self._next.set_result(self._waiting.popleft())
        return self._next

    def _serving_task_crash_handler(self, task: asyncio.Task[Any]) -> None:
        """gRPC's own would log and stop; here the loop's end is expected, and another one goes on."""
        if not task.cancelled() and task.exception() is not None:
            # It holds the call: what is dropped must be let go, or its client would wait for its own deadline.
            self._next = None
            self._died(self._waiting)
            self._keep(self._retire())

    async def _start_shutting_down(self) -> None:
        if self._next is not None and not self._next.done():
            self._next.set_exception(cygrpc._RequestCallError())
        await super()._start_shutting_down()

    async def _retire(self) -> None:
        """Give its memory back. The first attempt ends with what the loop died of, the second does the rest."""
        with contextlib.suppress(UnicodeDecodeError):
            await self.shutdown(None)
        await self.shutdown(None)

    def _keep(self, work: Any) -> None:
        task = self._event_loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
