"""How far a report reaches: part of taking it in, of changing it, and of every version that it had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.domain.errors import RequestError
from broker.domain.marks import REACH_ORDER, MarkSet
from broker.handle.report.binding import bound, tightened
from broker.store.store import Store
from entente.common.v1 import marks_pb2, record_pb2
from entente.report.v1 import report_pb2
from tests.support.reports import Desk, line, marks, open_store, report

NAMES = [name for name in REACH_ORDER if name]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


def reaching(name: str) -> marks_pb2.Reach.ValueType:
    return marks_pb2.Reach.Value(f"REACH_{name or 'UNSPECIFIED'}")


def marked(record: str, portion: str = "", **more: Any) -> report_pb2.Report:
    """A report that reaches so far, and its line."""
    own = {"marks": marks_pb2.Marks(reach=reaching(portion))} if portion else {}
    header = record_pb2.RecordHeader(marks=marks(reach=reaching(record)))
    return report("t", header=header, lines=[line("1", "crates", **own)], **more)


def stored(desk: Desk, record_id: str, version: int | None = None) -> tuple[str, list[str]]:
    """How far a version and its lines reach, as the store has it."""
    sets = dict(desk.store.mark_sets(0))
    (item,) = desk.get(record_id, version).items
    return sets[item.mark_set].reach, [sets[number].reach for number in item.portion_mark_sets]


@pytest.mark.parametrize("record", ["", *NAMES])
async def test_a_portion_never_reaches_further_than_its_report(desk: Desk, record: str) -> None:
    for portion in ("", *NAMES):
        await _taken_or_refused(desk, record, portion)


async def _taken_or_refused(desk: Desk, record: str, portion: str) -> None:
    if portion and REACH_ORDER.index(portion) < REACH_ORDER.index(record):
        with pytest.raises(RequestError, match="MARKS_TOO_LOOSE") as refused:
            await desk.submit(marked(record, portion))
        assert [path for path, _ in refused.value.fields] == ["report.lines[0].marks.reach"]
        return
    made = await desk.submit(marked(record, portion))
    assert stored(desk, made.record_id) == (record, [portion or record])


@pytest.mark.parametrize("before", ["", *NAMES])
async def test_a_change_of_reach_binds_lines_and_the_past(desk: Desk, before: str) -> None:
    """Tightened, the past is as tight; loosened, it stays as it was, and a line that said so itself does too."""
    for after in ("", *NAMES):
        await _changed(desk, before, after)


async def _changed(desk: Desk, before: str, after: str) -> None:
    made = await desk.submit(marked(before))
    kept = await desk.submit(marked(before, "NONE"))
    for one in (made, kept):
        changed = report("t", header=record_pb2.RecordHeader(marks=marks(reach=reaching(after))))
        await desk.amend(one.record_id, one.etag, ["header.marks"], changed)
    tighter = max(before, after, key=REACH_ORDER.index)
    assert stored(desk, made.record_id) == (after, [after])
    assert stored(desk, made.record_id, 1) == (tighter, [tighter])
    assert stored(desk, kept.record_id) == (after, ["NONE"])
    assert stored(desk, kept.record_id, 1) == (tighter, ["NONE"])


def test_binding_takes_the_shorter_reach() -> None:
    for one in REACH_ORDER:
        for other in REACH_ORDER:
            mine, theirs = (
                MarkSet("report", "a.b/c", "SECRET", handling_code="P", reach=reach) for reach in (one, other)
            )
            shorter = max(one, other, key=REACH_ORDER.index)
            assert bound(mine, theirs).reach == shorter
            assert tightened(mine, theirs).reach == shorter
            assert bound(mine, bound(mine, theirs)) == bound(mine, theirs)
