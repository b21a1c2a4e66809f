"""Agreements in the store: everything that they say, of the file and of the registry, and what was withdrawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from broker.domain.agreement import AgreementOnFile, SignedAgreement, Withdrawal
from broker.domain.directory import Agreement
from broker.domain.enrolment import Person
from broker.store import agreements, directory
from broker.store.store import Store
from tests.support.reports import AGENCIES, AGREEMENTS, NORTH, SOUTH, open_store

WHOLE = Agreement(
    "whole",
    frozenset({NORTH, SOUTH}),
    frozenset({"FRAUD", "THREAT_TO_LIFE"}),
    "SECRET",
    1,
    2_000,
    frozenset({"report"}),
    (("*", "FULL"), ("IDENTITY", "PSEUDONYM")),
    "EVIDENTIAL",
    "NONE",
    frozenset({"NO_TORTURE"}),
    frozenset({"MLAT"}),
)
ENDED = Withdrawal(Person(NORTH, "admin.shaw"), 7, "not kept")


@pytest.fixture
def store(tmp_path: Path):
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


async def concluded(store: Store, one: Agreement = WHOLE) -> None:
    def work(tx) -> None:
        agreements.add(tx.driver, SignedAgreement(one, "signed"))
        directory.changed(tx.driver)

    await store.write(work)


async def ended(store: Store, agreement_id: str) -> None:
    def work(tx) -> None:
        agreements.withdraw(tx.driver, agreement_id, ENDED)
        directory.changed(tx.driver)

    await store.write(work)


def known(store: Store, agency: str = NORTH) -> list[Agreement]:
    facts = store.facts(agency)
    assert facts is not None
    return list(facts.agreements)


async def test_everything_that_it_says_is_kept(store: Store) -> None:
    await concluded(store)
    assert WHOLE in known(store)
    assert WHOLE in known(store, SOUTH)
    assert store.look(lambda driver: agreements.find(driver, "whole")) == AgreementOnFile(
        SignedAgreement(WHOLE, "signed"), True, None
    )


async def test_of_the_file_it_is_kept_with_its_document(store: Store) -> None:
    store.load_directory(AGENCIES, [*AGREEMENTS, WHOLE], documents={"whole": "as signed"})
    found = store.look(lambda driver: agreements.find(driver, "whole"))
    assert found == AgreementOnFile(SignedAgreement(WHOLE, "as signed"))
    # Another document under the same words is another directory: the revision tells.
    before = store.directory_revision
    assert store.load_directory(AGENCIES, [*AGREEMENTS, WHOLE], documents={"whole": "as signed"}) == before
    assert store.load_directory(AGENCIES, [*AGREEMENTS, WHOLE], documents={"whole": "signed anew"}) == before + 1


async def test_the_file_leaves_what_was_concluded(store: Store) -> None:
    await concluded(store)
    store.load_directory(AGENCIES, [])
    assert known(store) == [WHOLE]


async def test_what_was_withdrawn_counts_for_nobody_whatever_the_file_says(store: Store) -> None:
    store.load_directory(AGENCIES, [WHOLE], documents={"whole": "signed"})
    await ended(store, "whole")
    assert known(store) == []
    store.load_directory(AGENCIES, [])
    assert store.look(lambda driver: agreements.is_known(driver, "whole"))
    store.load_directory(AGENCIES, [WHOLE], documents={"whole": "signed"})
    assert known(store) == known(store, SOUTH) == []
    found = store.look(lambda driver: agreements.find(driver, "whole"))
    assert found is not None
    assert found.withdrawal == ENDED


async def test_no_agency_is_taken_for_another(store: Store) -> None:
    """A name may hold what a pattern takes for any character."""
    odd = [
        replace(WHOLE, agreement_id=f"x{n}", parties=frozenset({name, SOUTH}))
        for n, name in enumerate(("a/b_c", "a/bxc"))
    ]
    store.load_directory([*AGENCIES, replace(AGENCIES[0], name="a/b_c"), replace(AGENCIES[0], name="a/bxc")], odd)
    assert [one.agreement_id for one in known(store, "a/b_c")] == ["x0"]
    assert [one.agreement_id for one in known(store, "a/bxc")] == ["x1"]
    paged = store.look(lambda driver: agreements.page(driver, "", 10, party="a/b_c"))
    assert [one.signed.agreement.agreement_id for one in paged] == ["x0"]


async def test_pages_of_a_party_are_whole(store: Store) -> None:
    """Others' agreements between a party's own leave no gap."""
    many = [
        replace(WHOLE, agreement_id=f"n{n:02d}", parties=frozenset({"a/b_c" if n % 3 else "a/bxc", SOUTH}))
        for n in range(20)
    ]
    store.load_directory(AGENCIES, many)
    seen, after = [], ""
    while page := store.look(lambda driver: agreements.page(driver, after, 4, party="a/bxc")):  # noqa: B023
        seen += [one.signed.agreement.agreement_id for one in page]
        after = seen[-1]
    assert seen == [f"n{n:02d}" for n in range(0, 20, 3)]
