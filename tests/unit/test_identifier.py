"""The stage as a whole: what it makes of a connection and a call's metadata, and of a stream that goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from broker.domain.errors import IdentityError
from broker.identify.caller import Identifier
from broker.identify.roots import Anchor, Revocations, TrustRoots
from certs.issuer import encode_segment
from tests.support.identities import Agency, Leaf, SetClock, authority, pem, profile, root, verifier


@pytest.fixture
def identifier(tmp_path: Path) -> Identifier:
    clock = SetClock()
    return Identifier(profile(clock), verifier(clock, tmp_path))


def connection(**changes: list[bytes]) -> dict[str, list[bytes]]:
    return {"ssl_tls_version": [b"TLSv1.3"], "x509_pem_cert": [pem(Leaf().certificate())], **changes}


@pytest.mark.parametrize("version", [[], [b"TLSv1.2"], [b"TLSv1.3", b"TLSv1.2"], [b""]])
def test_any_other_version_is_refused(identifier: Identifier, version: list[bytes]) -> None:
    with pytest.raises(IdentityError, match="TLS_VERSION_REFUSED"):
        identifier.peer(connection(ssl_tls_version=version))


def test_a_peer_is_known_without_a_token(identifier: Identifier) -> None:
    assert identifier.peer(connection()).agency.agency == "alfa"


@pytest.mark.parametrize(
    "changes", [{"x509_pem_cert": []}, {"x509_pem_cert": [b"a", b"b"]}, {"x509_pem_cert_chain": [b"", b""]}]
)
def test_a_missing_certificate_is_refused(identifier: Identifier, changes: dict[str, list[bytes]]) -> None:
    with pytest.raises(IdentityError, match="CERTIFICATE_INVALID"):
        identifier.identify(connection(**changes), [("authorization", "Bearer x")])


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("authorization", "Bearer a"), ("authorization", "Bearer a")],
        [("authorization", "Bearer a"), ("Authorization", "Bearer a")],
        [("authorization", "Basic a")],
        [("authorization", "Bearer")],
        [("authorization", "")],
        [("authorization", b"Bearer a")],
        [("x-authorization", "Bearer a")],
    ],
    ids=str,
)
def test_anything_but_one_bearer_token_is_missing(
    identifier: Identifier, metadata: list[tuple[str, str | bytes]]
) -> None:
    with pytest.raises(IdentityError, match="TOKEN_MISSING"):
        identifier.identify(connection(), metadata)


@pytest.mark.parametrize("value", ["Bearer ", "Bearer  a.b.c", "Bearer a.b.c, Bearer a.b.c", "Bearer a.b.c "])
def test_anything_but_one_token_after_the_scheme_is_malformed(identifier: Identifier, value: str) -> None:
    with pytest.raises(IdentityError, match="TOKEN_MALFORMED"):
        identifier.identify(connection(), [("authorization", value)])


class TestStream:
    """A stream's caller is tested again at every message."""

    def setup_method(self) -> None:
        self.clock = SetClock()
        self.roots = TrustRoots.from_pem(pem(root().certificate))
        self.revocations = Revocations()
        self.revoked: set[tuple[str, str]] = set()
        self.connection = connection()

    def start(self, folder: Path) -> Identifier:
        agency = Agency("alfa")
        checked = profile(self.clock, roots=self.roots, revocations=self.revocations)
        identifier = Identifier(checked, verifier(self.clock, folder, agency, revoked=self.revoked))
        bound = {"x5t#S256": encode_segment(identifier.peer(self.connection).thumbprint)}
        metadata = [("authorization", f"Bearer {agency.token(cnf=bound)}")]
        self.caller = identifier.identify(self.connection, metadata)
        identifier.require_still_valid(self.caller, self.connection)
        return identifier

    def refusal(self, identifier: Identifier) -> str:
        with pytest.raises(IdentityError) as caught:
            identifier.require_still_valid(self.caller, self.connection)
        return caught.value.reason

    def test_ends_when_its_token_expires(self, tmp_path: Path) -> None:
        identifier = self.start(tmp_path)
        self.clock.seconds += 300
        assert self.refusal(identifier) == "TOKEN_EXPIRED"

    def test_ends_when_its_certificate_expires(self, tmp_path: Path) -> None:
        self.connection = connection(x509_pem_cert=[Leaf(ends=20).pem()])
        identifier = self.start(tmp_path)
        self.clock.seconds += 21
        assert self.refusal(identifier) == "CERTIFICATE_EXPIRED"

    def test_ends_when_its_certificate_is_revoked(self, tmp_path: Path) -> None:
        identifier = self.start(tmp_path)
        self.revocations.revoke(self.caller.thumbprint)
        assert self.refusal(identifier) == "CERTIFICATE_REVOKED"

    def test_ends_when_its_token_is_revoked(self, tmp_path: Path) -> None:
        identifier = self.start(tmp_path)
        self.revoked.add((self.caller.issuer, self.caller.token_id))
        assert self.refusal(identifier) == "TOKEN_INVALID"

    def test_ends_when_the_roots_rotate(self, tmp_path: Path) -> None:
        identifier = self.start(tmp_path)
        self.roots.replace([Anchor(authority("new root").certificate)])
        assert self.refusal(identifier) == "CERTIFICATE_INVALID"

    def test_does_not_pass_with_another_connection(self, tmp_path: Path) -> None:
        identifier = self.start(tmp_path)
        self.caller = replace(self.caller, thumbprint=b"\x01" * 32)
        assert self.refusal(identifier) == "TOKEN_NOT_BOUND"
