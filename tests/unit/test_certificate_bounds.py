"""Rule 16 of the certificate profile: whatever is presented, the answer comes at once. A second would be a hang."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.x509.oid import NameOID

from broker.domain.errors import BrokerError
from broker.identify.path import MOST_SIGNATURES
from broker.identify.roots import Anchor, TrustRoots
from tests.support.identities import (
    CA_EXTENSIONS,
    Leaf,
    SetClock,
    Signer,
    authority,
    name,
    p256,
    pem,
    profile,
    root,
    rsa_key,
    sign,
    spiffe,
)

HANG_SECONDS = 1.0
MANY_NAMES: list[x509.GeneralName] = [x509.DNSName(f"{number}.example") for number in range(400)]


class PublicOnly:
    """A key pair of which only the public half exists: enough to be named in a certificate."""

    def __init__(self, modulus_bits: int, exponent: int) -> None:
        modulus = int.from_bytes(os.urandom(modulus_bits // 8), "big") | 1 | 1 << (modulus_bits - 1)
        self._key = rsa.RSAPublicNumbers(exponent, modulus).public_key()

    def public_key(self) -> rsa.RSAPublicKey:
        return self._key


def armoured(content: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(content) + b"-----END CERTIFICATE-----\n"


def ring(length: int) -> tuple[bytes, bytes]:
    """A leaf under authorities of one name and one key, each of which might have signed each."""
    above: list[Signer] = [authority("ring", key=p256("ring"))]
    for _ in range(length - 1):
        above.append(authority("ring", above[-1], key=p256("ring")))
    return Leaf(signer=above[-1]).pem(), pem(*(one.certificate for one in above))


def constrained() -> tuple[bytes, bytes]:
    """Two authorities with as many subtrees as are allowed, over as many names as are allowed."""
    subtrees = [*(x509.DNSName(f"n{number}.example") for number in range(126)), x509.DNSName("example")]
    constraints = x509.NameConstraints([*subtrees, x509.UniformResourceIdentifier("police.example")], None)
    extensions = (*CA_EXTENSIONS, (constraints, True))
    upper = authority("upper", root(), extensions=extensions)
    lower = authority("lower", upper, extensions=extensions)
    return Leaf(signer=lower, names=[spiffe(), *MANY_NAMES[:31]]).pem(), pem(lower.certificate, upper.certificate)


def long_name() -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "e" * 40) for _ in range(60)])
    return pem(sign(subject, p256("leaf"), root(), (), -60, 86400, hashes.SHA256()))


def extensions(count: int) -> list[tuple[x509.ExtensionType, bool]]:
    return [
        (x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.3.{number}"), b"\x05\x00"), False)
        for number in range(count)
    ]


ODD: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "400 names": lambda: (Leaf(names=[spiffe(), *MANY_NAMES]).pem(), b""),
    "300 extensions": lambda: (Leaf(extra=extensions(300)).pem(), b""),
    "60 relative names": lambda: (long_name(), b""),
    "RSA of 32,000 bits": lambda: (Leaf(key=PublicOnly(32_000, 65537)).pem(), b""),
    "an exponent of 2,048 bits": lambda: (Leaf(key=PublicOnly(2048, (1 << 2047) | 1)).pem(), b""),
    "a DSA key": lambda: (Leaf(key=dsa.generate_private_key(1024)).pem(), b""),
    "a ring of two": lambda: ring(2),
    "a ring of twenty": lambda: ring(20),
    "all the constraints that are allowed": constrained,
    "junk": lambda: (armoured(os.urandom(5800)), armoured(os.urandom(11_000))),
    "nested without end": lambda: (armoured(b"\x30\x80" * 2900), b""),
    "blanks": lambda: (b"-----BEGIN CERTIFICATE-----" + b" " * 8000 + b"-----END CERTIFICATE-----\n", b""),
    "8 MiB": lambda: (Leaf().pem() + b"\n" * (8 << 20), b""),
}


def took(checked: Any, leaf: bytes, chain: bytes) -> float:
    began = time.perf_counter()
    with pytest.raises(BrokerError):
        checked.check(leaf, chain)
    return time.perf_counter() - began


def test_rule_16_no_certificate_or_chain_hangs_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = {case: took(profile(SetClock()), *make()) for case, make in ODD.items()}
    worst = max(seconds, key=lambda case: seconds[case])
    with capsys.disabled():
        print(f"\nodd certificates: the slowest {seconds[worst] * 1000:.1f} ms ({worst})")
    assert seconds[worst] < HANG_SECONDS


def test_rule_16_roots_of_one_name_do_not_either(capsys: pytest.CaptureFixture[str]) -> None:
    """The costliest honest configuration: as many candidate issuers as are tried, each with a large key."""
    stranger = Signer(name("test root"), rsa.generate_private_key(65537, 3072), root().certificate)
    candidate = authority("test root", key=p256("other"))
    wide = sign(name("test root"), rsa_key(3072), candidate, CA_EXTENSIONS, -60, 86400, hashes.SHA256())
    roots = TrustRoots([Anchor(wide)] * (MOST_SIGNATURES + 8))
    seconds = took(profile(SetClock(), roots=roots), Leaf(signer=stranger).pem(), b"")
    with capsys.disabled():
        print(f"\n{MOST_SIGNATURES} signatures that do not hold: {seconds * 1000:.1f} ms")
    assert seconds < HANG_SECONDS
