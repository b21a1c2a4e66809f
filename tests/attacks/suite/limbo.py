"""x509-limbo: every vector through the profile under its own root, and over the real handshake where it has its key.

Over the wire its root is a stranger's, so that TLS refuses: what is tried is that no chain hangs or crashes it. In
process the vector has what it wants (its root, its time, its lists), and the profile alone stands in its way; that it
refuses valid ones too is written down, each with its reason, in `tests/unit/test_x509_limbo.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.attacks.suite.case import HANDSHAKE, Case, End, Need, Observed, refused
from tests.attacks.suite.target import Target
from tests.support import limbo

FAMILY = "certificates"
FILE = Path(__file__).resolve().parents[4] / "shared/data/x509-limbo/limbo.part-a.json"
# OpenSSL refuses to load an extension that comes twice.
UNSENDABLE = {"rfc5280::duplicate-extensions"}

Vector = Mapping[str, Any]


def cases() -> list[Case]:
    """All vectors; none where they are not beside this checkout."""
    if not FILE.is_file():
        return []
    vectors = json.loads(FILE.read_text())["testcases"]
    return [_judged(one) for one in limbo.cases()] + [_handshake(one) for one in vectors if sendable(one)]


def _judged(vector: limbo.Case) -> Case:
    async def attempt(_: Target) -> Observed:
        verdict = limbo.by_profile(vector)
        if verdict == limbo.ACCEPTED:
            return Observed(End.ACCEPTED, "OK")
        return Observed(End.REFUSED, "UNAUTHENTICATED", "CERTIFICATE_INVALID", text=f"rule {verdict}")

    # All lack a SPIFFE id, so that all are refused, also those that a web browser may accept.
    end, needs = refused("CERTIFICATE_INVALID"), frozenset({Need.PROCESS, Need.VECTORS})
    return Case(FAMILY, f"limbo: {vector.id} (in process)", end, attempt, needs, in_process=True)


def _handshake(vector: Vector) -> Case:
    async def attempt(target: Target) -> Observed:
        chain = (vector["peer_certificate"] + "".join(vector["untrusted_intermediates"])).encode()
        return await target.present(chain, vector["peer_certificate_key"].encode())

    return Case(FAMILY, f"limbo: {vector['id']} (handshake)", HANDSHAKE, attempt, frozenset({Need.VECTORS}))


def sendable(vector: Vector) -> bool:
    """Whether a client can present it: it has the leaf's key, and this machine's TLS library loads it."""
    return bool(vector["peer_certificate_key"]) and vector["id"] not in UNSENDABLE
