"""The fuzzers' targets on their seeds and on mutations that are the same every time; `make fuzz` goes further."""

from __future__ import annotations

import random
import warnings

import pytest

from tests.fuzz.targets import ALFA, TARGETS, InvariantError, Target
from tests.support.identities import NOW

MUTATIONS = 5000
# What has been found once stays here.
FOUND: dict[str, list[bytes]] = {name: [] for name in TARGETS}


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One to four small changes: a byte, a piece left out, twice, or replaced by something hostile."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        size = chance.randint(1, 8)
        piece = chance.choice([b"", b"\x00", b"\xff", b'"', b"{", b"[", b".", b"=", b"\n", b"\\u0000", b"-1", b"1e9"])
        kind = chance.randrange(3)
        if kind == 0:
            changed[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            changed[at : at + size] = piece
        else:
            changed[at:at] = changed[at : at + size * 8]
    return bytes(changed)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_their_mutations_hold(name: str) -> None:
    target, chance = TARGETS[name], random.Random(7)
    seeds = target.seeds()
    with warnings.catch_warnings():
        # The parser warns of what the profile refuses.
        warnings.simplefilter("ignore")
        for data in (*seeds, *FOUND[name], *(mutated(chance.choice(seeds), chance) for _ in range(MUTATIONS))):
            target.one(data)


def test_the_seeds_hold_something_that_is_accepted() -> None:
    """Otherwise every mutation would be refused at the first step, and nothing would be tried."""
    from tests.fuzz import oracle, targets

    assert targets._tokens().check(ALFA.token(), ALFA.peer).expires_at == NOW + 300
    assert oracle.token_may_pass(ALFA.token(), ALFA)
    assert targets._profile().check(targets.pem(targets._leaf())).agency.agency == "alfa"
    value = TARGETS["certificate"].seeds()[2][1:]
    assert targets._profile().check(targets._signed_with_san(value)).agency.agency == "alfa"


def test_a_target_that_accepts_too_much_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in the code under test must reach the oracle."""
    from tests.fuzz import targets

    monkeypatch.setattr(targets.oracle, "token_may_pass", lambda *_: False)
    with pytest.raises(InvariantError):
        TARGETS["token"].one(TARGETS["token"].seeds()[0])


def test_a_slow_input_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.fuzz import targets

    monkeypatch.setattr(targets, "SLOWEST_SECONDS", 0.0)
    with pytest.raises(InvariantError):
        Target(list, lambda _: None).one(b"")
