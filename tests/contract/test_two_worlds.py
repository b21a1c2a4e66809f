"""Two worlds: databases that differ only in what a caller may not see answer that caller byte for byte alike.

Declared to differ, because each answer has them anew: ids, etags and keys that the broker draws, times, sealed cursors,
and receipts but for what their entry says of the disclosure. The number of entries in the ledger is everybody's.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from broker.decide.catalogue import MethodRule
from broker.domain.errors import DecisionError
from broker.store import records, search
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.gallery import AUTHOR, Gallery, searches
from tests.support.house import Target, sample_request
from tests.support.live import party_named
from tests.support.tainted import Sight, Tainted, filled, mosaic, templates
from tests.support.visitors import Visitor, ask, furnished, reading
from tests.support.worlds import Transcript, differences, disguised

OBSERVERS = {
    str(visitor): visitor
    for visitor in (
        Visitor(party_named["liaison"], ("liaison_officer",), "INVESTIGATION"),
        Visitor(party_named["liaison"], ("liaison_officer",), "CRIME_PREVENTION"),
        Visitor(party_named["regional"], ("analyst",), "FRAUD"),
        # A colleague of the author, who is not let see sources, and has no high clearance.
        Visitor(party_named["neighbourhood"], ("officer",), "INVESTIGATION", clearance="OFFICIAL"),
    )
}


Pairs = Sequence[tuple[Tainted, report_pb2.Report | None]]
Question = tuple[MethodRule, Any, int]


def originals() -> list[Tainted]:
    """A report for each template, and a mosaic of them all."""
    agency = AUTHOR.party.agency
    made = [Tainted(name, filled(number, marks), agency) for number, (name, marks) in enumerate(templates().items())]
    return [*made, Tainted("MOSAIC", mosaic(1000, 1), agency)]


async def furnish(world: Gallery, reports: Sequence[report_pb2.Report | None]) -> list[Target]:
    """Take the reports in; every fourth is amended once, in what others see and in what they do not."""
    targets = []
    for number, report in enumerate(reports):
        if report is None:
            # Never was: an id that nobody has.
            targets.append(Target(secrets.token_hex(16), secrets.token_hex(16)))
            continue
        reply = await world.write("SubmitReport", report_service_pb2.SubmitReportRequest(report=report))
        if number % 4 == 0:
            request = report_service_pb2.AmendReportRequest(record_id=reply.record_id, etag=reply.etag)
            request.report.title = f"amended {number}"
            request.report.internal_notes = report.internal_notes
            request.update_mask.paths.extend(["title", "internal_notes"])
            reply = await world.write("AmendReport", request)
        targets.append(Target(reply.record_id, reply.etag))
    return targets


def questions(world: Gallery, compared: Pairs, part: int) -> Iterator[Question]:
    """(method, request, number of the report that it names or -1): everything that can be asked of reports.

    Of the values to search for, those of each pair's `part`: what hides in one world, and what in the other.
    """
    for rule in reading_and_writing(world):
        if rule.request_type is report_service_pb2.SearchReportsRequest:
            asked = [
                request
                for number, (one, other) in enumerate(compared)
                for report in (one.report, other)
                if report is not None and number % len(OBSERVERS) == part
                for request in searches(Tainted("", report, one.originator))
            ]
            distinct = {request.SerializeToString(deterministic=True): request for request in asked}
            yield from ((rule, request, -1) for request in (*distinct.values(), rule.request_type(page_size=3)))
        elif "record_id" in rule.request_type.DESCRIPTOR.fields_by_name:
            for number in range(len(compared)):
                yield rule, sample_request(rule, Target("", ""), "INVESTIGATION"), number
        else:
            yield rule, sample_request(rule, Target("", ""), "INVESTIGATION"), -1


async def transcript(
    world: Gallery, observer: Visitor, asked: Sequence[Question], targets: Sequence[Target]
) -> Transcript:
    """What the observer is answered; of a page, the pages after it too."""
    made = Transcript()
    for rule, question, number in asked:
        request: Any = rule.request_type()
        request.CopyFrom(question)
        if number >= 0:
            request.record_id = targets[number].record_id
        if "etag" in request.DESCRIPTOR.fields_by_name:
            request.etag = targets[number].etag
        while True:
            heard = await ask(world.house, observer, rule, request)
            made.add(f"{rule.path} {number} {str(question)[:200]}", heard)
            token = (
                ""
                if not heard.replies
                else getattr(rule.response_type.FromString(heard.replies[0]), "next_page_token", "")
            )
            if not token:
                break
            request.page_token = token
    return made


async def apart(directory: Path, name: str, only: str = "") -> tuple[int, list[Any]]:
    """How many answers were compared between two worlds of this observer, and those that differ."""
    observer, part = OBSERVERS[name], list(OBSERVERS).index(name)
    ones = originals()
    async with furnished(directory / "one") as first, furnished(directory / "other") as second:
        mine, yours = Gallery(first), Gallery(second)
        my_targets = await furnish(mine, [one.report for one in ones])
        numbers = {marks: number for number, marks in first.broker.store.mark_sets(0)}
        await first.broker.decider.refresh()
        sight = Sight(observer.party.agency, await observer.grant(first.broker, mine.rule("GetReport")), numbers)
        others = [disguised(one, sight, 20_000 + number) for number, one in enumerate(ones)]
        your_targets = await furnish(yours, others)
        changed = sum(other != one.report for one, other in zip(ones, others, strict=True))
        assert changed > len(ones) / 2, "worlds that are the same prove nothing"
        pairs = list(zip(ones, others, strict=True))
        asked = [question for question in questions(mine, pairs, part) if only in question[0].path]
        my_answers = await transcript(mine, observer, asked, my_targets)
        return len(asked), list(differences(my_answers, await transcript(yours, observer, asked, your_targets)))


@pytest.mark.parametrize("name", OBSERVERS)
async def test_worlds_that_differ_in_what_is_hidden_answer_alike(tmp_path: Path, name: str) -> None:
    count, found = await apart(tmp_path, name)
    assert not found, f"{len(found)} of {count} answers differ, the first: {found[0]}"


def row_for_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that tests the row, and not the class of the field that it looks into."""
    monkeypatch.setattr(search, "_full", lambda grant, _: grant.rows)


def telling_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that says of a hidden record that it is there."""
    sound = records.find

    def find(driver: Any, grant: Any, record_id: str, *given: Any, **named: Any) -> Any:
        found = sound(driver, grant, record_id, *given, **named)
        if found is None and records.owner(driver, record_id) is not None:
            raise DecisionError("NOT_ORIGINATOR", "ask its originator")
        return found

    monkeypatch.setattr(records, "find", find)


@pytest.mark.parametrize(("break_it", "only"), [(row_for_class, "/SearchReports"), (telling_refusal, "/GetReport")])
async def test_an_oracle_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, break_it: Callable[[pytest.MonkeyPatch], None], only: str
) -> None:
    break_it(monkeypatch)
    _, found = await apart(tmp_path, next(iter(OBSERVERS)), only)
    assert found


def reading_and_writing(world: Gallery) -> list[MethodRule]:
    """Every method that speaks of reports; of the writes those that name one, for they could tell that it is there."""
    readers = [rule for rule in reading(world.house.broker.catalogue) if rule.marked]
    writers = [rule for rule in world.house.broker.catalogue if rule.write]
    return readers + [rule for rule in writers if "record_id" in rule.request_type.DESCRIPTOR.fields_by_name]
