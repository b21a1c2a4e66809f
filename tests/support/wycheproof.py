"""Project Wycheproof's vectors, and a JWS judged as the broker judges a token, with its own parts and no rule of ours
that would refuse the vector for another reason: `typ` may be absent, and the payload need not be claims."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from broker.domain.errors import IdentityError
from broker.identify.compact import HEADER_MEMBERS, read_object, read_segments
from broker.identify.key_set import read_key_set
from broker.identify.token import verify_signature
from tests.support.shared import shared_data


class Vector(NamedTuple):
    """One test with its group."""

    group: Mapping[str, Any]
    test: Mapping[str, Any]

    @property
    def number(self) -> int:
        return int(self.test["tcId"])

    @property
    def valid(self) -> bool:
        assert self.test["result"] in ("valid", "invalid")
        return bool(self.test["result"] == "valid")


def vectors(name: str) -> Iterator[Vector]:
    """All vectors of a file. Skips where the shared data is absent."""
    content = json.loads((shared_data("wycheproof") / f"{name}.json").read_bytes())
    found = [Vector(group, test) for group in content["testGroups"] for test in group["tests"]]
    assert len(found) == content["numberOfTests"]
    yield from found


def refused_at(vector: Vector) -> str:
    """Where a JWS is refused: `key`, `form` or `signature`; empty when it is accepted."""
    key = vector.group.get("public", vector.group["private"])
    try:
        keys = read_key_set(json.dumps(key if "keys" in key else {"keys": [key]}).encode())
    except ValueError:
        return "key"
    token = vector.test["jws"]
    try:
        header_bytes, payload, _ = read_segments(token)
        header = read_object(header_bytes)
        chosen = keys.get(str(header.get("kid")))
        if not set(header) <= HEADER_MEMBERS or chosen is None or header.get("alg") != chosen.algorithm:
            return "form"
    except ValueError:
        return "form"
    try:
        verify_signature(token, payload, chosen)
    except IdentityError:
        return "signature"
    return ""
