"""Servers on loopback that are no broker, each in its own way. They serve until the `with` block ends."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

Talk = Callable[[socket.socket], None]


@contextlib.contextmanager
def plain(talk: Talk) -> Iterator[str]:
    """A TCP server that does this with each connection; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                taken, _ = listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=one, args=(taken,), daemon=True).start()

    def one(taken: socket.socket) -> None:
        with taken, contextlib.suppress(OSError):
            taken.settimeout(10)
            talk(taken)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        thread.join(5)
        listener.close()


def silent(connection: socket.socket) -> None:
    """Says nothing."""
    while connection.recv(4096):
        pass


def chatty(connection: socket.socket) -> None:
    """Speaks HTTP in the clear."""
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def rude(connection: socket.socket) -> None:
    """Hangs up."""
    connection.recv(1)


@contextlib.contextmanager
def tls(
    certificate: Path, key: Path, *, version: ssl.TLSVersion, protocols: tuple[str, ...] = ("h2",)
) -> Iterator[str]:
    """A TLS server of one version; its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(certificate, key)
    if protocols:
        context.set_alpn_protocols(list(protocols))

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            while secure.recv(4096):
                pass

    with plain(talk) as address:
        yield address
