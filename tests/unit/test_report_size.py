"""What an item weighs for a page: never less than is released of it, and nothing of what is hidden."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.domain.answer import Answer
from broker.domain.grant import FULL, PART, PSEUDONYM
from broker.handle.report.size import DISCLOSURE_BYTES, FORM_BYTES, GROWTH, fitting, visible_bytes
from broker.release.projector import Releaser
from broker.release.pseudonyms import LENGTH, Pseudonyms, Scope
from broker.release.transforms import MAGNITUDES, MASK, district, initials, tail
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.canary import fill
from tests.support.released import CLASSES, EVERYTHING, grant, item, without

SCOPE = Scope.of("police.example/north", "OP-17")
RELEASER = Releaser(0, Pseudonyms(bytes(32)))
# A number weighs one byte, the least that it can take; so many more they take in all.
NUMBERS = 64
GET = report_service_pb2.GetReportResponse
levels = st.fixed_dictionaries({name: st.sampled_from((FULL, PART, PSEUDONYM, "")) for name in CLASSES})


def report(name: str = "Ana Lime", *aliases: str, amount: str = "1") -> report_pb2.Report:
    made = report_pb2.Report(title="t")
    made.header.record_id = "0" * 32
    person = made.entities.add(key="p").person
    person.name = name
    person.aliases.extend(aliases)
    made.entities.add(key="a").account.balance.value = amount
    return made


def test_no_form_is_longer_than_it_is_weighed() -> None:
    longest = [MASK, *MAGNITUDES, district("SW1A 1AA"), initials("Ana Bea Cho Dee Eve"), tail("123456789")]
    assert max(LENGTH, *map(len, longest)) <= FORM_BYTES


@given(levels, st.integers(0, 1))
@settings(max_examples=60, deadline=None)
def test_an_item_weighs_at_least_what_is_released(held: dict[str, str], variant: int) -> None:
    stored, allowed = item(fill(report_pb2.Report, 1, variant=variant).message), grant(held)
    released = GET.FromString(RELEASER.release(Answer(items=(stored,)), GET, allowed, SCOPE).response)
    weight = visible_bytes(stored, allowed)
    assert released.report.report.ByteSize() <= weight + NUMBERS
    assert weight <= len(stored.payload) * GROWTH


@pytest.mark.parametrize("level", [PART, PSEUDONYM, ""])
def test_the_length_of_what_is_hidden_weighs_nothing(level: str) -> None:
    held = grant({**without("IDENTITY", level), "FINANCIAL": level})
    short, long = report("A", "x"), report("Ana " * 60, "y" * 250, amount="123456.78")
    assert visible_bytes(item(short), held) == visible_bytes(item(long), held)


def test_what_has_no_coarser_form_weighs_nothing() -> None:
    held = grant(without("IDENTITY", PART))
    assert visible_bytes(item(report("A", "x", "y")), held) == visible_bytes(item(report("A")), held)


@pytest.mark.parametrize("level", [PART, PSEUDONYM, "", FULL])
def test_a_page_is_cut_alike_whatever_is_hidden(level: str) -> None:
    """At every limit, also where the stored sizes of the one page would fit as they are, and of the other would not."""
    held = grant(without("IDENTITY", level))
    long = report("Ana " * 60, "y" * 250, "z" * 250)
    pages = [[item(one)] * 5 for one in (report("A", "x", "z"), long if level != FULL else report("B", "w", "v"))]
    for most in range(DISCLOSURE_BYTES, 6 * DISCLOSURE_BYTES, 97):
        assert len({fitting(page, held, most) for page in pages}) == 1, most


def test_a_page_in_full_is_cut_by_what_is_stored() -> None:
    page = [item(report())] * 3
    size = len(page[0].payload) + DISCLOSURE_BYTES
    assert [fitting(page, grant(EVERYTHING), size * count) for count in (1, 2, 3)] == [1, 2, 3]
