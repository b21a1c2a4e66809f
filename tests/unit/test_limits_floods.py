"""Floods of refusals on the ledger: audit invariant 2."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from broker.audit.entry import Node
from broker.audit.floods import METHODS_PER_SECOND, Floods
from broker.audit.log import Ledger
from broker.audit.scribe import Scribe
from broker.audit.seal import SealKeys
from broker.domain.caller import AgencyId, Peer
from broker.domain.errors import UnavailableError
from tests.support.exchanges import ShiftedClock
from tests.support.house import until
from tests.support.ledgers import open_ledger

pytestmark = pytest.mark.asyncio

NOISY, OTHER = (Peer(AgencyId("police.example", name), "api", b"n" * 32, "1", 0) for name in ("noisy", "other"))


class Place:
    """Floods over a small ledger, and a clock that the test moves."""

    def __init__(self, directory: Path) -> None:
        # Begins with a second of its own.
        self.clock = ShiftedClock()
        self.clock.ahead_s = 1 - self.clock.monotonic_us() % 1_000_000 / 1e6
        self.ledger: Ledger = open_ledger(directory / "ledger")
        self.scribe = Scribe(self.ledger, SealKeys.open(directory / "keys"), Node("test", "0" * 16), self.clock)
        self.floods = Floods(self.scribe)

    def refuse(self, peer: Peer = NOISY, method: str = "/a.B/C") -> str | None:
        return self.floods.counted(peer, method, "RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")

    async def written(self, count: int) -> list[dict[str, Any]]:
        await until(lambda: len(self.ledger) >= count)
        return [json.loads(leaf) for leaf in self.ledger.entries(0, len(self.ledger))]


@pytest_asyncio.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    await made.ledger.aclose()


async def test_the_first_of_a_second_has_its_own_entry_and_the_rest_one(place: Place) -> None:
    assert place.refuse() is None
    ids = {place.refuse() for _ in range(5)}
    assert len(ids) == 1
    assert place.refuse(OTHER) is None
    place.floods.flush()
    assert len(place.ledger) == 0, "the second is not over"
    place.clock.ahead_s += 1
    assert place.refuse() is None
    place.floods.flush()
    (leaf,) = await place.written(1)
    assert ids == {leaf["exchange_id"]}
    assert (leaf["type"], leaf["outcome"], leaf["status"]) == ("denial", "denied", "RESOURCE_EXHAUSTED")
    assert (leaf["count"], leaf["method"], leaf["reason"]) == (5, "/a.B/C", "LIMIT_EXCEEDED")
    assert leaf["actor"]["agency"] == str(NOISY.agency)
    assert "user" not in leaf["actor"]


async def test_a_callers_own_paths_do_not_buy_entries(place: Place) -> None:
    """The path is the caller's: an entry for each would be a flood of the ledger."""
    own = [place.refuse(method=f"/a.B/C{number}") for number in range(1000)]
    assert own.count(None) == METHODS_PER_SECOND
    assert place.refuse(OTHER) is None
    place.floods.flush(all_=True)
    (leaf,) = await place.written(1)
    assert (leaf["count"], leaf["method"]) == (1000 - METHODS_PER_SECOND, "unknown")


async def test_counts_outlast_a_ledger_that_is_down(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost, and no more is kept than one count for each agency and method."""

    def down(*_: object) -> None:
        raise UnavailableError("LEDGER_UNAVAILABLE", "down")

    with monkeypatch.context() as broken:
        broken.setattr(place.scribe, "leave", down)
        for _ in range(3):
            for _ in range(4):
                place.refuse()
            place.clock.ahead_s += 1
            with pytest.raises(UnavailableError):
                place.floods.flush()
    place.floods.flush()
    (leaf,) = await place.written(1)
    assert leaf["count"] == 9
