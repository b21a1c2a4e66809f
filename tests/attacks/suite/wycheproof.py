"""Wycheproof's JWS and JWK vectors: each judged by the broker's own parts, and sent over the wire as a bearer token.

In process a vector has its own key and is spared the rules that would refuse it for another reason; over the wire
nothing of it is right, and what is tried is that no spelling of a token is taken, crashes or hangs. Which valid vectors
are refused, and why, is written in `tests/unit/test_wycheproof_tokens.py`, whose list is exact.
"""

from __future__ import annotations

from pathlib import Path

from tests.attacks.suite.case import ACCEPTED, Case, End, Need, Observed, refused
from tests.attacks.suite.target import Target, bearer
from tests.support.wycheproof import Vector, refused_at, vectors
from tests.unit.test_wycheproof_tokens import REFUSED_THOUGH_VALID

FAMILY = "tokens"
FOLDER = Path(__file__).resolve().parents[4] / "shared/data/wycheproof"
FILES = ("json_web_signature_test", "json_web_key_test")
REFUSED = refused("TOKEN_INVALID")


def cases() -> list[Case]:
    """All vectors, twice; none where they are not beside this checkout."""
    if not FOLDER.is_dir():
        return []
    found = [(name, vector) for name in FILES for vector in vectors(name)]
    judged = [_judged(name, vector) for name, vector in found]
    return [case for case in judged if case is not None] + [_sent(name, vector) for name, vector in found]


def _judged(name: str, vector: Vector) -> Case | None:
    # A valid one must be accepted, unless its reason stands in the list: then the list's own test says so.
    if vector.valid and vector.number in REFUSED_THOUGH_VALID[name]:
        return None

    async def attempt(_: Target) -> Observed:
        where = refused_at(vector)
        if not where:
            return Observed(End.ACCEPTED, "OK")
        return Observed(End.REFUSED, "UNAUTHENTICATED", "TOKEN_INVALID", text=where)

    end = ACCEPTED if vector.valid else REFUSED
    needs = frozenset({Need.PROCESS, Need.VECTORS})
    return Case(FAMILY, f"wycheproof: {name} {vector.number} (in process)", end, attempt, needs, in_process=True)


def _sent(name: str, vector: Vector) -> Case:
    async def attempt(target: Target) -> Observed:
        return await target.ask(bearer(vector.test["jws"]))

    needs = frozenset({Need.VECTORS})
    return Case(FAMILY, f"wycheproof: {name} {vector.number} (sent)", refused("TOKEN_MALFORMED"), attempt, needs)
