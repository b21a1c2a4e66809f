"""The directory and the mark sets: what grants are decided on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from broker.domain.directory import Agency, Appointment
from broker.domain.errors import UnavailableError
from broker.domain.marks import MarkSet
from broker.store import directory
from broker.store.mark_sets import flags
from broker.store.store import Store
from tests.support.reports import AGENCIES, AGREEMENTS, NORTH, SOUTH, TickingClock, open_store


@pytest.fixture
def store(tmp_path: Path):
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


def test_facts_hold_the_agency_and_its_agreements(store: Store) -> None:
    facts = store.facts(NORTH)
    assert facts is not None
    assert facts.agency == AGENCIES[0]
    assert facts.agreements == tuple(AGREEMENTS)
    assert facts.revision == store.directory_revision
    assert store.facts("police.example/nobody") is None


def test_revision_grows_only_with_a_difference(store: Store) -> None:
    before = store.directory_revision
    assert store.load_directory(reversed(AGENCIES), AGREEMENTS) == before
    changed = [AGENCIES[0], replace(AGENCIES[1], display_name="South Shire")]
    assert store.load_directory(changed, AGREEMENTS) == before + 1
    facts = store.facts(SOUTH)
    assert facts is not None
    assert facts.agency.display_name == "South Shire"


THIRD = Agency("police.example/third", "Third", "GB", "LOCAL")
AUDITOR = Appointment(NORTH, "o.vale", "auditor")


async def enrol(store: Store) -> None:
    await store.write(lambda tx: directory.add_agency(tx.driver, THIRD))
    await store.write(lambda tx: directory.appoint(tx.driver, AUDITOR))


async def test_what_was_approved_survives_the_loading_of_the_file(store: Store) -> None:
    before = store.directory_revision
    await enrol(store)
    assert store.directory_revision == before + 2
    assert store.load_directory(AGENCIES, AGREEMENTS) == before + 2
    assert store.agency(THIRD.name) == THIRD
    facts = store.facts(NORTH)
    assert facts is not None
    assert facts.appointments == {("o.vale", "auditor")}
    # Somebody appointed nowhere else, and nobody of another agency.
    south = store.facts(SOUTH)
    assert south is not None
    assert not south.appointments


async def test_the_file_is_right_about_what_it_names(store: Store) -> None:
    await enrol(store)
    named = replace(THIRD, display_name="Third by file")
    assert store.load_directory([*AGENCIES, named], AGREEMENTS, [AUDITOR])
    assert store.agency(THIRD.name) == named
    assert await store.write(lambda tx: directory.appointed(tx.driver, AUDITOR)) == "FILE"
    # What the file took over goes with the file.
    store.load_directory(AGENCIES, AGREEMENTS)
    assert store.agency(THIRD.name) is None
    assert await store.write(lambda tx: directory.appointed(tx.driver, AUDITOR)) == ""


async def test_a_dismissal_ends_what_was_approved_and_not_what_the_file_says(store: Store) -> None:
    await enrol(store)
    await store.write(lambda tx: directory.dismiss(tx.driver, AUDITOR))
    assert await store.write(lambda tx: directory.appointed(tx.driver, AUDITOR)) == ""
    store.load_directory(AGENCIES, AGREEMENTS, [AUDITOR])
    await store.write(lambda tx: directory.dismiss(tx.driver, AUDITOR))
    assert await store.write(lambda tx: directory.appointed(tx.driver, AUDITOR)) == "FILE"


def test_a_changed_file_is_in_the_registrys_journal_so_that_every_worker_learns_of_it(store: Store) -> None:
    before = store.registry_revision()
    store.load_directory(AGENCIES, AGREEMENTS)
    assert store.registry_revision() == before
    store.load_directory(AGENCIES, AGREEMENTS, [AUDITOR])
    assert store.registry_revision() == before + 1


def test_an_agency_that_left_has_no_facts_although_they_were_remembered(store: Store) -> None:
    assert store.facts(SOUTH) is not None
    store.load_directory(AGENCIES[:1], [])
    assert store.facts(SOUTH) is None


def test_agencies_are_listed_by_name_from_above_one(store: Store) -> None:
    assert [one.name for one in store.agencies("", 10)] == [NORTH, SOUTH]
    assert [one.name for one in store.agencies(NORTH, 10)] == [SOUTH]
    assert len(store.agencies("", 1)) == 1


VARIED = [
    MarkSet("report", NORTH, "OFFICIAL"),
    MarkSet("report", NORTH, "OFFICIAL", releasable_to=frozenset()),
    MarkSet("report", NORTH, "OFFICIAL", releasable_to=frozenset({SOUTH})),
    MarkSet("report", SOUTH, "SECRET", markings=frozenset({"OFFICIAL_SENSITIVE"}), tlp="RED"),
    MarkSet(
        "report", NORTH, "SECRET", compartments=frozenset({"b", "a"}), sanitisation="TEAR_LINE", fallback="POINTER"
    ),
]


async def test_mark_sets_are_numbered_once_and_come_back_equal(store: Store) -> None:
    first = await store.write(lambda tx: tx.intern(VARIED))
    again = await store.write(lambda tx: tx.intern(reversed(VARIED)))
    assert first == again
    assert store.mark_sets(0) == list(enumerate(VARIED, start=1))
    assert store.mark_sets(3) == list(enumerate(VARIED, start=1))[3:]


async def test_no_list_of_recipients_and_an_empty_one_are_distinct(store: Store) -> None:
    ids = await store.write(lambda tx: tx.intern(VARIED[:2]))
    assert len(set(ids.values())) == 2


@pytest.mark.parametrize("statement", ["UPDATE mark_set SET canonical = '{}'", "DELETE FROM mark_set"])
async def test_mark_sets_are_append_only(store: Store, tmp_path: Path, statement: str) -> None:
    await store.write(lambda tx: tx.intern(VARIED))
    engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    with engine.begin() as connection, pytest.raises(Exception, match="append-only"):
        connection.execute(text(statement))
    engine.dispose()


def test_flags_are_one_byte_for_each_mark_set() -> None:
    assert flags(0) == b"\x00"
    assert flags(0b1010) == b"\x00\x01\x00\x01"


async def test_a_closed_store_refuses_to_write(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "other.db", TickingClock())
    store.close()
    with pytest.raises(UnavailableError):
        await store.write(lambda tx: None)
