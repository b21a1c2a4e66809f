"""Proposals and certificates on file: closed once, warned of once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from broker.domain.enrolment import (
    APPROVED,
    DAY_US,
    LAPSED,
    OPEN,
    PROPOSAL_LIFE_US,
    REJECTED,
    CertificateOnFile,
    Person,
    Proposal,
)
from broker.store import certificates, enrolments, registry
from broker.store.store import Store
from tests.support.reports import NORTH, SOUTH, open_store

NOW = 1_000 * DAY_US
FIRST, SECOND = Person(NORTH, "one"), Person(NORTH, "two")


@pytest.fixture
def store(tmp_path: Path):
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


def proposal(number: int, *, agency: str = NORTH, at_us: int = NOW) -> Proposal:
    return Proposal(f"{number:032x}", b"change", agency, "", OPEN, FIRST, at_us)


async def add(store: Store, *made: Proposal) -> None:
    for one in made:
        await store.write(
            lambda tx, one=one: enrolments.add(
                tx.driver, one, registry.add_change(tx.driver, one.proposal_id, "PROPOSED", "", one.propose_us)
            )
        )


def listed(store: Store, state: str = "", agency: str = "", below: int = 2**60, most: int = 10) -> list[str]:
    found = store.look(
        lambda driver: enrolments.page(driver, below, most, state=state, agency=agency, now_us=NOW + PROPOSAL_LIFE_US)
    )
    return [one.proposal_id[-1] for _, one in found]


async def test_a_proposal_is_closed_once_and_stays_on_file(store: Store) -> None:
    await add(store, proposal(1))

    async def close(state: str) -> bool:
        return await store.write(
            lambda tx: enrolments.close(tx.driver, proposal(1).proposal_id, state, SECOND, NOW + 5)
        )

    assert await close(APPROVED)
    assert not await close(REJECTED)
    found = store.look(lambda driver: enrolments.find(driver, proposal(1).proposal_id))
    assert found == replace(proposal(1), state=APPROVED, decider=SECOND, decide_us=NOW + 5)


async def test_proposals_are_found_by_state_and_agency_newest_first(store: Store) -> None:
    fresh = NOW + PROPOSAL_LIFE_US - 1
    await add(store, proposal(1), proposal(2, agency=SOUTH, at_us=fresh), proposal(3, at_us=fresh), proposal(4))
    await store.write(lambda tx: enrolments.close(tx.driver, proposal(4).proposal_id, REJECTED, SECOND, NOW))
    assert listed(store) == ["4", "3", "2", "1"]
    assert listed(store, OPEN) == ["3", "2"]
    assert listed(store, LAPSED) == ["1"]
    assert listed(store, REJECTED) == ["4"]
    assert listed(store, agency=SOUTH) == ["2"]
    assert listed(store, most=2) == ["4", "3"]


def test_an_open_proposal_lapses_to_the_microsecond() -> None:
    one = proposal(1)
    assert one.state_at(NOW + PROPOSAL_LIFE_US - 1) == OPEN
    assert one.state_at(NOW + PROPOSAL_LIFE_US) == LAPSED
    assert replace(one, state=APPROVED).state_at(NOW + PROPOSAL_LIFE_US) == APPROVED


def certificate(number: int, days: float, agency: str = NORTH) -> CertificateOnFile:
    return CertificateOnFile(f"{number:064x}", agency, "spiffe://x", NOW + int(days * DAY_US))


def due(store: Store, now_us: int = NOW) -> list[int]:
    found = store.look(lambda driver: certificates.due(driver, now_us, 100))
    return [int(one.thumbprint, 16) for one in found]


@pytest.mark.parametrize(
    ("days", "threshold"),
    [(61, 0), (60.001, 0), (60, 60), (31, 60), (30, 30), (7, 7), (6, 7), (1, 1), (0.5, 1)],
)
def test_the_threshold_is_the_smallest_that_is_left_at_most(days: float, threshold: int) -> None:
    assert certificate(1, days).days_left(NOW) == threshold


async def test_each_threshold_is_claimed_once_and_in_turn(store: Store) -> None:
    one = certificate(1, 100)
    await store.write(lambda tx: certificates.see(tx.driver, [one], 0))

    async def claim(days: int) -> bool:
        return await store.write(lambda tx: certificates.claim(tx.driver, one.thumbprint, days))

    claimed = []
    for left in (61, 60, 59, 30, 7, 6, 1):
        now_us = one.not_after_us - left * DAY_US
        if due(store, now_us):
            days = one.days_left(now_us)
            assert await claim(days)
            # Another worker, which saw the same at the same time, is told that it is not its warning.
            assert not await claim(days)
            claimed.append(days)
        assert not due(store, now_us)
    assert claimed == [60, 30, 7, 1]
    assert not due(store, one.not_after_us)


async def test_a_warning_that_was_not_left_is_due_again(store: Store) -> None:
    one = certificate(1, 5)
    await store.write(lambda tx: certificates.see(tx.driver, [one], 0))
    assert await store.write(lambda tx: certificates.claim(tx.driver, one.thumbprint, 7))
    assert due(store) == []
    await store.write(lambda tx: certificates.release(tx.driver, one.thumbprint, 7, 0))
    assert due(store) == [1]


async def test_only_what_belongs_to_the_network_is_kept_and_what_ended_long_ago_is_not(store: Store) -> None:
    seen = [
        certificate(1, 5),
        certificate(2, 5, "police.example/nobody"),
        certificate(3, 5, ""),
        certificate(4, -10),
    ]
    await store.write(lambda tx: certificates.see(tx.driver, seen, 0))
    # Seen again, it is not counted anew, and keeps what it was warned of.
    await store.write(lambda tx: certificates.claim(tx.driver, seen[0].thumbprint, 7))
    await store.write(lambda tx: certificates.see(tx.driver, seen, NOW - 5 * DAY_US))
    await store.write(lambda tx: certificates.see(tx.driver, [], NOW - 5 * DAY_US))

    def every(agency: str = "") -> list[tuple[int, int]]:
        found = store.look(lambda driver: certificates.page(driver, (0, ""), 10, until_us=2**60, agency=agency))
        return [(int(one.thumbprint, 16), one.warned_days) for one in found]

    assert every() == [(1, 7), (3, 0)]
    assert every(NORTH) == [(1, 7)]


async def test_a_certificate_that_was_seen_before_is_filed_for_its_enrolment(store: Store) -> None:
    one = certificate(1, 5)
    await store.write(lambda tx: certificates.see(tx.driver, [one], 0))
    await store.write(lambda tx: certificates.put_on_file(tx.driver, replace(one, proposal_id="a" * 32)))
    found = store.look(lambda driver: certificates.of_proposal(driver, "a" * 32))
    assert found == replace(one, proposal_id="a" * 32)
