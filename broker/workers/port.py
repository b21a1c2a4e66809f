"""The port that the workers share.

Guarantees: a port on which something else listens is refused, although the workers could share it silently; the
number that stands for port 0 is chosen once, and stays the broker's while the supervisor lives, also when every worker
is down.
Does not: accept. The supervisor's own socket is bound and never listens, so that no connection is given to it.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any


class PortTakenError(Exception):
    """The port cannot be had; the message says why and what to do."""


@contextlib.contextmanager
def held_port(listen: str) -> Iterator[str]:
    """Hold `host:port` for the workers; its address with the port's number. Raises PortTakenError."""
    host, _, port = listen.rpartition(":")
    try:
        family, where = _resolved(host, int(port))
        with _bound(family, where) as alone:
            # Listening, not binding, is what tells: two sockets that both may be reused can be bound to one port.
            alone.listen(1)
            where = alone.getsockname()
        with _bound(family, where, shared=True) as held:
            yield f"{host}:{held.getsockname()[1]}"
    except (OSError, ValueError) as error:
        why = f"cannot listen on {listen}: {error}; stop what listens there, or set broker.listen"
        raise PortTakenError(why) from error


def _resolved(host: str, port: int) -> tuple[int, tuple[Any, ...]]:
    if not 0 <= port <= 65_535:
        raise ValueError("a port is a number up to 65535")
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, where = found[0]
    return family, where


def _bound(family: int, where: tuple[Any, ...], *, shared: bool = False) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of an earlier broker that are closing must not keep this one from its port.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(where)
    except BaseException:
        made.close()
        raise
    return made
