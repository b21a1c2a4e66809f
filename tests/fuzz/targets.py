"""What is fuzzed: a few seeds, and one function of bytes that raises where an invariant does not hold.

Invariants of every target: nothing but the documented refusals is raised, nothing is accepted unless the independent
`oracle` says so, and no input takes longer than `SLOWEST_SECONDS`.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from broker.domain.errors import IdentityError, LimitError, UnavailableError
from broker.identify.caller import Identifier
from broker.identify.certificate import CertificateProfile
from broker.identify.failures import FailureLimit
from broker.identify.key_set import read_key_set
from broker.identify.standing import Standing
from broker.identify.token import TokenVerifier
from certs.issuer import encode_segment, jwks_document
from tests.fuzz import oracle
from tests.support import forged
from tests.support.identities import Agency, Leaf, SetClock, es256, pem, profile, root, verifier

SLOWEST_SECONDS = 1.0
ALFA = Agency("alfa")
REFUSALS = (IdentityError, LimitError, UnavailableError)


class InvariantError(AssertionError):
    """An input that shows a defect."""


@dataclass(frozen=True)
class Target:
    """`seeds` are inputs from which mutation starts; the first byte of some chooses how the rest is used."""

    seeds: Callable[[], list[bytes]]
    attempt: Callable[[bytes], None]

    def one(self, data: bytes) -> None:
        """One input, timed. Raises InvariantError, or whatever escaped."""
        began = time.perf_counter()
        self.attempt(data)
        seconds = time.perf_counter() - began
        if seconds > SLOWEST_SECONDS:
            raise InvariantError(f"{seconds:.1f} s for {len(data)} bytes")


def _require(held: bool, what: str) -> None:
    if not held:
        raise InvariantError(what)


@cache
def _tokens() -> TokenVerifier:
    clock = SetClock()
    # A limit on failures would soon refuse everything, and nothing would be tried any more.
    limit = FailureLimit(clock, burst=1 << 60)
    return verifier(clock, Path(tempfile.mkdtemp(prefix="entente-fuzz-")), ALFA, limit=limit)


def _token_seeds() -> list[bytes]:
    good, payload, header = ALFA.token().encode(), json.dumps(ALFA.claims()), json.dumps(ALFA.header())
    return [b"\x00" + good, b"\x01" + payload.encode(), b"\x02" + header.encode(), b"\x00a.b.c", b"\x01{}"]


def token(data: bytes) -> None:
    """The rest as a whole token, as a signed payload, or as a signed header."""
    mode, rest = data[:1], data[1:]
    if mode == b"\x01":
        text = ALFA.sign(rest)
    elif mode == b"\x02":
        signing_input = f"{encode_segment(rest)}.{encode_segment(json.dumps(ALFA.claims()).encode())}"
        text = f"{signing_input}.{encode_segment(es256(ALFA.issuer_key)(signing_input.encode()))}"
    else:
        text = rest.decode("utf-8", "surrogateescape")
    try:
        caller = _tokens().check(text, ALFA.peer)
    except REFUSALS:
        return
    _require(oracle.token_may_pass(text, ALFA), f"a token was accepted: {text[:200]}")
    _require(caller.agency == ALFA.id, "another agency came out")


def _key_seeds() -> list[bytes]:
    return [jwks_document([ALFA.issuer_key.public_key()]), b'{"keys":[]}']


def keys(data: bytes) -> None:
    """An issuer's key file."""
    try:
        found = read_key_set(data)
    except ValueError:
        return
    _require(bool(found) and oracle.keys_may_pass(data), "a key file was accepted")


@cache
def _profile() -> CertificateProfile:
    return profile(SetClock())


@cache
def _leaf() -> x509.Certificate:
    return Leaf().certificate()


def _certificate_seeds() -> list[bytes]:
    der = _leaf().public_bytes(serialization.Encoding.DER)
    value = _leaf().extensions.get_extension_for_class(x509.SubjectAlternativeName).value.public_bytes()
    return [b"\x00" + der, b"\x01" + pem(_leaf()), b"\x02" + value, b"\x03" + pem(root().certificate)]


def certificate(data: bytes) -> None:
    """The rest as DER, as PEM, as the SAN of a well-signed leaf, or as the chain of a good one."""
    mode, rest = data[:1], data[1:]
    leaf, chain = pem(_leaf()), b""
    if mode == b"\x01":
        leaf = rest
    elif mode == b"\x02":
        leaf = _signed_with_san(rest)
    elif mode == b"\x03":
        chain = rest
    else:
        leaf = forged.pem(rest)
    try:
        peer = _profile().check(leaf, chain)
    except REFUSALS:
        return
    accepted = x509.load_pem_x509_certificate(leaf)
    if mode != b"\x02":
        _require(accepted.tbs_certificate_bytes == _leaf().tbs_certificate_bytes, "another certificate was accepted")
    _require(str(peer.agency) == oracle.agency_named(accepted), f"{peer.agency} is not what the certificate names")


def _signed_with_san(value: bytes) -> bytes:
    signer = root()
    issuer = forged.Issuer(signer.subject.public_bytes(), signer.key, b"")
    leaf = _leaf()
    # The tests' clock stands at the leaf's time; a forged one takes the same.
    begins, ends = (
        forged.tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())
        for moment in (leaf.not_valid_before_utc, leaf.not_valid_after_utc)
    )
    return forged.pem(
        forged.Forged(issuer, names=("2.5.29.17", False, value), begins=begins, ends=ends, serial=b"\x02\x01\x05").der()
    )


@cache
def _identifier() -> Identifier:
    clock = SetClock()
    return Identifier(profile(clock), _tokens(), Standing(clock))


def _metadata_seeds() -> list[bytes]:
    good = f"authorization: Bearer {ALFA.token()}".encode()
    return [good, good + b"\n" + good, b"Authorization: bearer a.b.c", b"x: y\nauthorization: Basic YTpi"]


def metadata(data: bytes) -> None:
    """Lines of a name and a value; a name that ends in -bin has bytes."""
    given: list[tuple[str, str | bytes]] = []
    for line in data.split(b"\n"):
        name, _, value = line.partition(b": ")
        text = name.decode("latin-1")
        given.append((text, value if text.endswith("-bin") else value.decode("utf-8", "surrogateescape")))
    try:
        _identifier().identify(ALFA.peer, given)
    except REFUSALS:
        return
    values = [value for name, value in given if name.lower() == "authorization"]
    _require(len(values) == 1 and isinstance(values[0], str), "not exactly one authorization")
    _require(oracle.token_may_pass(str(values[0])[7:], ALFA), "metadata were accepted")


TARGETS = {
    "token": Target(_token_seeds, token),
    "keys": Target(_key_seeds, keys),
    "certificate": Target(_certificate_seeds, certificate),
    "metadata": Target(_metadata_seeds, metadata),
}
