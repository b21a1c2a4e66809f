"""Get, versions and paging: hidden equals missing, and nothing visible is left out."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from broker.domain.answer import Call
from broker.domain.errors import HiddenError, RequestError
from broker.domain.grant import StaleGrantError
from broker.handle.cursor import Cursors
from broker.store.store import Store
from entente.common.v1 import marks_pb2, record_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.grants import NOBODY, a_call, a_caller, grant_all, grant_rows
from tests.support.reports import NORTH, SOUTH, Desk, line, marks, open_store, report


@pytest.fixture
def store(tmp_path: Path):
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


def marked(classification: str, title: str = "t", **changes: object) -> report_pb2.Report:
    return report(title, header=record_pb2.RecordHeader(marks=marks(classification, **changes)))


def everything_of(refusal: Exception) -> tuple[object, ...]:
    return type(refusal), *sorted(vars(refusal).items())


async def test_hidden_and_missing_are_one_answer(desk: Desk) -> None:
    made = await desk.submit(report())
    hidden = grant_rows(desk.store, [])
    answers = []
    for record_id, version in ((made.record_id, None), (made.record_id, 1), (made.record_id, 9), ("f" * 32, None)):
        with pytest.raises(HiddenError) as refusal:
            desk.get(record_id, version, grant=hidden)
        answers.append(everything_of(refusal.value))
    with pytest.raises(HiddenError) as refusal:
        desk.get("f" * 32)
    assert len({*answers, everything_of(refusal.value)}) == 1
    for record_id in (made.record_id, "f" * 32):
        with pytest.raises(HiddenError) as refusal:
            desk.versions(record_id, grant=hidden)
        assert everything_of(refusal.value) == answers[0]


async def test_a_version_that_is_not_there_is_not_found(desk: Desk) -> None:
    made = await desk.submit(report())
    for version in (2, 2**63 - 1, 2**63, 2**64 - 1):
        with pytest.raises(HiddenError):
            desk.get(made.record_id, version)


async def test_a_stale_grant_reads_nothing(desk: Desk) -> None:
    made = await desk.submit(report())
    current = grant_all(desk.store)
    desk.get(made.record_id, grant=current)
    await desk.submit(marked("SECRET"))
    for read in (
        lambda: desk.get(made.record_id, grant=current),
        lambda: desk.get(made.record_id, 1, grant=current),
        lambda: desk.get("f" * 32, grant=current),
        lambda: desk.versions(made.record_id, grant=current),
        lambda: desk.search_answer(grant=current),
        lambda: desk.store.changes(current, 0, 10, agency="x"),
    ):
        with pytest.raises(StaleGrantError):
            read()
    current = grant_all(desk.store)
    desk.store.load_directory([], [])
    with pytest.raises(StaleGrantError):
        desk.get(made.record_id, grant=current)


async def test_a_pointer_stands_for_a_hidden_record_whatever_version_is_asked_for(desk: Desk) -> None:
    made = await desk.submit(marked("SECRET", fallback=marks_pb2.FALLBACK_POINTER))
    other = await desk.submit(marked("SECRET"))
    number = next(n for n, one in desk.store.mark_sets(0) if one.fallback)
    pointed = grant_rows(desk.store, [], pointers=[number])
    for version in (None, 1, 77):
        (item,) = desk.get(made.record_id, version, grant=pointed).items
        assert item.as_pointer
    with pytest.raises(HiddenError):
        desk.get(other.record_id, grant=pointed)
    with pytest.raises(HiddenError):
        desk.versions(made.record_id, grant=pointed)
    assert desk.search(grant=pointed) == []
    await desk.retract(made.record_id, made.etag)
    with pytest.raises(HiddenError):
        desk.get(made.record_id, grant=pointed)


async def test_a_tightened_record_does_not_leak_through_its_past(desk: Desk) -> None:
    made = await desk.submit(marked("OFFICIAL", "first"))
    loose = next(n for n, one in desk.store.mark_sets(0) if one.classification == "OFFICIAL")
    await desk.amend(made.record_id, made.etag, ["header.marks"], marked("SECRET"))
    officer = grant_rows(desk.store, [loose])
    for version in (None, 1, 2):
        with pytest.raises(HiddenError):
            desk.get(made.record_id, version, grant=officer)
    assert desk.read(made.record_id, 1).title == "first"


async def test_a_tightened_portion_does_not_leak_through_its_past(desk: Desk) -> None:
    made = await desk.submit(report(lines=[line("1", "open"), line("2", "later secret")]))
    held = desk.read(made.record_id)
    sent = report(lines=held.lines)
    sent.lines[1].marks.CopyFrom(marks("SECRET"))
    await desk.amend(made.record_id, made.etag, ["lines"], sent)
    loose = next(n for n, one in desk.store.mark_sets(0) if one.classification == "OFFICIAL")
    officer = grant_rows(desk.store, [loose])
    (old,) = desk.get(made.record_id, 1, grant=officer).items
    assert [officer.sees(number, old.mark_set) for number in old.portion_mark_sets] == [True, False]


async def test_a_loosened_record_keeps_its_past_closed(desk: Desk) -> None:
    made = await desk.submit(marked("SECRET", "source named here"))
    await desk.amend(made.record_id, made.etag, ["header.marks", "title"], marked("OFFICIAL", "clean"))
    loose = next(n for n, one in desk.store.mark_sets(0) if one.classification == "OFFICIAL")
    officer = grant_rows(desk.store, [loose])
    assert desk.read(made.record_id, grant=officer).title == "clean"
    with pytest.raises(HiddenError):
        desk.get(made.record_id, 1, grant=officer)
    assert [item.version for item in desk.versions(made.record_id, grant=officer).items] == [2]


async def test_versions_come_newest_first_with_what_happened(desk: Desk) -> None:
    made = await desk.submit(report("one"))
    amended = await desk.amend(made.record_id, made.etag, ["title"], report("two"))
    await desk.amend(made.record_id, amended.etag, ["title"], report("three"))
    items = desk.versions(made.record_id).items
    assert [item.version for item in items] == [3, 2, 1]
    kinds = [report_service_pb2.ReportVersion.FromString(item.wrapper).kind for item in items]
    assert kinds == [report_pb2.CHANGE_KIND_AMENDED, report_pb2.CHANGE_KIND_AMENDED, report_pb2.CHANGE_KIND_SUBMITTED]


async def test_versions_page_without_loss(desk: Desk) -> None:
    made = await desk.submit(report("1"))
    etag = made.etag
    for n in range(2, 8):
        etag = (await desk.amend(made.record_id, etag, ["title"], report(str(n)))).etag
    request = report_service_pb2.ListReportVersionsRequest(record_id=made.record_id, page_size=3)
    seen = []
    while True:
        answer = desk.handlers.list_report_versions(desk.call(request))
        seen += [item.version for item in answer.items]
        token = report_service_pb2.ListReportVersionsResponse.FromString(answer.envelope).next_page_token
        if not token:
            break
        request.page_token = token
    assert seen == [7, 6, 5, 4, 3, 2, 1]


LEVELS = ("OFFICIAL", "SECRET", "TOP_SECRET")


async def fill(desk: Desk, count: int, seed: int) -> dict[str, str]:
    """Reports with mixed marks: id -> classification, in the order of submission."""
    choose = random.Random(seed)
    for level in LEVELS:
        await desk.submit(marked(level))
    grant = grant_all(desk.store)
    levels = [choose.choice(LEVELS) for _ in range(count)]
    made = await asyncio.gather(*(desk.submit(marked(level), grant=grant) for level in levels))
    return {one.record_id: level for one, level in zip(made, levels, strict=True)}


def pages(desk: Desk, grant: object, size: int) -> list[list[str]]:
    request = report_service_pb2.SearchReportsRequest(page_size=size)
    found = []
    while True:
        answer = desk.handlers.search_reports(desk.call(request, grant))
        found.append([item.record_id for item in answer.items])
        token = report_service_pb2.SearchReportsResponse.FromString(answer.envelope).next_page_token
        if not token:
            return found
        request.page_token = token


@pytest.mark.parametrize("few", [0, 4_000], ids=["by flag", "by list"])
async def test_paging_is_complete_and_equals_get(desk: Desk, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr("broker.store.counts.FEW", few)
    made = await fill(desk, 1_100, seed=7)
    numbers = {one.classification: n for n, one in desk.store.mark_sets(0)}
    grant = grant_rows(desk.store, [numbers["OFFICIAL"], numbers["TOP_SECRET"]])
    found = pages(desk, grant, 97)
    assert all(len(page) == 97 for page in found[:-1])
    flat = [record_id for page in found for record_id in page]
    assert len(flat) == len(set(flat))
    wanted = [record_id for record_id, level in made.items() if level != "SECRET"]
    assert [record_id for record_id in flat if record_id in made] == wanted[::-1]
    for record_id, level in list(made.items())[:60]:
        if level == "SECRET":
            with pytest.raises(HiddenError):
                desk.get(record_id, grant=grant)
        else:
            desk.get(record_id, grant=grant)


async def test_answers_do_not_depend_on_what_is_hidden(tmp_path: Path) -> None:
    """Two worlds that differ only in hidden records: pages, their number and their tokens' lengths are alike."""
    worlds = []
    for seed in (1, 2):
        store = open_store(tmp_path / f"world{seed}.db")
        desk = Desk(store)
        for level in LEVELS:
            await desk.submit(marked(level, "seed"))
        hide = random.Random(seed)
        for n in range(25):
            for _ in range(hide.randrange(4)):
                await desk.submit(marked("SECRET", f"hidden {hide.random()}"))
            await desk.submit(marked("OFFICIAL", f"visible {n}"))
        numbers = {one.classification: n for n, one in store.mark_sets(0)}
        grant = grant_rows(store, [numbers["OFFICIAL"]])
        request = report_service_pb2.SearchReportsRequest(page_size=7)
        seen = []
        while True:
            answer = desk.handlers.search_reports(desk.call(request, grant))
            titles = [report_pb2.Report.FromString(item.payload).title for item in answer.items]
            seen.append((titles, len(answer.envelope)))
            token = report_service_pb2.SearchReportsResponse.FromString(answer.envelope).next_page_token
            if not token:
                break
            request.page_token = token
        worlds.append(seen)
        store.close()
    assert worlds[0] == worlds[1]


async def test_where_a_page_is_cut_ignores_what_is_hidden(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.handle.report.service.PAGE_BYTES", 40_000)
    for n in range(20):
        sent = report(f"{n}")
        if n % 2:
            sent.internal_notes = "x" * 15_000
        await desk.submit(sent)
    grant = grant_all(desk.store, without=["INTERNAL"])
    answer = desk.search_answer(grant)
    assert len(answer.items) == 12
    assert len([one for page in pages(desk, grant, 100) for one in page]) == 20
    assert len(desk.search_answer().items) < 12


# Cursors


def test_a_cursor_serves_only_its_own_query() -> None:
    cursors = Cursors(bytes(32))
    own = a_query()
    token = cursors.seal_number(own, b"query", 5)
    assert cursors.open_number(own, b"query", token) == 5
    foreign = a_query(agency=SOUTH)
    other = a_query(method="/x/Other")
    damaged = ("A" if token[5] != "A" else "B").join((token[:5], token[6:]))
    for call, query, given in (
        (foreign, b"query", token),
        (other, b"query", token),
        (own, b"another", token),
        (own, b"query", damaged),
        (own, b"query", token[:-1]),
        (own, b"query", ""),
        (own, b"query", "é\0"),
        (own, b"query", "A" * 1024),
    ):
        with pytest.raises(RequestError) as refusal:
            cursors.open(call, query, given)
        assert refusal.value.reason == "CURSOR_INVALID"
    with pytest.raises(RequestError):
        Cursors(b"\x01" * 32).open(own, b"query", token)


def a_query(agency: str = NORTH, method: str = "/x/Y") -> Call:
    return a_call(report_service_pb2.GetReportRequest(), NOBODY, caller=a_caller(agency), method=method)


async def test_a_page_token_is_bound_to_the_conditions_but_not_to_the_page_size(desk: Desk) -> None:
    for _ in range(5):
        await desk.submit(report("van"))
    answer = desk.search_answer(text="van", page_size=2)
    token = report_service_pb2.SearchReportsResponse.FromString(answer.envelope).next_page_token
    assert len(desk.search(text="van", page_size=10, page_token=token)) == 3
    with pytest.raises(RequestError) as refusal:
        desk.search(text="vans", page_size=2, page_token=token)
    assert refusal.value.reason == "CURSOR_INVALID"
