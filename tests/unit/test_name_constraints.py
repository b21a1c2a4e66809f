"""Rule 15 of the certificate profile, and the six MUSTs of name constraints."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from broker.domain.caller import Peer
from broker.domain.errors import IdentityError
from broker.identify.constraints import MOST_SUBTREES
from broker.identify.roots import TrustRoots
from tests.support.identities import (
    CA_EXTENSIONS,
    Leaf,
    SetClock,
    Signer,
    authority,
    p256,
    pem,
    profile,
    root,
    sign,
    spiffe,
)

URI, DNS, MAIL, IP, DIRECTORY = (
    x509.UniformResourceIdentifier,
    x509.DNSName,
    x509.RFC822Name,
    lambda text: x509.IPAddress(ipaddress.ip_network(text)),
    x509.DirectoryName,
)
Names = Sequence[x509.GeneralName]


def confined(
    permitted: Names = (), excluded: Names = (), signer: Signer | None = None, *, soft: bool = False
) -> Signer:
    constraints = x509.NameConstraints(list(permitted) or None, list(excluded) or None)
    return authority("confined", signer or root(), extensions=(*CA_EXTENSIONS, (constraints, not soft)))


def check(signer: Signer, *names: x509.GeneralName) -> Peer:
    leaf = Leaf(signer=signer, names=[spiffe(), *names]).pem()
    return profile(SetClock(), signer).check(leaf, pem(signer.certificate))


def is_permitted(signer: Signer, *names: x509.GeneralName) -> bool:
    try:
        check(signer, *names)
    except IdentityError as error:
        if not error.detail.startswith("rule 15"):
            raise
        return False
    return True


class TestMust1Everywhere:
    def test_a_root_is_bound_too(self) -> None:
        constraints = x509.NameConstraints([URI("abroad.example")], None)
        bound = authority("bound root", extensions=(*CA_EXTENSIONS, (constraints, True)))
        checked = profile(SetClock(), bound, roots=TrustRoots.from_pem(pem(bound.certificate)))
        assert checked.check(Leaf(signer=bound, names=[spiffe(trust_domain="abroad.example")]).pem())
        with pytest.raises(IdentityError) as caught:
            checked.check(Leaf(signer=bound).pem())
        assert caught.value.detail.startswith("rule 15")

    def test_what_is_above_the_last_authority_binds_as_well(self) -> None:
        upper = confined([URI("abroad.example")])
        lower = authority("lower", upper)
        chain = pem(lower.certificate, upper.certificate)
        with pytest.raises(IdentityError) as caught:
            profile(SetClock(), upper, lower).check(Leaf(signer=lower).pem(), chain)
        assert "confined" in caught.value.detail

    def test_a_lower_authority_only_narrows(self) -> None:
        upper = confined([URI("police.example")])
        lower = authority(
            "wider",
            upper,
            extensions=(*CA_EXTENSIONS, (x509.NameConstraints([URI("abroad.example")], None), True)),
        )
        for domain in ("police.example", "abroad.example"):
            leaf = Leaf(signer=lower, names=[spiffe(trust_domain=domain)]).pem()
            with pytest.raises(IdentityError):
                profile(SetClock(), upper, lower).check(leaf, pem(lower.certificate, upper.certificate))

    def test_an_intermediates_own_name_is_bound(self) -> None:
        organisation = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Elsewhere")])
        upper = confined([DIRECTORY(organisation)])
        lower = authority("lower", upper)
        with pytest.raises(IdentityError):
            profile(SetClock(), upper, lower).check(Leaf(signer=lower).pem(), pem(lower.certificate, upper.certificate))

    def test_soft_constraints_bind_as_well(self) -> None:
        assert not is_permitted(confined([URI("abroad.example")], soft=True))

    def test_another_way_up_is_found(self) -> None:
        bound, free = confined([URI("abroad.example")]), authority("confined", root())
        leaf = Leaf(signer=free).pem()
        assert profile(SetClock(), free).check(leaf, pem(bound.certificate, free.certificate))


class TestMust2Uri:
    @pytest.mark.parametrize(
        ("constraint", "permitted"),
        [
            ("police.example", True),
            ("POLICE.example", True),
            (".example", True),
            (".police.example", False),
            ("example", False),
            ("olice.example", False),
            (".olice.example", False),
            ("x.police.example", False),
            ("police.example.", False),
            ("*.example", False),
            ("", False),
            (".", False),
            ("spiffe://police.example", False),
            ("police.example/agency/alfa", False),
        ],
    )
    def test_permitted(self, constraint: str, permitted: bool) -> None:
        assert is_permitted(confined([URI(constraint)])) is permitted

    @pytest.mark.parametrize(
        ("constraint", "permitted"),
        [
            ("police.example", False),
            (".example", False),
            (".police.example", True),
            ("abroad.example", True),
            ("*.example", False),
            ("", False),
        ],
    )
    def test_excluded(self, constraint: str, permitted: bool) -> None:
        assert is_permitted(confined([], [URI(constraint)])) is permitted

    def test_excluded_wins_over_permitted(self) -> None:
        assert not is_permitted(confined([URI(".example")], [URI("police.example")]))

    @pytest.mark.parametrize("uri", ["urn:example:a", "https://192.0.2.1/", "https://[::1]/", "https://u@a.example/"])
    def test_an_authority_with_a_uri_that_has_no_host_is_refused(self, uri: str) -> None:
        upper = confined([URI(".example")])
        lower = authority("lower", upper, extensions=(*CA_EXTENSIONS, (x509.SubjectAlternativeName([URI(uri)]), False)))
        with pytest.raises(IdentityError):
            profile(SetClock(), upper, lower).check(Leaf(signer=lower).pem(), pem(lower.certificate, upper.certificate))


def person(*pairs: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in pairs])


# What the library's own constructor would refuse to make, though others make it.
TWO_AT_SIGNS = MAIL._init_without_validation("a@c.example@b.example")

# (permitted, excluded, name beside the SPIFFE id, whether it may stand)
CASES: dict[str, tuple[Names, Names, x509.GeneralName, bool]] = {
    "dns: itself": ([DNS("a.example")], [], DNS("a.example"), True),
    "dns: below": ([DNS("a.example")], [], DNS("x.y.A.example"), True),
    "dns: suffix of a label": ([DNS("a.example")], [], DNS("xa.example"), False),
    "dns: elsewhere": ([DNS("a.example")], [], DNS("b.example"), False),
    "dns: excluded below": ([], [DNS("a.example")], DNS("x.a.example"), False),
    "dns: excluded elsewhere": ([], [DNS("a.example")], DNS("b.example"), True),
    "dns: everything excluded": ([], [DNS("")], DNS("b.example"), False),
    "dns: wildcard inside": ([DNS("a.example")], [], DNS("*.a.example"), True),
    "dns: wildcard above": ([DNS("x.a.example")], [], DNS("*.a.example"), False),
    "dns: wildcard over what is excluded": ([], [DNS("x.a.example")], DNS("*.a.example"), False),
    "dns: malformed constraint": ([DNS("a..example")], [], DNS("a.example"), False),
    "dns: constraint with a leading dot": ([DNS(".example")], [], DNS("a.example"), False),
    "dns: name with a star inside": ([DNS("example")], [], DNS("a*.example"), False),
    "ip: inside": ([IP("192.0.2.0/24")], [], x509.IPAddress(ipaddress.ip_address("192.0.2.9")), True),
    "ip: outside": ([IP("192.0.2.0/24")], [], x509.IPAddress(ipaddress.ip_address("192.0.3.9")), False),
    "ip: other family": ([IP("192.0.2.0/24")], [], x509.IPAddress(ipaddress.ip_address("2001:db8::1")), False),
    "ip: excluded": ([], [IP("2001:db8::/32")], x509.IPAddress(ipaddress.ip_address("2001:db8::1")), False),
    "mail: the box": ([MAIL("a@b.example")], [], MAIL("a@B.example"), True),
    "mail: another box": ([MAIL("a@b.example")], [], MAIL("A@b.example"), False),
    "mail: the host": ([MAIL("b.example")], [], MAIL("any@b.example"), True),
    "mail: below the host": ([MAIL("b.example")], [], MAIL("any@x.b.example"), False),
    "mail: below the domain": ([MAIL(".b.example")], [], MAIL("any@x.b.example"), True),
    "mail: the domain itself": ([MAIL(".b.example")], [], MAIL("any@b.example"), False),
    "mail: none": ([MAIL("b.example")], [], MAIL("b.example"), False),
    "mail: two at signs": ([MAIL("b.example")], [], TWO_AT_SIGNS, False),
    "directory: elsewhere": (
        [DIRECTORY(person((NameOID.COMMON_NAME, "leaf")))],
        [],
        DIRECTORY(person((NameOID.COMMON_NAME, "other"))),
        False,
    ),
    "directory: in another case": (
        [DIRECTORY(person((NameOID.COMMON_NAME, " LEAF ")))],
        [],
        DIRECTORY(person((NameOID.COMMON_NAME, "Leaf"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "desk"))),
        True,
    ),
    "directory: excluded": (
        [],
        [DIRECTORY(person((NameOID.ORGANIZATION_NAME, "a  b")))],
        DIRECTORY(person((NameOID.ORGANIZATION_NAME, "A B"), (NameOID.COMMON_NAME, "x"))),
        False,
    ),
    "registered id": ([x509.RegisteredID(x509.ObjectIdentifier("1.2"))], [], DNS("a.example"), True),
    "registered id, held": (
        [x509.RegisteredID(x509.ObjectIdentifier("1.2"))],
        [],
        x509.RegisteredID(x509.ObjectIdentifier("1.2")),
        False,
    ),
    "other name, held": (
        [],
        [x509.OtherName(x509.ObjectIdentifier("1.2"), b"\x05\x00")],
        x509.OtherName(x509.ObjectIdentifier("1.3"), b"\x05\x00"),
        False,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_must_3_4_and_5_the_kinds_of_names(case: str) -> None:
    permitted, excluded, name, stands = CASES[case]
    assert is_permitted(confined(permitted, excluded), name) is stands


def test_must_3_the_subject_is_a_directory_name() -> None:
    assert is_permitted(confined([DIRECTORY(person((NameOID.COMMON_NAME, "leaf")))]))
    assert not is_permitted(confined([DIRECTORY(person((NameOID.COMMON_NAME, "leaves")))]))
    assert not is_permitted(confined([], [DIRECTORY(person((NameOID.COMMON_NAME, "LEAF")))]))


def test_must_3_the_subjects_mail_address_is_one() -> None:
    upper = confined([MAIL("b.example")])
    for host, stands in (("b.example", True), ("c.example", False)):
        subject = person((NameOID.EMAIL_ADDRESS, f"a@{host}"))
        lower = Signer(
            subject, p256("lower"), sign(subject, p256("lower"), upper, CA_EXTENSIONS, -9, 99999, hashes.SHA256())
        )
        leaf = Leaf(signer=lower).pem()
        checked = profile(SetClock(), upper, lower)
        chain = pem(lower.certificate, upper.certificate)
        if stands:
            assert checked.check(leaf, chain)
        else:
            with pytest.raises(IdentityError):
                checked.check(leaf, chain)


def test_must_5_a_minimum_is_not_overlooked() -> None:
    # permittedSubtrees of one subtree: URI "police.example", minimum 1. The parser would drop the minimum.
    base = b"\x86\x0epolice.example"
    subtree = bytes([0x30, len(base) + 3]) + base + b"\x80\x01\x01"
    permitted = bytes([0xA0, len(subtree)]) + subtree
    raw = bytes([0x30, len(permitted)]) + permitted
    unknown = x509.UnrecognizedExtension(x509.NameConstraints.oid, raw)
    assert not is_permitted(authority("confined", root(), extensions=(*CA_EXTENSIONS, (unknown, True))))
    same = raw.replace(subtree, bytes([0x30, len(base)]) + base)
    lengths = bytes([0x30, len(base) + 4, 0xA0, len(base) + 2]) + same[4:]
    fine = x509.UnrecognizedExtension(x509.NameConstraints.oid, lengths)
    assert is_permitted(authority("confined", root(), extensions=(*CA_EXTENSIONS, (fine, True))))


def test_must_6_names_are_bounded() -> None:
    """32 beside the subject are what a caller may have; an authority between may have no more than 64 in all."""
    upper = confined([DNS("example")])
    assert is_permitted(upper, *(DNS(f"{n}.example") for n in range(31)))
    many = x509.SubjectAlternativeName([DNS(f"{n}.example") for n in range(64)])
    lower = authority("lower", upper, extensions=(*CA_EXTENSIONS, (many, False)))
    with pytest.raises(IdentityError) as caught:
        profile(SetClock(), upper, lower).check(Leaf(signer=lower).pem(), pem(lower.certificate, upper.certificate))
    assert "too many" in caught.value.detail


def test_must_6_subtrees_are_bounded() -> None:
    assert is_permitted(confined([URI(f"n{n}.example") for n in range(MOST_SUBTREES - 1)] + [URI("police.example")]))
    assert not is_permitted(confined([URI(f"n{n}.example") for n in range(MOST_SUBTREES)] + [URI("police.example")]))
