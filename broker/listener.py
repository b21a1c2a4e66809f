"""This process's sockets on a port: gRPC gives no handle on its listener, and closing it gently needs one.

Guarantees: only sockets of this process, on this port, are touched. After `stop_accepting` the kernel gives every new
connection to another listener on the port, and the connections that there are go on.
Does not: help a connection whose TCP handshake is under way at that very moment; unless the kernel is told to hand it
on (`net.ipv4.tcp_migrate_req`), it is reset before its TLS begins.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator

# Of struct tcp_info (linux/tcp.h): for a listener, how many connections wait to be accepted.
_TCPI_UNACKED = 24
_LOOK_SECONDS, _MOST_LOOKS = 0.0005, 400


def stop_accepting(port: int) -> int:
    """Shut this process's listeners on the port; how many there were."""
    closed = 0
    for one in _sockets(port):
        if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            _wait_until_empty(one)
            one.shutdown(socket.SHUT_RD)
            closed += 1
    return closed


def connections(port: int) -> int:
    """How many connections to the port this process holds."""
    return sum(_is_connected(one) for one in _sockets(port))


def _is_connected(one: socket.socket) -> bool:
    """A listener that was shut stays open until gRPC's server ends, and has no peer."""
    try:
        one.getpeername()
    except OSError:
        return False
    return True


def _wait_until_empty(listener: socket.socket) -> None:
    """What waits to be accepted would be reset: gRPC's own threads take it in a moment."""
    for _ in range(_MOST_LOOKS):
        if not _waiting(listener):
            break
        time.sleep(_LOOK_SECONDS)


def _waiting(listener: socket.socket) -> int:
    if not hasattr(socket, "TCP_INFO"):
        return 0
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCPI_UNACKED + 4)
    return int(struct.unpack_from("=I", info, _TCPI_UNACKED)[0])


def _sockets(port: int) -> Iterator[socket.socket]:
    """This process's TCP sockets that are bound to the port, as duplicates: closing one leaves gRPC's alone."""
    for name in os.listdir("/dev/fd"):  # noqa: PTH208 - numbers of descriptors, not files
        one = _duplicate(int(name))
        if one is not None:
            with one:
                if one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockname()[1] == port:
                    yield one


def _duplicate(descriptor: int) -> socket.socket | None:
    """None where it is no socket, or has just been closed by another thread."""
    try:
        copy = os.dup(descriptor)
    except OSError:
        return None
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        return None
