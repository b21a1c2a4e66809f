"""An HTTPS server in the test's own loop that publishes keys, or misbehaves as it is told; it notes who asks."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certs.profiles import LOCAL_HOSTS, broker_certificate, root_certificate

JSON = "application/jwk-set+json; charset=utf-8"
Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class KeyServer:
    """`asked` holds the heads of all requests; `behaviour` answers each."""

    url: str
    ca: Path
    behaviour: Behaviour
    asked: list[str] = field(default_factory=list)
    connections: int = 0

    def publish(self, content: bytes, *, status: str = "200 OK", headers: Sequence[str] = ()) -> None:
        """Answer every request with this from now on; a header given replaces the usual one of its name."""
        usual = {"content-type": f"Content-Type: {JSON}", "content-length": f"Content-Length: {len(content)}"}
        chosen = {**usual, **{header.partition(":")[0].lower(): header for header in headers}}
        head = "\r\n".join([f"HTTP/1.1 {status}", *chosen.values(), "Connection: close", "", ""])
        self.say(head.encode() + content)

    def say(self, raw: bytes) -> None:
        """Answer every request with exactly these bytes."""

        async def behaviour(writer: asyncio.StreamWriter) -> None:
            writer.write(raw)
            await writer.drain()

        self.behaviour = behaviour


async def _silent(_: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


@contextlib.asynccontextmanager
async def key_server(folder: Path, *, hosts: Sequence[str] = LOCAL_HOSTS) -> AsyncIterator[KeyServer]:
    """A server for these names, with a root of its own in `folder`. Silent until told what to answer."""
    tls, ca = _tls(folder, hosts)
    tasks: set[asyncio.Task[None]] = set()
    made = KeyServer("", ca, _silent)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        made.connections += 1
        try:
            made.asked.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
            await made.behaviour(writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    made.url = f"https://localhost:{server.sockets[0].getsockname()[1]}/jwks"
    try:
        yield made
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def _tls(folder: Path, hosts: Sequence[str]) -> tuple[ssl.SSLContext, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    authority = root_certificate("Key server's root")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = broker_certificate(authority, key.public_key(), "keys", hosts)
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "keys.key").write_bytes(secret)
    (folder / "keys.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "keys-root.pem").write_bytes(authority.certificate.public_bytes(pem))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "keys.pem", folder / "keys.key")
    return context, folder / "keys-root.pem"
