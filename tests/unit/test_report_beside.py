"""What a search tells beside the rows: pointers where their originators chose them, and to originators who looked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from broker.domain.answer import Answer
from broker.domain.errors import HiddenError, RequestError
from broker.domain.grant import Grant, StaleGrantError
from broker.domain.hit import ID_ROOM, MOST_HITS, SEARCH_ROOM, Looks, SilentHit
from broker.domain.marks import MarkSet, adds_nothing, inherit
from broker.handle.cursor import query_digest
from broker.store import beside
from broker.store.prepared import Prepared
from broker.store.store import Store
from entente.common.v1 import entity_pb2, marks_pb2, record_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.grants import a_caller, grant_all, grant_rows
from tests.support.reports import NORTH, SOUTH, Desk, line, marks, open_store, person, report

LIME = report_service_pb2.EntityQuery(kind=report_service_pb2.ENTITY_KIND_NAME, value="Ana Lime")
POINTER, SILENT = marks_pb2.FALLBACK_POINTER, marks_pb2.FALLBACK_SILENT


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def owner(store: Store) -> Desk:
    return Desk(store, a_caller(SOUTH))


@pytest.fixture
def looker(store: Store) -> Desk:
    return Desk(store, a_caller(NORTH))


def marked(title: str = "a title", *, own: dict[str, Any] | None = None, **said: Any) -> report_pb2.Report:
    """A SECRET report with these further marks."""
    return report(title, header=record_pb2.RecordHeader(marks=marks("SECRET", **(own or {}))), **said)


def numbers(store: Store, **wanted: Any) -> list[int]:
    """The mark sets with these marks."""
    return [n for n, one in store.mark_sets(0) if all(getattr(one, k) == v for k, v in wanted.items())]


def telling(store: Store) -> Grant:
    """Sees what is OFFICIAL; is pointed at, or silent on, whatever asks for it."""
    seen = numbers(store, classification="OFFICIAL", fallback="", reach="")
    pointed = {*numbers(store, fallback="POINTER"), *numbers(store, reach="POINTER")} - set(seen)
    silent = {*numbers(store, fallback="SILENT"), *numbers(store, reach="SILENT")} - pointed
    return grant_rows(store, seen, pointers=pointed, silent=silent)


def looked(desk: Desk, **conditions: Any) -> Answer:
    return desk.search_answer(telling(desk.store), **conditions)


def hits(answer: Answer) -> list[str]:
    assert answer.looks is not None
    assert answer.looks.room == SEARCH_ROOM
    return [hit.record_id for hit in answer.looks.hits]


def pointers(answer: Answer) -> list[str]:
    return [item.record_id for item in answer.items if item.as_pointer]


async def test_an_entity_alone_finds_pointers_and_nothing_else_does(owner: Desk, looker: Desk) -> None:
    made = await owner.submit(
        marked(own={"fallback": POINTER}, lines=[line("1", "crates")], entities=[person("a", "Ana Lime", "Limette")])
    )
    found = looked(looker, entity=LIME)
    assert pointers(found) == [made.record_id]
    assert found.items[0].contact == "desk@south.example"
    alias = report_service_pb2.EntityQuery(kind=report_service_pb2.ENTITY_KIND_NAME, value="limette")
    assert pointers(looked(looker, entity=alias, include_retracted=True, page_size=1)) == [made.record_id]
    assert pointers(looked(looker, entity=LIME, originator=SOUTH)) == [made.record_id]
    assert pointers(looked(looker, entity=LIME, originator=NORTH)) == []
    for more in (
        {"text": "crates"},
        {"text": "title"},
        {"operation": "lantern"},
        {"updated_after": Timestamp(seconds=1)},
        {"updated_before": Timestamp(seconds=2**33)},
        {"external_reference": record_pb2.ExternalReference(source="s", reference="r")},
    ):
        assert looked(looker, entity=LIME, **more).items == ()
    for alone in ({"text": "crates"}, {"originator": SOUTH}, {}):
        assert looked(looker, **alone).items == ()


async def test_a_pointer_confirms_no_portion_that_asks_for_more_than_its_record(owner: Desk, looker: Desk) -> None:
    # The other is in no compartment.
    owner, looker = looker, owner
    tighter: list[dict[str, Any]] = [
        {"reach": marks_pb2.REACH_NONE},
        {"reach": marks_pb2.REACH_SILENT},
        {"sanitisation": marks_pb2.SANITISATION_SOURCE_PROTECTED},
        {"fallback": SILENT},
        {"tlp": marks_pb2.TLP_RED},
        {"compartments": ["op-lime"]},
        {"releasable_to": marks_pb2.ReleasableTo()},
        {"classification": marks_pb2.CLASSIFICATION_TOP_SECRET},
        {"europol_handling": [marks_pb2.EUROPOL_HANDLING_H1]},
    ]
    for own in tighter:
        kept = person("a", "Ana Lime", marks=marks_pb2.Marks(**own))
        await owner.submit(marked(own={"fallback": POINTER}, entities=[kept, person("b", "Ben Fig")]))
    assert pointers(looked(looker, entity=LIME)) == []
    fig = report_service_pb2.EntityQuery(kind=report_service_pb2.ENTITY_KIND_NAME, value="ben fig")
    assert len(pointers(looked(looker, entity=fig))) == len(tighter)


def test_what_adds_nothing_is_exactly_what_inherits_everything() -> None:
    container = MarkSet("report", SOUTH, classification="SECRET", handling_code="P", fallback="POINTER", tlp="AMBER")
    assert adds_nothing(container, inherit(container, MarkSet("report", SOUTH)))
    assert adds_nothing(container, inherit(container, MarkSet("report", SOUTH, sanitisation="TEAR_LINE")))
    protected = MarkSet("report", SOUTH, sanitisation="SOURCE_PROTECTED")
    assert not adds_nothing(container, inherit(container, protected))


async def test_pointers_follow_the_reports_in_an_order_that_tells_nothing(owner: Desk, looker: Desk) -> None:
    """Ids are random: neither time, nor who changed last, shows in the order; pages give each exactly once."""
    hidden = [
        await owner.submit(marked(str(n), own={"fallback": POINTER}, entities=[person("a", "Ana Lime")]))
        for n in range(9)
    ]
    seen = [await owner.submit(report(str(n), entities=[person("a", "Ana Lime")])) for n in range(5)]
    changed = random.Random(3).choice(hidden)
    await owner.amend(changed.record_id, changed.etag, ["title"], report("later"))
    expected = [one.record_id for one in reversed(seen)] + sorted(one.record_id for one in hidden)
    for size in (1, 2, 5, 7, 14, 100):
        given: list[str] = []
        token = ""
        while True:
            request: dict[str, Any] = {"entity": LIME, "page_size": size}
            answer = looked(looker, **request, **({"page_token": token} if token else {}))
            given += [item.record_id for item in answer.items]
            token = report_service_pb2.SearchReportsResponse.FromString(answer.envelope).next_page_token
            if not token:
                break
            assert len(answer.items) == size
        assert given == expected


async def test_page_tokens_are_of_one_length_wherever_the_page_ended(owner: Desk, looker: Desk) -> None:
    for number in range(4):
        own = {"fallback": POINTER} if number % 2 else None
        made = (
            marked(own=own, entities=[person("a", "Ana Lime")]) if own else report(entities=[person("a", "Ana Lime")])
        )
        await owner.submit(made)
    tokens, token = [], ""
    while True:
        answer = looked(looker, entity=LIME, page_size=1, **({"page_token": token} if token else {}))
        token = report_service_pb2.SearchReportsResponse.FromString(answer.envelope).next_page_token
        if not token:
            break
        tokens.append(len(token))
    assert len(tokens) == 3
    assert len(set(tokens)) == 1
    request = report_service_pb2.SearchReportsRequest(entity=LIME)
    call = looker.call(request)
    older = looker.cursors.seal_number(call, query_digest(request), 7)
    with pytest.raises(RequestError, match="CURSOR_INVALID"):
        looked(looker, entity=LIME, page_token=older)


async def test_a_pointer_announces_no_change_of_what_it_hides(owner: Desk, looker: Desk) -> None:
    made = await owner.submit(marked(own={"fallback": POINTER}, entities=[person("a", "Ana Lime")]))
    await owner.amend(made.record_id, made.etag, ["title"], report("later"))
    grant = telling(owner.store)
    assert owner.store.changes(grant, 0, 100, agency=NORTH).found == ()
    with pytest.raises(HiddenError):
        looker.versions(made.record_id, grant)


SAID: dict[str, Any] = {
    "operation": "Lantern",
    "tear_line": "a quiet boat",
    "lines": [line("1", "Two crates at the quay")],
    "entities": [
        person("a", "Ana Lime"),
        entity_pb2.Entity(key="v", vehicle=entity_pb2.Vehicle(plate="ab12 cde")),
    ],
}


@pytest.mark.parametrize(
    "own",
    [{"fallback": SILENT}, {"reach": marks_pb2.REACH_SILENT}, {"reach": marks_pb2.REACH_POINTER, "fallback": SILENT}],
)
async def test_whoever_looks_for_what_a_silent_record_holds_hits_it(
    owner: Desk, looker: Desk, own: dict[str, Any]
) -> None:
    made = await owner.submit(marked("Night vans", own=own, **SAID))
    store = owner.store
    silent = grant_rows(store, [], silent=numbers(store, classification="SECRET"))
    plate = report_service_pb2.EntityQuery(kind=report_service_pb2.ENTITY_KIND_PLATE, value="AB12 CDE")
    for looks in (
        {"entity": LIME},
        {"entity": plate},
        {"operation": "lantern"},
        {"text": "CRATES vans quiet"},
        {"text": "vans", "entity": LIME, "operation": "lantern"},
        {"entity": LIME, "originator": SOUTH, "updated_after": Timestamp(seconds=1)},
    ):
        answer = looker.search_answer(silent, **looks)
        assert answer.looks == Looks(SEARCH_ROOM, (SilentHit(made.record_id, SOUTH),)), looks
        assert answer.items == ()
        assert answer.envelope == b""
    for misses in (
        {"text": "crates boats"},
        {"entity": LIME, "operation": "anvil"},
        {"entity": LIME, "originator": NORTH},
        {"entity": LIME, "updated_before": Timestamp(seconds=1)},
        {"originator": SOUTH},
        {"entity": LIME, "external_reference": record_pb2.ExternalReference(source="s", reference="r")},
        {"text": "?!"},
        {},
    ):
        assert hits(looker.search_answer(silent, **misses)) == [], misses


async def test_a_silent_portion_of_a_record_that_is_seen_is_heard_too(owner: Desk, looker: Desk) -> None:
    """A condition on the open part alone hits nothing; one that needs the silent portion does."""
    hidden = person("a", "Ana Lime", marks=marks_pb2.Marks(reach=marks_pb2.REACH_SILENT))
    made = await owner.submit(report("Night vans", entities=[hidden, person("b", "Ben Fig")]))
    fig = report_service_pb2.EntityQuery(kind=report_service_pb2.ENTITY_KIND_NAME, value="ben fig")
    assert [item.record_id for item in looked(looker, entity=fig).items] == [made.record_id]
    assert hits(looked(looker, entity=fig)) == []
    answer = looked(looker, entity=LIME)
    assert (answer.items, hits(answer)) == ((), [made.record_id])
    assert hits(looked(looker, entity=LIME, text="vans")) == [made.record_id]


async def test_reads_by_id_hit_what_they_do_not_find(owner: Desk, looker: Desk) -> None:
    made = await owner.submit(marked(own={"fallback": SILENT}))
    plain = await owner.submit(marked())
    grant = telling(owner.store)
    for read in (
        lambda one: looker.get(one, grant=grant),
        lambda one: looker.get(one, 1, grant=grant),
        lambda one: looker.get(one, 9, grant=grant),
        lambda one: looker.versions(one, grant),
    ):
        answers = []
        for record_id, hit in (
            (made.record_id, (SilentHit(made.record_id, SOUTH),)),
            (plain.record_id, ()),
            ("f" * 32, ()),
        ):
            with pytest.raises(HiddenError) as refused:
                read(record_id)
            assert refused.value.looks == Looks(ID_ROOM, hit)
            answers.append((refused.value.reason, refused.value.message, refused.value.detail, refused.value.fields))
        assert len(set(answers)) == 1
    assert owner.get(made.record_id).looks == Looks(ID_ROOM)


async def test_the_originators_own_officers_hit_nothing(owner: Desk) -> None:
    """Also where they may not see it: this is what others are not told."""
    made = await owner.submit(marked(own={"fallback": SILENT}, entities=[person("a", "Ana Lime")]))
    assert hits(looked(owner, entity=LIME)) == []
    with pytest.raises(HiddenError) as refused:
        owner.get(made.record_id, grant=telling(owner.store))
    assert refused.value.looks == Looks(ID_ROOM)


async def test_hits_follow_amendments_and_end_with_the_retraction(owner: Desk, looker: Desk) -> None:
    made = await owner.submit(marked(own={"fallback": SILENT}, entities=[person("a", "Ana Lime")]))
    fig = report_service_pb2.EntityQuery(kind=report_service_pb2.ENTITY_KIND_NAME, value="ben fig")
    changed = report("t", entities=[person("b", "Ben Fig")])
    amended = await owner.amend(made.record_id, made.etag, ["entities"], changed)
    assert hits(looked(looker, entity=LIME)) == []
    assert hits(looked(looker, entity=fig)) == [made.record_id]
    # Loosened: nothing is silent any more; tightened again: silent again, also what it says by now.
    loose = await owner.amend(made.record_id, amended.etag, ["header.marks"], marked())
    assert hits(looked(looker, entity=fig)) == []
    tight = await owner.amend(
        made.record_id, loose.etag, ["header.marks"], marked(own={"reach": marks_pb2.REACH_SILENT})
    )
    assert hits(looked(looker, entity=fig)) == [made.record_id]
    await owner.retract(made.record_id, tight.etag)
    assert hits(looked(looker, entity=fig)) == []
    with pytest.raises(HiddenError) as refused:
        looker.get(made.record_id, grant=telling(owner.store))
    assert refused.value.looks == Looks(ID_ROOM)


async def test_hits_are_bounded_the_newest_first(owner: Desk, looker: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [
        (await owner.submit(marked(str(n), own={"fallback": SILENT}, entities=[person("a", "Ana Lime")]))).record_id
        for n in range(MOST_HITS + 4)
    ]
    newest = made[::-1][: MOST_HITS + 1]
    assert hits(looked(looker, entity=LIME)) == newest
    # Each page is a look of its own: whoever keeps a token asks again.
    await owner.submit(report(entities=[person("a", "Ana Lime")]))
    await owner.submit(report(entities=[person("a", "Ana Lime")]))
    first = looked(looker, entity=LIME, page_size=1)
    token = report_service_pb2.SearchReportsResponse.FromString(first.envelope).next_page_token
    assert hits(looked(looker, entity=LIME, page_size=1, page_token=token)) == newest


async def test_a_stale_grant_hits_nothing(owner: Desk, looker: Desk) -> None:
    made = await owner.submit(marked(own={"fallback": SILENT}, entities=[person("a", "Ana Lime")]))
    grant = telling(owner.store)
    await owner.submit(marked(own={"tlp": marks_pb2.TLP_RED}))
    for read in (
        lambda: looker.search_answer(grant, entity=LIME),
        lambda: owner.store.silent_holder(grant, made.record_id, agency=NORTH),
    ):
        with pytest.raises(StaleGrantError):
            read()


async def test_only_records_that_tell_something_beside_their_rows_are_listed_beside(owner: Desk) -> None:
    """What nobody asked for costs nothing: ordinary reports leave no row there, and superseded versions none."""

    def rows() -> int:
        return int(owner.store._driver.execute("SELECT count(*) FROM beside_index").fetchone()[0])

    await owner.submit(marked("plain", own={"reach": marks_pb2.REACH_NONE}, **SAID))
    await owner.submit(report("plain", **SAID))
    assert rows() == 0
    made = await owner.submit(marked("t", own={"fallback": POINTER}, **SAID))
    # The values of its entities, and no word.
    assert rows() == 2
    await owner.amend(made.record_id, made.etag, ["entities"], report("t"))
    assert rows() == 0


async def test_whoever_sees_the_record_hits_nothing(owner: Desk, looker: Desk) -> None:
    made = await owner.submit(marked(own={"fallback": SILENT}, entities=[person("a", "Ana Lime")]))
    answer = looker.search_answer(grant_all(owner.store), entity=LIME)
    assert [item.record_id for item in answer.items] == [made.record_id]
    assert hits(answer) == []


@pytest.mark.parametrize("name", ["_POINTERS", "_ROWS", "_LEAD", "_ALSO", "_SILENT", "_HOLDER"])
def test_no_table_is_passed_from_end_to_end(store: Store, name: str) -> None:
    statement = getattr(beside, name)
    plan = store._driver.execute(f"EXPLAIN QUERY PLAN {statement._sql}", tuple(1 for _ in statement._names))
    steps = [row[3] for row in plan.fetchall()]
    assert any(step.startswith("SEARCH") for step in steps), steps
    passed = [step for step in steps if step.startswith("SCAN") and "each_" not in step and "anon_" not in step]
    assert not passed, steps


async def test_of_more_than_a_window_the_newest_are_looked_at(
    owner: Desk, looker: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rarest of what is asked for leads: a word that every report holds does not hide one that few do."""
    made = []
    for number in range(6):
        rare = "heron" if number == 0 else "otter"
        made.append(await owner.submit(marked(f"{rare} everywhere", own={"fallback": SILENT})))
    one_more = beside._of_term.group_by(beside.beside_index.c.seq).order_by(beside.beside_index.c.seq.desc()).limit(3)
    monkeypatch.setattr(beside, "_LEAD", Prepared(one_more))
    assert hits(looked(looker, text="everywhere")) == [one.record_id for one in made[:2:-1]]
    assert hits(looked(looker, text="everywhere heron")) == [made[0].record_id]
