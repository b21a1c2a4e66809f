"""A gRPC server that outlives a path that is not UTF-8.

gRPC's accept loop decodes each call's path; where that fails the loop ends, and the whole server shuts down with it:
one call of any client with a certificate would end every stream of every agency. So the loop that decodes is another
one than the loop that accepts: the server with the port hands each call to a *dispatcher*, a server without a port,
whose loop decodes the path and starts the handler. Only a dispatcher dies of such a path. Its call is dropped (the
client sees CANCELLED; nothing of it can be on record but a count), the calls under way go on, and another dispatcher
takes over with those that wait.

It leans on gRPC's classes below `grpc.aio`, because nothing above them sees a call before its path is decoded
(docs/decisions/0013-steady-server.md).

MUSTs:
1. A call whose path cannot be read ends alone: the calls under way go on, and those that come are served.
2. Before it accepts, every server loses a dispatcher and sees the next one take over. With a gRPC in which that does
   not happen it does not start: it would serve unprotected.

Does not: cancel gRPC's own task of a call. What the core still writes into would be freed under it.
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
# What gRPC's loop takes as little as a path that is not text.
_NO_CALL = object()

# It takes milliseconds.
REHEARSAL_SECONDS = 10.0


class UnsteadyError(RuntimeError):
    """This gRPC is not the one that this module was written for; the message says what to do."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"grpcio {grpc.__version__} does not work as this broker needs ({why}): any client could end the whole "
            "server. Install the grpcio that pyproject.toml names for the broker."
        )


def steady_server(options: Options, dropped: Callable[[], None]) -> grpc.aio.Server:
    """As `grpc.aio.server(options=options)`. `dropped` is told of each call whose path cannot be read.

    Raises UnsteadyError, as does the server's `start`.
    """
    # Not by its own __init__, which would make the server that is replaced here.
    server: Any = aio.Server.__new__(aio.Server)
    try:
        server._loop = cygrpc.get_working_loop()
        server._server = _Acceptor(server._loop, tuple(options), dropped)
    except (AttributeError, TypeError) as error:
        raise UnsteadyError(str(error)) from error
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
        self._accepting = asyncio.Event()

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        # Also called by gRPC's own constructor, before this one's fields are there.
        if handlers:
            self._handlers.extend(handlers)

    def add_registered_method_handlers(self, _: object) -> None:
        """Generated code registers its methods twice; they are answered by their generic handler."""

    async def start(self) -> None:
        try:
            async with asyncio.timeout(REHEARSAL_SECONDS):
                await self._rehearse()
                await super().start()
                await self._accepting.wait()
        except TimeoutError:
            raise UnsteadyError("its server does not go on after a call that cannot be read") from None

    async def _rehearse(self) -> None:
        """Lose the first dispatcher as a path that cannot be read would, and see the next one wait for calls."""
        first = self._dispatcher = _Dispatcher(self._event_loop, self._handlers, deque(), self._succeed)
        await first.start()
        await first.ready.wait()
        first.offer(_NO_CALL)
        while self._dispatcher is first:  # noqa: ASYNC110 - a few turns, and no event could tell more
            await asyncio.sleep(0)
        await self._dispatcher.ready.wait()

    async def shutdown(self, grace: float | None) -> None:
        await super().shutdown(grace)
        if self._dispatcher is not None:
            await self._dispatcher.shutdown(None)

    def _make_request_call_future(self, _: bytes | None) -> asyncio.Future[Any]:
        return self._event_loop.create_task(self._hand_over(), name="accept")

    async def _hand_over(self) -> None:
        """Ends with gRPC's own exception, when the server is shut down."""
        self._accepting.set()
        while True:
            # Not kept in a name: what holds a call that was dropped keeps its client waiting.
            self._offer(await self._request_call())

    def _offer(self, call: Any) -> None:
        assert self._dispatcher is not None
        self._dispatcher.offer(call)

    def _died(self, waiting: deque[Any]) -> None:
        self._dropped()
        self._succeed(waiting)

    def _succeed(self, waiting: deque[Any]) -> None:
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
        self.ready = asyncio.Event()

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
        self.ready.set()
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
        with contextlib.suppress(UnicodeDecodeError, TypeError):
            await self.shutdown(None)
        await self.shutdown(None)

    def _keep(self, work: Any) -> None:
        task = self._event_loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
