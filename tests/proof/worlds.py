"""Two live brokers that differ only in what one observer may not see, and everything that the observer can ask them.

Declared to differ, because each broker or answer has them anew, whatever is hidden:

- ids, etags, portion keys: drawn at random; compared by the order in which they appear;
- times: the clock's; receipts: signed, salted, and numbered in a log that everybody writes to; of their entries all
  that is said of the disclosure is compared (`tests.support.worlds.Transcript`);
- page tokens and cursors: sealed under a fresh nonce; their length is compared.

What docs/guarantees.md says is told, both worlds have alike: the versions of a report that the observer sees; keys and
references of the observer's own agency.
"""

from __future__ import annotations

import random
import secrets
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from broker.decide.catalogue import MethodRule
from entente.common.v1 import record_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.proof.disguise import other_world, shuffled
from tests.proof.judgement import sight
from tests.proof.population import Person, Population
from tests.proof.town import Kept, Town, town
from tests.support.gallery import searches
from tests.support.tainted import Tainted, filled
from tests.support.visitors import Heard, Visitor, exchange
from tests.support.worlds import Transcript, differences

Wire = report_service_pb2
Asked = tuple[str, Any, int]
NOWHERE = "0" * 32


@dataclass
class Stocked:
    """A report as both worlds have it (None: not there), and what befalls it afterwards, in each."""

    author: Person
    key: str
    one: report_pb2.Report
    other: report_pb2.Report | None
    kept: Kept
    hidden: bool
    amended: bool = False
    # Of a report that is hidden from the observer: amended and withdrawn in one world alone.
    only_here: tuple[str, ...] = ()


@dataclass
class World:
    """One of the two. `targets`: (id, etag) of each report, drawn for those that are not there."""

    place: Town
    targets: list[tuple[str, str]] = field(default_factory=list)

    async def write(self, person: Person, method: str, request: Any) -> Any:
        """A write that is granted."""
        rule = self.place.rule(method)
        heard = await self.hear(person, rule, request)
        assert heard.error is None, heard.error
        return rule.response_type.FromString(heard.replies[0])

    async def hear(self, person: Person, rule: MethodRule, request: Any) -> Heard:
        """A call, and everything that came of it."""
        whole = request.start if rule.client_streaming else request
        if "justification" in whole.DESCRIPTOR.fields_by_name:
            whole.justification.CopyFrom(self.place.justification(person).to_message())
        visitor = Visitor(person.party, (), person.reader.purpose)
        heard = Heard(visitor, rule, request.SerializeToString(deterministic=True))
        await exchange(self.place.house, heard, (("authorization", f"Bearer {self.place.token(person)}"),))
        return heard


def plan(population: Population, observer: Person, reports: int, seed: int) -> list[Stocked]:
    """What is shared in both worlds, and how the other one differs."""
    rnd, made = random.Random(seed), []
    placed = [one for one in population.agencies if one.level]
    for number in range(reports):
        author = population.author(placed[number % len(placed)])
        kept = Town.drafted(population, author, 90_000 + 1_000 * seed + number)
        hidden = sight(observer.reader, kept) == "hidden"
        stock = Stocked(
            author,
            str(uuid.UUID(int=rnd.getrandbits(128), version=4)),
            kept.report,
            other_world(observer.reader, kept, 1_000 * seed + number),
            kept,
            hidden,
            amended=number % 4 == 0,
            only_here=tuple(rnd.sample(("AmendReport", "RetractReport"), rnd.choice((0, 1, 2)))) if hidden else (),
        )
        made.append(stock)
    return made


async def furnish(world: World, stocked: Sequence[Stocked], *, here: bool) -> None:
    """Share the reports of one world (`here`) or of the other."""
    for one in stocked:
        report = one.one if here else one.other
        if report is None:
            world.targets.append((secrets.token_hex(16), secrets.token_hex(16)))
            continue
        request: Any = Wire.SubmitReportRequest(report=report, idempotency_key=one.key)
        reply = await world.write(one.author, "SubmitReport", request)
        target = (reply.record_id, reply.etag)
        if one.amended:
            target = await _change(world, one, target, "AmendReport")
        if here:
            for method in sorted(one.only_here):
                target = await _change(world, one, target, method)
        world.targets.append(target)


async def _change(world: World, one: Stocked, target: tuple[str, str], method: str) -> tuple[str, str]:
    record_id, etag = target
    rule = world.place.rule(method)
    request: Any = rule.request_type(record_id=record_id, etag=etag, idempotency_key=str(uuid.uuid4()))
    if method == "RetractReport":
        request.reason = "entered in error"
    else:
        request.report.title = f"amended {one.key[:8]}"
        request.update_mask.paths.append("title")
    reply = await world.write(one.author, method, request)
    return reply.record_id, reply.etag


def questions(stocked: Sequence[Stocked], observer: Person, seed: int) -> Iterator[Asked]:
    """(method, request, number of the report that it names or -1): reads, then writes that change nothing or little."""
    rnd = random.Random(seed)
    for number in range(len(stocked)):
        yield "GetReport", Wire.GetReportRequest(), number
        yield "GetReport", Wire.GetReportRequest(version=rnd.choice((1, 2, 3, 2**63))), number
        yield "ListReportVersions", Wire.ListReportVersionsRequest(page_size=1), number
    for size in (1, 3, 1000):
        yield "SearchReports", Wire.SearchReportsRequest(page_size=size, include_retracted=size == 3), -1
    yield from _searches(rnd, stocked)
    follow = Wire.SubscribeReportsRequest()
    follow.start.SetInParent()
    yield "SubscribeReports", follow, -1
    for name in {one.author.reader.agency for one in stocked}:
        follow = Wire.SubscribeReportsRequest()
        follow.start.originator = name
        yield "SubscribeReports", follow, -1
    for number in range(len(stocked)):
        yield from _writes(number)
    yield from _own_writes(stocked, observer, seed)


def _searches(rnd: random.Random, stocked: Sequence[Stocked]) -> Iterator[Asked]:
    """By every condition, on values of one world and of the other; some conditions joined."""
    found: dict[bytes, Any] = {}
    for one in stocked:
        for report in (one.one, one.other):
            if report is not None:
                tainted = Tainted("", report, one.kept.container.originator)
                for request in shuffled(rnd, list(searches(tainted)), 5):
                    found[request.SerializeToString(deterministic=True)] = request
    asked = list(found.values())
    for request in asked:
        yield "SearchReports", request, -1
    for _ in range(len(asked) // 4):
        joined = Wire.SearchReportsRequest(page_size=rnd.choice((1, 2)))
        for request in rnd.sample(asked, 2):
            joined.MergeFrom(request)
        yield "SearchReports", joined, -1


# What goes with the mask and is not sent, is to be taken away: as far as the observer sees it.
_MASKS = (("title", "internal_notes", "entities"), ("lines",), ("links", "title"), ("links", "entities"))


def _writes(number: int) -> Iterator[Asked]:
    """Of a report that may be hidden, foreign, missing or withdrawn, with the right etag and with a wrong one."""
    for etag in ("", NOWHERE):
        amend = Wire.AmendReportRequest(etag=etag, idempotency_key=str(uuid.UUID(int=number + 1, version=4)))
        amend.update_mask.paths.extend(_MASKS[number % len(_MASKS)])
        amend.report.title = "changed"
        yield "AmendReport", amend, number
        yield (
            "RetractReport",
            Wire.RetractReportRequest(etag=etag, idempotency_key=amend.idempotency_key, reason="no"),
            number,
        )


def _own_writes(stocked: Sequence[Stocked], observer: Person, seed: int) -> Iterator[Asked]:
    """Reports of the observer's own, under keys and references that others have used or not."""
    marks = stocked[0].one.header.marks
    others = [one for one in stocked if one.kept.container.originator != observer.reader.agency]
    for number, one in enumerate(others[:8]):
        report = filled(70_000 + 100 * seed + number, marks)
        report.header.marks.Clear()
        report.header.marks.classification, report.header.marks.handling_code = 1, 1
        del report.lines[:], report.entities[:], report.links[:]
        del report.header.external_references[:], report.header.derived_from[:]
        for held in one.one.header.external_references[:1]:
            report.header.external_references.append(
                record_pb2.ExternalReference(source=held.source, reference=held.reference)
            )
        submit = Wire.SubmitReportRequest(report=report, idempotency_key=one.key)
        yield "SubmitReport", submit, -1
        # The same again is the first answer; another body is a conflict.
        yield "SubmitReport", submit, -1
        other = Wire.SubmitReportRequest()
        other.CopyFrom(submit)
        other.report.title = "another"
        yield "SubmitReport", other, -1
    yield "SearchReports", Wire.SearchReportsRequest(page_size=2, include_retracted=True), -1


async def transcript(world: World, observer: Person, asked: Sequence[Asked]) -> Transcript:
    """What the observer is answered; of a page, the pages after it too, and its token in a strange place."""
    made = Transcript()
    for method, question, number in asked:
        rule = world.place.rule(method)
        request: Any = rule.request_type()
        request.CopyFrom(question)
        if number >= 0:
            request.record_id, etag = world.targets[number]
            if "etag" in request.DESCRIPTOR.fields_by_name:
                request.etag = request.etag or etag
        said = f"{method} {number} {str(question)[:200]}"
        while True:
            heard = await world.hear(observer, rule, request)
            assert heard.error is None or heard.error.code() != grpc.StatusCode.INTERNAL, f"{said}: {heard.error}"
            made.add(said, heard)
            token = _token(rule, heard)
            if not token:
                break
            if method == "SearchReports" and not request.page_token:
                strange = Wire.SearchReportsRequest(page_token=token, operation="another")
                made.add(f"{said}, its token elsewhere", await world.hear(observer, rule, strange))
            request.page_token = token
    return made


def _token(rule: MethodRule, heard: Heard) -> str:
    found = "" if not heard.replies else getattr(rule.response_type.FromString(heard.replies[0]), "next_page_token", "")
    return str(found)


@asynccontextmanager
async def both(directory: Path, population: Population) -> AsyncIterator[tuple[World, World]]:
    """Two brokers of one population, with the same secrets: what is drawn from those is alike."""
    async with town(directory / "one", population) as first:
        keys = directory / "one" / "data" / "keys"
        async with town(directory / "other", population, keys=keys) as second:
            yield World(first), World(second)


@dataclass(frozen=True)
class Compared:
    """So many answers of two worlds, and where they part."""

    answers: int
    changed: int
    found: tuple[Any, ...]


async def compare(directory: Path, seed: int, *, reports: int) -> Compared:
    """One observer, two worlds, all questions."""
    population = Population.of(seed, readers=9)
    observer = _observer(population, seed)
    stocked = plan(population, observer, reports, seed)
    changed = sum(one.one != one.other for one in stocked)
    assert changed > reports / 2, "worlds that are the same prove nothing"
    async with both(directory, population) as (first, second):
        await furnish(first, stocked, here=True)
        await furnish(second, stocked, here=False)
        asked = list(questions(stocked, observer, seed))
        mine = await transcript(first, observer, asked)
        yours = await transcript(second, observer, asked)
    return Compared(len(mine.said), changed, tuple(differences(mine, yours)))


def _observer(population: Population, seed: int) -> Person:
    """Somebody of an agency that is placed, who reads and writes: the one who asks most."""
    able = [one for one in population.people if one.reader.level and one.reader.purpose in one.reader.token_purposes]
    reading = [one for one in able if one.reader.roles & {"officer", "analyst", "liaison_officer", "source_handler"}]
    return reading[seed % len(reading)]
