"""The stage as a whole: what it makes of a connection and a call's metadata, and of a stream that goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from broker.domain.errors import IdentityError, UnavailableError
from broker.domain.standing import Revoked
from broker.identify.caller import Identifier
from broker.identify.roots import Anchor, TrustRoots
from broker.identify.standing import Standing
from certs.issuer import encode_segment
from tests.support.identities import Agency, Leaf, SetClock, authority, pem, profile, root, verifier


@pytest.fixture
def identifier(tmp_path: Path) -> Identifier:
    clock = SetClock()
    return Identifier(profile(clock), verifier(clock, tmp_path), Standing(clock))


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
        identifier.identify(identifier.peer(connection(**changes)), [("authorization", "Bearer x")])


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
        identifier.identify(identifier.peer(connection()), metadata)


@pytest.mark.parametrize("value", ["Bearer ", "Bearer  a.b.c", "Bearer a.b.c, Bearer a.b.c", "Bearer a.b.c "])
def test_anything_but_one_token_after_the_scheme_is_malformed(identifier: Identifier, value: str) -> None:
    with pytest.raises(IdentityError, match="TOKEN_MALFORMED"):
        identifier.identify(identifier.peer(connection()), [("authorization", value)])


class TestStream:
    """A stream's caller is tested again at every message."""

    def setup_method(self) -> None:
        self.clock = SetClock()
        self.roots = TrustRoots.from_pem(pem(root().certificate))
        self.standing = Standing(self.clock)
        self.connection = connection()

    def start(self, folder: Path) -> Identifier:
        agency = Agency("alfa")
        checked = profile(self.clock, roots=self.roots)
        identifier = Identifier(checked, verifier(self.clock, folder, agency), self.standing)
        bound = {"x5t#S256": encode_segment(identifier.peer(self.connection).thumbprint)}
        metadata = [("authorization", f"Bearer {agency.token(cnf=bound)}")]
        self.caller = identifier.identify(identifier.peer(self.connection), metadata)
        identifier.require_still_valid(self.caller, self.connection)
        return identifier

    def later(self, seconds: float) -> None:
        self.clock.seconds += seconds
        self.standing.confirm()

    def refusal(self, identifier: Identifier) -> str:
        with pytest.raises(IdentityError) as caught:
            identifier.require_still_valid(self.caller, self.connection)
        return caught.value.reason

    def test_ends_when_its_token_expires(self, tmp_path: Path) -> None:
        identifier = self.start(tmp_path)
        self.later(300)
        assert self.refusal(identifier) == "TOKEN_EXPIRED"

    def test_ends_when_its_certificate_expires(self, tmp_path: Path) -> None:
        self.connection = connection(x509_pem_cert=[Leaf(ends=20).pem()])
        identifier = self.start(tmp_path)
        self.later(20)
        # The last second of a certificate is its own (RFC 5280 section 4.1.2.5); a token's is the one before it ends.
        identifier.require_still_valid(self.caller, self.connection)
        self.later(1)
        assert self.refusal(identifier) == "CERTIFICATE_EXPIRED"

    def test_ends_when_something_of_it_is_revoked(self, tmp_path: Path) -> None:
        identifier = self.start(tmp_path)
        agency = str(self.caller.agency)
        for revoked, reason in (
            (Revoked(certificates=frozenset({self.caller.thumbprint})), "CERTIFICATE_REVOKED"),
            (Revoked(users=frozenset({(agency, self.caller.user)})), "USER_REVOKED"),
            (Revoked(tokens=frozenset({(self.caller.issuer, self.caller.token_id)})), "TOKEN_REVOKED"),
            (Revoked(issuers=frozenset({self.caller.issuer})), "ISSUER_NOT_ALLOWED"),
            (Revoked(agencies=frozenset({agency})), "AGENCY_LOCKED"),
        ):
            self.standing.replace(revoked)
            assert self.refusal(identifier) == reason

    def test_ends_when_nobody_knows_what_is_revoked(self, tmp_path: Path) -> None:
        identifier = self.start(tmp_path)
        self.clock.seconds += 5
        identifier.require_still_valid(self.caller, self.connection)
        self.clock.seconds += 0.1
        with pytest.raises(UnavailableError) as caught:
            identifier.require_still_valid(self.caller, self.connection)
        assert caught.value.reason == "REVOCATIONS_UNAVAILABLE"
        self.standing.confirm()
        identifier.require_still_valid(self.caller, self.connection)

    def test_ends_when_the_roots_rotate(self, tmp_path: Path) -> None:
        identifier = self.start(tmp_path)
        self.roots.replace([Anchor(authority("new root").certificate)])
        assert self.refusal(identifier) == "CERTIFICATE_INVALID"

    def test_does_not_pass_with_another_connection(self, tmp_path: Path) -> None:
        identifier = self.start(tmp_path)
        self.caller = replace(self.caller, thumbprint=b"\x01" * 32)
        assert self.refusal(identifier) == "TOKEN_NOT_BOUND"
