"""Chains below the second root, which may sign intermediates: depth, path length, constraints, what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.attacks.suite.case import ACCEPTED, HANDSHAKE, Case, Expected, refused
from tests.attacks.suite.listed import (
    DELTA,
    FORGED,
    FORMER,
    FUTURE,
    MISNAMED,
    OLD,
    REVOKED_LEAF,
    REVOKED_STEP,
    STALE,
    TWO,
    UNLISTED,
    UNSIGNED,
    curve_key,
)
from tests.attacks.suite.presented import Make, Presented, certificate_case
from tests.attacks.suite.target import Target
from tests.support import forged
from tests.support.forged import CA, CA_USAGE, DAY, Extension, Forged, Issuer, extension, moment, spiffe_id
from tests.support.identities import ed25519_key, key_usage, rsa_key

INVALID = refused("CERTIFICATE_INVALID")
REVOKED = refused("CERTIFICATE_REVOKED")
NOBODY_KNOWS = refused("REVOCATIONS_UNAVAILABLE", status="UNAVAILABLE")

Table = dict[str, tuple[Make, Expected]]


def cases() -> list[Case]:
    """All of this file."""
    tables = (_depths(), _paths(), _intermediates(), _name_constraints(), _revocation_lists())
    return [certificate_case(name, make, end) for table in tables for name, (make, end) in table.items()]


def below(*issuers: Issuer, send: Sequence[Issuer] | None = None, **changes: Any) -> Presented:
    """A leaf of the last issuer, sent with all of them (nearest first), or with `send`."""
    made = Forged(issuers[-1], **changes)
    sent = reversed(issuers) if send is None else send
    return Presented(made.der(), forged.key_pem(made.key), tuple(issuer.der for issuer in sent))


def ladder(root: Issuer, count: int) -> list[Issuer]:
    """So many intermediates below a root."""
    made: list[Issuer] = []
    for number in range(count):
        made.append(forged.authority(f"step {number}", made[-1] if made else root))
    return made


def _depths() -> Table:
    def deep(count: int) -> Make:
        return lambda target: below(*ladder(target.root_authority, count))

    # The profile takes three certificates; the TLS library itself has a limit of its own far above.
    found: Table = {f"depth: {n} intermediates": (deep(n), ACCEPTED if n < 3 else INVALID) for n in (1, 2, 3, 4, 6)}
    found |= {f"depth: {n} intermediates": (deep(n), INVALID) for n in (8, 10, 11)}
    found["depth: 30 intermediates"] = (deep(30), HANDSHAKE)
    found["depth: 100 intermediates"] = (deep(100), HANDSHAKE)
    return found


def _paths() -> Table:
    def two(send: Callable[[list[Issuer], Target], Sequence[Issuer]]) -> Make:
        def make(target: Target) -> Presented:
            steps = ladder(target.root_authority, 2)
            return below(*steps, send=send(steps, target))

        return make

    return {
        "path: in the wrong order": (two(lambda steps, _: steps), ACCEPTED),
        "path: the lower intermediate missing": (two(lambda steps, _: steps[:1]), HANDSHAKE),
        "path: the upper intermediate missing": (two(lambda steps, _: steps[1:]), HANDSHAKE),
        "path: both missing": (two(lambda *_: ()), HANDSHAKE),
        "path: an intermediate twice": (two(lambda steps, _: [steps[1], steps[1]]), HANDSHAKE),
        "path: with the root": (lambda target: below(target.root_authority), ACCEPTED),
        "path: two intermediates and the root": (
            two(lambda steps, target: [steps[1], steps[0], target.root_authority]),
            INVALID,
        ),
        "path: an unrelated certificate along": (
            lambda target: below(
                *(steps := ladder(target.root_authority, 1)), send=[*steps, forged.authority("unrelated")]
            ),
            ACCEPTED,
        ),
        "path: below the root that signs leaves only": (
            lambda target: below(forged.authority("too low", target.leaf_authority)),
            INVALID,
        ),
        "path: path length 0 with one below": (lambda target: below(*_limited(target, 0, 1)), HANDSHAKE),
        "path: path length 0 with none below": (lambda target: below(*_limited(target, 0, 0)), ACCEPTED),
        "path: path length 1 with one below": (lambda target: below(*_limited(target, 1, 1)), ACCEPTED),
        "path: a loop of two": (_loop, HANDSHAKE),
        "path: a stranger's intermediate of the same name": (_impostor, HANDSHAKE),
        "path: a cross-signed stranger, sent first": (_cross_signed, HANDSHAKE),
        "path: issued by itself with another key": (
            lambda target: Forged(target.root_authority, subject=target.root_authority.name),
            ACCEPTED,
        ),
    }


def _limited(target: Target, path_length: int, steps_below: int) -> list[Issuer]:
    constraints = extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    upper = forged.authority("limited", target.root_authority, constraints=constraints)
    return [upper, *ladder(upper, steps_below)]


def _loop(_: Target) -> Presented:
    one, two = (Issuer(forged.common_name(name), forged.p256(name), b"") for name in ("loop one", "loop two"))
    first = forged.authority("loop one", two, key=one.key)
    second = forged.authority("loop two", one, key=two.key)
    return below(first, send=[first, second])


def _impostor(target: Target) -> Presented:
    real = forged.authority("step 0", target.root_authority)
    fake = Issuer(real.name, forged.p256("impostor step"), real.der)
    return below(fake)


def _cross_signed(target: Target) -> Presented:
    """One key and name, certified by a stranger and by the root: TLS takes the first and looks no further."""
    key = forged.p256("cross")
    bad = forged.authority("cross", forged.authority("stranger"), key=key)
    good = forged.authority("cross", target.root_authority, key=key)
    return below(good, send=[bad, good])


def _intermediates() -> Table:
    def step(**changes: Any) -> Make:
        return lambda target: below(forged.authority("odd step", target.root_authority, **changes))

    no_ca = extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    server = extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))
    client = extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))
    unknown = ("1.3.6.1.4.1.57264.99.3", True, b"\x05\x00")
    policy = extension(x509.PolicyConstraints(0, None), critical=True)
    return {
        "intermediate: expired": (step(begins=moment(-2 * DAY), ends=moment(-DAY)), HANDSHAKE),
        "intermediate: not valid yet": (step(begins=moment(DAY), ends=moment(2 * DAY)), HANDSHAKE),
        "intermediate: ends before its leaf": (step(ends=moment(DAY)), ACCEPTED),
        "intermediate: not a CA": (step(constraints=no_ca), HANDSHAKE),
        "intermediate: no basic constraints": (step(constraints=None), HANDSHAKE),
        "intermediate: a CA, not critical": (step(constraints=(CA[0], False, CA[2])), ACCEPTED),
        "intermediate: no key usage": (step(usage=None), INVALID),
        "intermediate: may not sign certificates": (
            step(usage=extension(key_usage(digital_signature=True, crl_sign=True), critical=True)),
            HANDSHAKE,
        ),
        "intermediate: may not sign lists": (
            step(usage=extension(key_usage(key_cert_sign=True), critical=True)),
            NOBODY_KNOWS,
        ),
        "intermediate: version 1": (step(version=None, extension_field=b""), HANDSHAKE),
        "intermediate: unknown critical extension": (step(more=[unknown]), HANDSHAKE),
        "intermediate: critical policy constraints": (step(more=[policy]), HANDSHAKE),
        "intermediate: basic constraints twice": (step(more=[CA]), HANDSHAKE),
        "intermediate: key usage twice": (step(more=[CA_USAGE]), HANDSHAKE),
        "intermediate: for servers only": (step(purposes=server), HANDSHAKE),
        "intermediate: for clients only": (step(purposes=client), ACCEPTED),
        "intermediate: signed with SHA-1": (step(digest="sha1"), INVALID),
        "intermediate: signed with SHA-224": (step(digest="sha224"), INVALID),
        "intermediate: wrong signature": (step(sign=lambda _: b"x"), HANDSHAKE),
        "intermediate: RSA-1024": (step(key=rsa_key(1024)), INVALID),
        "intermediate: RSA-2048": (step(key=rsa_key(2048)), ACCEPTED),
        "intermediate: RSA-2048 with e = 3": (step(key=rsa_key(2048, 3)), INVALID),
        "intermediate: P-384": (step(key=curve_key(ec.SECP384R1)), ACCEPTED),
        "intermediate: P-521": (step(key=curve_key(ec.SECP521R1)), INVALID),
        "intermediate: P-224": (step(key=curve_key(ec.SECP224R1)), INVALID),
        "intermediate: secp256k1": (step(key=curve_key(ec.SECP256K1)), HANDSHAKE),
        "intermediate: Ed25519": (step(key=ed25519_key("step")), ACCEPTED),
        "intermediate: another agency's leaf": (
            step(
                constraints=no_ca,
                usage=forged.LEAF_USAGE,
                purposes=forged.CLIENT_AUTH,
                names=forged.san(spiffe_id(agency="north-region")),
            ),
            HANDSHAKE,
        ),
        "intermediate: lives ten years": (step(ends=moment(3650 * DAY)), ACCEPTED),
    }


def _name_constraints() -> Table:
    """The leaf is of police.example/northshire; a constraint may only ever narrow."""

    def constrained(
        permitted: Sequence[x509.GeneralName] | None,
        excluded: Sequence[x509.GeneralName] | None,
        *,
        critical: bool = True,
    ) -> Make:
        constraint: Extension = extension(x509.NameConstraints(permitted, excluded), critical=critical)
        return lambda target: below(forged.authority("constrained", target.root_authority, more=[constraint]))

    uri, dns = x509.UniformResourceIdentifier, x509.DNSName
    directory = x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "elsewhere")]))
    return {
        "constraints: permits a foreign domain": (constrained([uri("elsewhere.example")], None), HANDSHAKE),
        "constraints: permits a foreign domain, not critical": (
            constrained([uri("elsewhere.example")], None, critical=False),
            HANDSHAKE,
        ),
        "constraints: excludes this domain": (constrained(None, [uri("police.example")]), HANDSHAKE),
        "constraints: excludes this domain, not critical": (
            constrained(None, [uri("police.example")], critical=False),
            HANDSHAKE,
        ),
        "constraints: permits this domain, excludes it too": (
            constrained([uri("police.example")], [uri("police.example")]),
            HANDSHAKE,
        ),
        "constraints: permits domains below only": (constrained([uri(".police.example")], None), HANDSHAKE),
        "constraints: permits another directory name": (constrained([directory], None), HANDSHAKE),
        "constraints: an empty sequence": (
            lambda target: below(
                forged.authority("constrained", target.root_authority, more=[("2.5.29.30", True, b"\x30\x00")])
            ),
            INVALID,
        ),
        "constraints: no DER": (
            lambda target: below(
                forged.authority("constrained", target.root_authority, more=[("2.5.29.30", True, b"hello")])
            ),
            HANDSHAKE,
        ),
        "constraints: permits this domain": (constrained([uri("police.example")], None), ACCEPTED),
        "constraints: permits DNS names only": (constrained([dns("police.example")], None), ACCEPTED),
        "constraints: excludes DNS names": (constrained(None, [dns("elsewhere.example")]), ACCEPTED),
    }


def _revocation_lists() -> Table:
    """What the second root's list names, and authorities whose own list is missing, too old or no list of theirs."""

    def under(name: str, **changes: Any) -> Make:
        return lambda target: below(forged.authority(name, target.root_authority), **changes)

    listed = forged.integer(REVOKED_LEAF)

    def revoked_step(target: Target) -> Presented:
        return below(forged.authority("step 0", target.root_authority, serial=forged.integer(REVOKED_STEP)))

    return {
        "list: a leaf that is on it": (
            lambda target: Forged(target.root_authority, serial=forged.integer(REVOKED_LEAF)),
            REVOKED,
        ),
        "list: a leaf beside it": (
            lambda target: Forged(target.root_authority, serial=forged.integer(REVOKED_LEAF + 1)),
            ACCEPTED,
        ),
        "list: the same serial of another authority": (
            lambda target: Forged(target.leaf_authority, serial=forged.integer(REVOKED_LEAF)),
            ACCEPTED,
        ),
        "list: an intermediate that is on it": (revoked_step, REVOKED),
        "list: missing": (under(UNLISTED), NOBODY_KNOWS),
        "list: past its next update": (under(STALE), NOBODY_KNOWS),
        "list: of tomorrow": (under(FUTURE), NOBODY_KNOWS),
        "list: older than the broker's own limit": (under(OLD), NOBODY_KNOWS),
        "list: signed by another key": (under(FORGED), NOBODY_KNOWS),
        "list: not signed": (under(UNSIGNED), NOBODY_KNOWS),
        "list: in another authority's name": (under(MISNAMED), NOBODY_KNOWS),
        "list: a delta list, put in place while the broker serves": (under(DELTA), NOBODY_KNOWS),
        "list: on it, and not on a former one beside it": (under(TWO, serial=listed), REVOKED),
        "list: not on it, beside a former one": (under(TWO), ACCEPTED),
        "list: on it, and a former one is put in its place": (under(FORMER, serial=listed), REVOKED),
    }
