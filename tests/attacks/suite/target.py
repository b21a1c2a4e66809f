"""What is attacked: an address, whose certificates we hold, and what else the case may use.

`Target` is all that a case sees. `own.py` makes one with a broker of its own; `foreign` one from files that an agency
has, against a deployment that it may test.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from entente_tlog.receipt import LogKey
from tests.attacks.suite.case import End, Need, Observed
from tests.attacks.suite.minting import Mint
from tests.attacks.suite.wire import (
    ClientCannotError,
    Connection,
    HandshakeRefusedError,
    Header,
    call_headers,
    framed,
)
from tests.support import forged

WHO_AM_I = b"/entente.directory.v1.DirectoryService/WhoAmI"


@dataclass(frozen=True)
class Identity:
    """An agency's client certificate, and its issuer (or a ready token) where we have them."""

    agency: str
    certificate: bytes
    key: bytes
    mint: Mint | None = None
    ready_token: str = ""

    def token(self) -> str:
        """A good token."""
        return self.ready_token or self.minting.token()

    @property
    def minting(self) -> Mint:
        assert self.mint is not None, "the case must say that it needs the issuer's key"
        return self.mint


@dataclass
class Target:
    """One deployment. The first identity is the default one."""

    address: str
    roots: bytes
    identities: Sequence[Identity]
    offers: frozenset[Need]
    log_keys: tuple[LogKey, ...] = ()
    server_name: str = "localhost"
    # Somebody who may revoke.
    registrar: Identity | None = None
    # Of the own broker alone: an authority that signs leaves only, and one that may sign intermediates too.
    authority: forged.Issuer | None = None
    upper_authority: forged.Issuer | None = None
    # The first of these two signs its list again, with one more serial.
    put_on_list: Callable[[int], object] | None = None
    _connections: dict[bytes, Connection] = field(default_factory=dict)
    _left: list[Connection] = field(default_factory=list)
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def identity(self) -> Identity:
        return self.identities[0]

    @property
    def leaf_authority(self) -> forged.Issuer:
        assert self.authority is not None, "the case must say that it needs the authority's key"
        return self.authority

    @property
    def root_authority(self) -> forged.Issuer:
        assert self.upper_authority is not None, "the case must say that it needs the authority's key"
        return self.upper_authority

    def context(self, certificate: bytes = b"", key: bytes = b"") -> ssl.SSLContext:
        """A TLS client that presents these. Raises ClientCannotError where this library will not load them."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.roots.decode())
        context.set_alpn_protocols(["h2"])
        # Weak keys and signatures are the server's to refuse, not this client's.
        context.set_ciphers("ALL:@SECLEVEL=0")
        if certificate:
            with tempfile.NamedTemporaryFile() as file:
                file.write(certificate + key)
                file.flush()
                try:
                    context.load_cert_chain(file.name)
                except ssl.SSLError as error:
                    raise ClientCannotError(str(error)) from error
        return context

    async def connect(self, certificate: bytes, key: bytes) -> Connection:
        """A connection of its own. Raises HandshakeRefusedError."""
        return await Connection.open(self.address, self.context(certificate, key), server_name=self.server_name)

    async def shared(self, identity: Identity | None = None) -> Connection:
        """The connection that an identity's cases share; a new one where the last has ended."""
        chosen = identity or self.identity
        async with self._opening:
            found = self._connections.get(chosen.certificate)
            if found is None or found.closed or found.goaway:
                if found is not None:
                    # Other cases may have calls under way on it.
                    self._left.append(found)
                found = await self.connect(chosen.certificate, chosen.key)
                self._connections[chosen.certificate] = found
            return found

    async def close(self) -> None:
        for connection in (*self._connections.values(), *self._left):
            await connection.close()
        self._connections.clear()
        self._left.clear()

    @contextlib.asynccontextmanager
    async def fresh(self, identity: Identity | None = None) -> AsyncIterator[Connection]:
        """A connection for one case alone, which may ruin it."""
        chosen = identity or self.identity
        async with await self.connect(chosen.certificate, chosen.key) as connection:
            yield connection

    async def ask(self, *headers: Header, identity: Identity | None = None, path: bytes = WHO_AM_I) -> Observed:
        """One call with exactly these metadata, on the shared connection."""
        connection = await self.shared(identity)
        return await connection.call(call_headers(path, *headers))

    async def good(self, identity: Identity | None = None) -> Observed:
        """What must always pass."""
        chosen = identity or self.identity
        return await self.ask(bearer(chosen.token()), identity=chosen)

    async def present(self, certificate: bytes, key: bytes, *headers: Header) -> Observed:
        """One call over a connection with this certificate: in the handshake, or by the broker, it ends somehow."""
        try:
            async with await self.connect(certificate, key) as connection:
                found = await connection.call(call_headers(WHO_AM_I, *headers), framed(b""))
        except HandshakeRefusedError as refusal:
            return Observed(End.HANDSHAKE, text=str(refusal)[:100])
        # In TLS 1.3 the server may end the handshake after this side took it for done.
        if found.end is End.CORE and not found.status and connection.closed:
            return Observed(End.HANDSHAKE, text=found.text)
        return found


def bearer(token: str | bytes) -> Header:
    """The one header that carries a token."""
    raw = token if isinstance(token, bytes) else token.encode("utf-8", "surrogatepass")
    return b"authorization", b"Bearer " + raw


def identity_from_files(certificate: Path, key: Path, *, agency: str = "", mint: Mint | None = None) -> Identity:
    """An identity as an agency keeps it."""
    return Identity(agency or str(certificate), certificate.read_bytes(), key.read_bytes(), mint)


def mint_from_files(certificate: Path, issuer_key: Path, issuer: str, audience: str) -> Mint:
    """The issuer's P-256 key, bound to this certificate. Raises ValueError."""
    loaded = serialization.load_pem_private_key(issuer_key.read_bytes(), password=None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{issuer_key}: the suite signs with a P-256 key")  # noqa: TRY004 - a file's content
    leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    return Mint(issuer, audience, loaded, leaf.fingerprint(hashes.SHA256()))
