"""Who signed an agreement: each rule of `broker.identify.agreement_signatures` and of `entente_agreement.jws`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from broker.agreements import RECORD_TYPES
from broker.decide.agreement_words import agreement_words
from broker.decide.bundle import PolicyBundle, policy_folder
from broker.domain.errors import UnavailableError
from broker.identify.agreement_signatures import AgreementExaminer
from broker.identify.revocation_list import RevocationLists
from broker.identify.roots import TrustRoots
from certs.issuer import encode_segment
from entente_agreement import AgreementError, Document, SignedDocument
from entente_agreement.jws import TYPE, protected_header
from entente_agreement.signing import Signer, verified_by
from tests.support.agreements import sample
from tests.support.identities import (
    NOW,
    Leaf,
    SetClock,
    authority,
    ed25519_key,
    list_der,
    lists,
    p256,
    pem,
    read_list,
    root,
    rsa_key,
    spiffe,
)

WORDS = agreement_words(PolicyBundle.load(policy_folder()), RECORD_TYPES)
ONE, OTHER = "police.example/alfa", "abroad.example/bravo"
DOCUMENT = sample("trial", parties=(OTHER, ONE))


def examiner(revocation_lists: RevocationLists | None = None, clock: SetClock | None = None) -> AgreementExaminer:
    roots = TrustRoots.from_pem(pem(root().certificate))
    return AgreementExaminer(
        roots, ["police.example", "abroad.example"], lambda: WORDS, clock or SetClock(), revocation_lists
    )


def leaf(party: str, **changes: Any) -> Leaf:
    domain, agency = party.split("/")
    return Leaf(names=[spiffe(agency, trust_domain=domain)], **{"key": p256(party), **changes})


def signer(party: str, certificate: x509.Certificate | None = None, key: Any = None, **changes: Any) -> Signer:
    made = leaf(party, **({"key": key} if key else {}), **changes)
    der = (certificate or made.certificate()).public_bytes(serialization.Encoding.DER)
    return Signer((der,), made.key, party)


def signed(*signers: Signer, document: Document = DOCUMENT, now: int = NOW) -> SignedDocument:
    made = SignedDocument.unsigned(document)
    for one in signers or (signer(ONE), signer(OTHER)):
        made = one.sign(made, now)
    return made


def refused(text: str | SignedDocument, **settings: Any) -> str:
    with pytest.raises(AgreementError) as caught:
        examiner(**settings).examine(text if isinstance(text, str) else text.text())
    return str(caught.value)


def test_what_all_parties_have_signed_is_read() -> None:
    found = examiner(lists()).examine(signed().text())
    assert found.signed.agreement.agreement_id == "trial"
    assert found.signed.agreement.parties == {ONE, OTHER}
    assert found.signed.agreement.valid_until_us == DOCUMENT.valid_until * 1_000_000
    assert sorted(str(one.agency) for one in found.signers) == sorted((ONE, OTHER))


@pytest.mark.parametrize("key", [p256("es"), ed25519_key("ed"), rsa_key(2048)], ids=["ES256", "EdDSA", "PS256"])
def test_each_key_of_the_profile_signs(key: Any) -> None:
    """rule 4, and the two verifiers agree: the broker's (PyJWT) and the one for whoever holds the file."""
    made = signed(signer(ONE, key=key), signer(OTHER))
    examiner().examine(made.text())
    assert verified_by(made, pem(root().certificate)) == [ONE, OTHER]


def test_one_signature_of_each_party() -> None:
    """rule 1."""
    assert "nobody has signed" in refused(SignedDocument.unsigned(DOCUMENT))
    assert f"{OTHER} has not signed" in refused(signed(signer(ONE)))
    both = signed()
    twice = replace(both, signatures=(*both.signatures, both.signatures[0]))
    assert "signed already" in refused(twice)
    stranger = signed(
        signer(ONE),
        signer("police.example/charlie"),
        document=sample("trial", parties=("police.example/alfa", "police.example/charlie")),
    )
    mixed = replace(both, signatures=(*both.signatures, *stranger.signatures[1:]))
    assert "does not hold" in refused(mixed)
    # A stranger who signs these very words.
    chain, key = signer("police.example/charlie").chain, p256("police.example/charlie")
    over = replace(signer(ONE), chain=chain, key=key)
    third = replace(both, signatures=(*both.signatures, *over.sign(SignedDocument.unsigned(DOCUMENT), NOW).signatures))
    assert "is no party" in refused(third)


def test_no_key_verifies_anything_before_its_certificate_counts() -> None:
    """rules 2 and 4: what a stranger's key costs to use (a modulus of 190,000 bits fits a header) is not found out."""
    both = signed()
    stranger = replace(signed(signer(ONE, signer=authority("stranger"))).signatures[0], value=both.signatures[1].value)
    assert "root" in refused(replace(both, signatures=(stranger, both.signatures[1])))


def test_a_certificate_of_another_agency_signs_for_nobody_else() -> None:
    """rule 2: what the certificate names counts, not who says that it signs."""
    posing = replace(signer(OTHER), chain=signer(ONE).chain, key=p256(ONE))
    assert f"{ONE} has signed already" in refused(
        SignedDocument(DOCUMENT, signed().payload, (*signed(signer(ONE)).signatures, *signed(posing).signatures))
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"usages": ()}, "profile"),
        ({"ends": 100 * 86400}, "rule 8"),
        ({"key_usage": None}, "profile"),
        ({"names": [spiffe("bravo", trust_domain="elsewhere.example")]}, "no party|profile"),
        ({"names": [spiffe("bravo", trust_domain="abroad.example"), spiffe("bravo")]}, "profile"),
        ({"constraints": x509.BasicConstraints(True, None)}, "rule 7"),
        ({"signer": authority("stranger")}, "root"),
        ({"begins": 60}, "did not count"),
        ({"begins": -3600, "ends": -60}, "did not count"),
    ],
    ids=["usage", "life", "key usage", "domain", "two names", "authority", "root", "not yet", "over"],
)
def test_the_signing_certificate_fits_the_profile(changes: dict[str, Any], says: str) -> None:
    """rules 2 and 3."""
    made = Leaf(**{"names": [spiffe("bravo", trust_domain="abroad.example")], "key": p256(OTHER), **changes})
    der = made.certificate().public_bytes(serialization.Encoding.DER)
    told = refused(signed(signer(ONE), Signer((der,), made.key, OTHER)))
    assert any(part in told for part in says.split("|")), told


def test_an_intermediate_travels_along() -> None:
    """rule 2: x5c holds those above the signing certificate."""
    middle = authority("middle", root())
    made = leaf(OTHER, signer=middle)
    chain = tuple(one.public_bytes(serialization.Encoding.DER) for one in (made.certificate(), middle.certificate))
    examiner().examine(signed(signer(ONE), Signer(chain, made.key, OTHER)).text())
    assert "root" in refused(signed(signer(ONE), Signer(chain[:1], made.key, OTHER)))


def test_it_was_signed_within_the_certificates_life_and_may_be_read_long_after() -> None:
    """rule 3."""
    made = signed()
    examiner(clock=SetClock(NOW + 80 * 86400)).examine(made.text())
    assert "future" in refused(signed(now=NOW + 3600))
    assert "did not count" in refused(signed(now=NOW - 3600))


def test_what_an_authority_has_revoked_is_not_concluded() -> None:
    """rule 6: at the conclusion, and not where it came into force before."""
    ours = signer(OTHER)
    certificate = x509.load_der_x509_certificate(ours.chain[0])
    made = signed(signer(ONE), ours)
    revoked = RevocationLists([read_list(list_der(root(), certificate))], oldest_hours=10_000)
    assert "revoked" in refused(made, revocation_lists=revoked)
    examiner().examine(made.text())
    with pytest.raises(UnavailableError, match="REVOCATIONS_UNAVAILABLE"):
        examiner(RevocationLists([], oldest_hours=10_000)).examine(made.text())


def test_what_is_over_is_not_concluded() -> None:
    """rule 7."""
    past = sample("trial", parties=(OTHER, ONE), valid_until=NOW - 1)
    assert "over already" in refused(signed(document=past), revocation_lists=lists())
    examiner().examine(signed(document=past).text())


def test_contradictions_are_refused() -> None:
    """rule 5."""
    court = sample("trial", parties=(OTHER, ONE), purposes=("FRAUD",))
    assert "ends in court" in refused(signed(document=court))
    source = sample("trial", parties=(OTHER, ONE), classes=(("*", "FULL"), ("SOURCE", "FULL")))
    assert "never leaves its originator" in refused(signed(document=source))


Mangle = Callable[[dict[str, Any]], Any]


def parts(made: SignedDocument) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(made.text())
    return found


def reheaded(changes: dict[str, Any], secret: bytes = b"") -> str:
    """The second signature's header changed, and signed again with the party's key, or with a secret."""
    document = parts(signed())
    ours = signer(OTHER)
    header = json.loads(base64.urlsafe_b64decode(protected_header("ES256", NOW, ours.chain) + "=="))
    header = {name: value for name, value in {**header, **changes}.items() if value is not None}
    protected = encode_segment(json.dumps(header).encode())
    content = f"{protected}.{document['payload']}".encode()
    value = hmac.digest(secret, content, hashlib.sha256) if secret else _es256(content)
    document["signatures"][1] = {"protected": protected, "signature": encode_segment(value)}
    return json.dumps(document)


def _es256(content: bytes) -> bytes:
    return jwt.get_algorithm_by_name("ES256").sign(content, p256(OTHER))


def test_the_header_as_it_must_be_is_taken() -> None:
    """So that the next test's refusals come from what it changes."""
    examiner().examine(reheaded({}))


@pytest.mark.parametrize(
    "changes",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": "ES384"},
        {"alg": "EdDSA"},
        {"alg": None},
        {"typ": "JWT"},
        {"typ": "at+jwt"},
        {"typ": None},
        {"iat": str(NOW)},
        {"iat": True},
        {"iat": -1},
        {"iat": 1.5},
        {"iat": None},
        {"x5c": None},
        {"x5c": []},
        {"x5c": ["AAAA"]},
        {"x5c": "AAAA"},
        {"x5c": ["AAAA"] * 4},
        {"jwk": {"kty": "EC"}},
        {"jku": "https://elsewhere.example"},
        {"x5u": "https://elsewhere.example"},
        {"kid": "1"},
        {"crit": ["b64"], "b64": False},
    ],
    ids=str,
)
def test_a_header_that_says_anything_else_is_refused(changes: dict[str, Any]) -> None:
    """jws MUSTs 1 to 4; rule 4."""
    refused(reheaded(changes))


def test_a_public_key_is_no_secret() -> None:
    """rule 4: signed with HMAC under the certificate's public key, as if that were one."""
    public = x509.load_der_x509_certificate(signer(OTHER).chain[0]).public_key()
    secret = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    refused(reheaded({"alg": "HS256"}, secret))
    refused(reheaded({}, secret))


def test_another_payload_has_no_signature() -> None:
    """rule 4: every word is signed."""
    document = parts(signed())
    document["payload"] = encode_segment(replace(DOCUMENT, ceiling="TOP_SECRET").canonical())
    assert "does not hold" in refused(json.dumps(document))
    mine = parts(signed(document=replace(DOCUMENT, title="Another")))
    mine["payload"] = parts(signed())["payload"]
    assert "does not hold" in refused(json.dumps(mine))


@pytest.mark.parametrize(
    "mangle",
    [
        lambda document: {**document, "header": {"alg": "none"}},
        lambda document: {"payload": document["payload"], **document["signatures"][0]},
        lambda document: {**document, "signatures": {}},
        lambda document: {**document, "signatures": [{**one, "header": {}} for one in document["signatures"]]},
        lambda document: {**document, "signatures": document["signatures"] * 20},
        lambda document: {**document, "payload": document["payload"] + "="},
        lambda document: {**document, "payload": ""},
        lambda document: {**document, "payload": 7},
        lambda document: [document],
        lambda document: f"{document['signatures'][0]['protected']}.{document['payload']}.x",
    ],
)
def test_another_serialization_is_refused(mangle: Mangle) -> None:
    """jws: the general JSON serialization, and nothing beside it."""
    refused(json.dumps(mangle(parts(signed()))))


def test_a_member_that_comes_twice_is_refused() -> None:
    text = signed().text().strip()
    refused(text[:-1] + f', "payload": "{signed().payload}"}}')
    assert TYPE in base64.urlsafe_b64decode(signed().signatures[0].protected + "==").decode()


def test_every_changed_bit_of_a_signature_is_refused() -> None:
    """rule 4: the value too; both spellings of one."""
    document = parts(signed())
    good = document["signatures"][0]["signature"]
    for at in range(0, len(good), 7):
        other = "A" if good[at] != "A" else "B"
        document["signatures"][0]["signature"] = good[:at] + other + good[at + 1 :]
        refused(json.dumps(document))
