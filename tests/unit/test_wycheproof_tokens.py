"""Wycheproof's JSON Web Signatures and Keys: no invalid one is accepted; each valid one that is refused has its reason.

The list of reasons is exact: a vector that is accepted although listed fails the test as well.
"""

from __future__ import annotations

from collections import Counter

from tests.support.wycheproof import refused_at, vectors

SYMMETRIC = "whoever can check an HMAC can make one: an issuer publishes public keys alone"
NO_CLAIMS = "an empty payload holds no claims"
LONGER_HASH = "a key has one algorithm of ES256, EdDSA, RS256 and PS256; SHA-384 and SHA-512 are not among them"
OTHER_LABEL = "the key's own `alg` is another one than the token's header names"
OTHER_CURVE = "P-521 is not among the curves"

REFUSED_THOUGH_VALID: dict[str, dict[int, str]] = {
    "json_web_signature_test": {
        **dict.fromkeys((1, 348, 352, 357, 358, 359, 372, 373, 376, 377), SYMMETRIC),
        **dict.fromkeys((259, 272), NO_CLAIMS),
        **dict.fromkeys((*range(264, 272), *range(320, 324), *range(325, 329)), LONGER_HASH),
        **dict.fromkeys((346, 350), OTHER_LABEL),
        **dict.fromkeys((347, 351), OTHER_CURVE),
    },
    "json_web_key_test": dict.fromkeys((2, 13, 14, 15), SYMMETRIC),
}


def test_no_invalid_signature_is_accepted_and_each_valid_one_refused_is_listed() -> None:
    refused = check("json_web_signature_test")
    # By the signature itself, which nothing else could have found.
    assert refused["signature"] > 250


def test_no_invalid_key_is_accepted_and_each_valid_one_refused_is_listed() -> None:
    check("json_web_key_test")


def check(name: str) -> Counter[str]:
    found = [(vector, refused_at(vector)) for vector in vectors(name)]
    assert [vector.number for vector, where in found if not vector.valid and not where] == []
    assert {vector.number for vector, where in found if vector.valid and where} == set(REFUSED_THOUGH_VALID[name])
    # Refusing everything would pass the first of these.
    accepted = sum(vector.valid and not where for vector, where in found)
    assert accepted == sum(vector.valid for vector, _ in found) - len(REFUSED_THOUGH_VALID[name]) > 0
    print(name, dict(Counter((vector.valid, where or "accepted") for vector, where in found)))
    return Counter(where for vector, where in found if not vector.valid)
