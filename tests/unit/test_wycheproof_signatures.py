"""Wycheproof's raw signatures, with keys as the broker reads them, by the algorithm that the broker calls for each."""

from __future__ import annotations

import json

import pytest

from broker.identify import token
from broker.identify.key_set import read_key_set
from certs.issuer import encode_segment
from tests.support.wycheproof import Vector, vectors


def holds(vector: Vector) -> bool:
    """Whether the signature holds for the key."""
    (key,) = read_key_set(json.dumps({"keys": [{**jwk(vector), "kid": "one"}]}).encode()).values()
    algorithm = token._JWS.get_algorithm_by_name(key.algorithm)
    message, signature = bytes.fromhex(vector.test["msg"]), bytes.fromhex(vector.test["sig"])
    return algorithm.verify(message, key.public_key, signature)


def jwk(vector: Vector) -> dict[str, str]:
    """The group's key; a few groups have it as a point alone."""
    told = vector.group.get("publicKeyJwk")
    if told is not None:
        return dict(told)
    point = bytes.fromhex(vector.group["publicKey"]["uncompressed"])
    assert (point[0], len(point)) == (4, 65)
    return {"kty": "EC", "crv": "P-256", "x": encode_segment(point[1:33]), "y": encode_segment(point[33:])}


@pytest.mark.parametrize(
    ("name", "valid", "invalid"), [("ecdsa_secp256r1_sha256_p1363_test", 173, 89), ("ed25519_test", 88, 63)]
)
def test_valid_signatures_hold_and_invalid_ones_do_not(name: str, valid: int, invalid: int) -> None:
    found = [(vector, holds(vector)) for vector in vectors(name)]
    assert [vector.number for vector, held in found if held is not vector.valid] == []
    assert (sum(held for _, held in found), sum(not held for _, held in found)) == (valid, invalid)
