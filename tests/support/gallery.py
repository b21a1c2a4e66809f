"""A house full of tainted reports, and everybody who comes to look at them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import itertools
import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.decide.catalogue import MethodRule
from entente.common.v1 import marks_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.canary import Finder
from tests.support.house import House, Target, sample_request
from tests.support.live import party_named
from tests.support.tainted import (
    COMPARTMENT,
    MARKER,
    Canary,
    Sight,
    Tainted,
    canaries,
    filled,
    mosaic,
    templates,
)
from tests.support.visitors import Heard, Visitor, ask, furnished, reading, visitors

# What callers say of themselves is for the auditor alone.
REASON = f"q{MARKER}5eed5eed5"
AUTHOR = Visitor(
    party_named["neighbourhood"], party_named["neighbourhood"].roles, "INVESTIGATION", clearance="TOP_SECRET"
)
SERVICE = "/entente.report.v1.ReportService/"
# Numbers of canaries that are in no report or in many.
REASON_NUMBER, COMPARTMENT_NUMBER = -1, -2
_AT_ONCE = 16
_BROAD = {"originator", "updated_after", "updated_before", "include_retracted"}
_PAGING = {"justification", "page_size", "page_token"}


@dataclass
class Gallery:
    """The reports as they were sent, and what each visitor heard. `output` is all that the broker printed or logged."""

    house: House
    exhibits: list[Tainted] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    sights: dict[Visitor, Sight] = field(default_factory=dict)
    granted: dict[tuple[Visitor, str], bool] = field(default_factory=dict)
    output: io.StringIO = field(default_factory=io.StringIO)
    finder: Finder = field(default_factory=lambda: Finder({}))
    _shown: dict[Visitor, frozenset[int]] = field(default_factory=dict)

    @property
    def by_number(self) -> dict[int, tuple[Tainted, Canary]]:
        return {canary.number: (one, canary) for one in self.exhibits for canary in one.canaries}

    def rule(self, name: str) -> MethodRule:
        """A method of the report service."""
        found = self.house.broker.catalogue.find(SERVICE + name)
        assert found is not None
        return found

    async def open(self) -> None:
        """Hang the reports: one for each template of marks, mosaics, and what was amended or retracted."""
        for number, (name, marks) in enumerate(templates().items()):
            await self._submit(Tainted(name, filled(number, marks), AUTHOR.party.agency))
        for name in ("CLASSIFICATION_OFFICIAL", "CLASSIFICATION_SECRET"):
            level = marks_pb2.Classification.Value(name)
            await self._submit(Tainted(f"MOSAIC_{name}", mosaic(1000 * level, level), AUTHOR.party.agency))
        marks, secret = templates(), templates()["CLASSIFICATION_SECRET"]
        marks["HANDLING_CONDITION_A1"].tlp = marks_pb2.TLP_GREEN
        tightened = Tainted("TIGHTENED", filled(8000, marks["TLP_GREEN"]), AUTHOR.party.agency)
        await self._amended(tightened, marks["HANDLING_CONDITION_A1"], tighter=True)
        loosened = Tainted("LOOSENED", filled(8500, secret), AUTHOR.party.agency)
        await self._amended(loosened, marks["CLASSIFICATION_OFFICIAL"], tighter=False)
        await self._retracted(Tainted("RETRACTED", filled(9000, secret), AUTHOR.party.agency))
        number = 0
        known: set[str | bytes] = set()
        for one in reversed(self.exhibits):
            one.canaries = [c for c in canaries(one, number) if not known & set(c.forms)]
            number += len(one.canaries) + 1_000_000
            known |= {form for canary in one.canaries for form in canary.forms}
        self._number()

    def _number(self) -> None:
        forms: dict[str | bytes, int] = {REASON: REASON_NUMBER, COMPARTMENT: COMPARTMENT_NUMBER}
        ids: dict[str, int] = {}
        for number, (_, canary) in self.by_number.items():
            for form in canary.forms:
                own = canary.path in ("header.record_id", "header.etag")
                if own:
                    ids[str(form)] = number
                else:
                    assert form not in forms, f"two canaries are alike: {canary}"
                    forms[form] = number
        self.finder = Finder(forms, ids)

    async def write(self, name: str, request: Any) -> Any:
        """One granted write by the author."""
        request.idempotency_key = str(uuid.uuid4())
        heard = await ask(self.house, AUTHOR, self.rule(name), request)
        assert heard.error is None, heard.error
        return heard.rule.response_type.FromString(heard.replies[0])

    async def _submit(self, one: Tainted) -> Tainted:
        reply = await self.write("SubmitReport", report_service_pb2.SubmitReportRequest(report=one.report))
        one.record_id, one.etag = reply.record_id, reply.etag
        self.exhibits.append(one)
        return one

    async def _amended(self, first: Tainted, marks: marks_pb2.Marks, *, tighter: bool) -> None:
        """A report that got another title and other marks; tighter ones bind its past."""
        await self._submit(first)
        second = Tainted(first.name, report_pb2.Report(), first.originator, first.record_id, version=2, alone=False)
        second.report.CopyFrom(first.report)
        second.report.title = f"q{MARKER}{len(self.exhibits):03d}7e57ed"
        second.report.header.marks.CopyFrom(marks)
        first.bound_by, first.alone = marks if tighter else None, False
        request = report_service_pb2.AmendReportRequest(
            record_id=first.record_id, etag=first.etag, report=second.report
        )
        request.update_mask.paths.extend(["title", "header.marks"])
        second.etag = (await self.write("AmendReport", request)).etag
        self.exhibits.append(second)

    async def _retracted(self, first: Tainted) -> None:
        """A report of which only the head is left, with the reason."""
        await self._submit(first)
        last = Tainted(
            first.name, report_pb2.Report(), first.originator, first.record_id, version=2, retracted=True, alone=False
        )
        last.report.header.CopyFrom(first.report.header)
        last.report.header.retraction_reason = f"q{MARKER}0dd0dd0dd"
        first.past_of_retracted, first.alone = True, False
        request = report_service_pb2.RetractReportRequest(
            record_id=first.record_id, etag=first.etag, reason=last.report.header.retraction_reason
        )
        last.etag = (await self.write("RetractReport", request)).etag
        self.exhibits.append(last)

    async def visit(self) -> None:
        """Everybody comes, and asks whatever can be asked."""
        rules = reading(self.house.broker.catalogue)
        numbers = {marks: number for number, marks in self.house.broker.store.mark_sets(0)}
        for place, visitor in enumerate(dict.fromkeys((dataclasses.replace(AUTHOR, reason=REASON), *visitors(REASON)))):
            asked: list[tuple[MethodRule, Any]] = []
            for rule in rules:
                grant = await visitor.grant(self.house.broker, rule)
                sight = Sight(visitor.party.agency, grant, numbers)
                if rule.marked:
                    self.sights[visitor] = sight
                questions = self._questions(rule, visitor, place)
                # Who is refused is refused whatever is asked.
                asked += [(rule, one) for one in (questions if grant else itertools.islice(questions, 1))]
                self.granted[visitor, rule.path] = grant is not None
            for some in range(0, len(asked), _AT_ONCE):
                calls = [ask(self.house, visitor, *one) for one in asked[some : some + _AT_ONCE]]
                self.heard += await asyncio.gather(*calls)

    def _questions(self, rule: MethodRule, visitor: Visitor, place: int) -> Iterator[Any]:
        """What a visitor asks of a method: all of the reports where it is in its usual place, a few elsewhere."""
        usual = (visitor.roles, visitor.purpose) == (visitor.party.roles, visitor.party.purpose)
        one = self.exhibits[place % len(self.exhibits)]
        names = rule.request_type.DESCRIPTOR.fields_by_name
        if rule.request_type is report_service_pb2.SearchReportsRequest:
            yield from searches(one, broad=usual)
        elif "record_id" in names and rule.marked:
            for target in self.exhibits if usual else self.exhibits[place % 8 :: 8]:
                yield sample_request(rule, Target(target.record_id, target.etag), visitor.purpose)
                if "version" in names and not target.alone:
                    yield rule.request_type(record_id=target.record_id, version=target.version)
        else:
            yield sample_request(rule, Target(one.record_id, one.etag), visitor.purpose)
            if "page_size" in names and "record_id" in names:
                yield rule.request_type(record_id=self.exhibits[0].record_id, page_size=10)

    def shown(self, visitor: Visitor) -> frozenset[int]:
        """Every canary that the visitor may read somewhere."""
        if visitor not in self._shown:
            sight = self.sights[visitor]
            found = {number for one in self.exhibits for number in sight.shown(one)}
            member = COMPARTMENT in _compartments(self.house, visitor)
            self._shown[visitor] = frozenset(found | ({COMPARTMENT_NUMBER} if member else set()))
        return self._shown[visitor]


def _compartments(house: House, visitor: Visitor) -> frozenset[str]:
    facts = house.broker.store.facts(visitor.party.agency)
    return frozenset() if facts is None else facts.agency.compartments


def searches(one: Tainted, *, broad: bool = True) -> Iterator[report_service_pb2.SearchReportsRequest]:
    """Everything, then by each condition that there is, on values of one report; those that all fulfil, if `broad`."""
    report = one.report
    entities = {entity.WhichOneof("kind"): entity for entity in report.entities}
    kinds = report_service_pb2.EntityKind
    values: dict[str, list[Any]] = {
        "text": [report.title, report.tear_line, *(line.information for line in report.lines)],
        "entity": [
            report_service_pb2.EntityQuery(
                kind=kinds.Value(f"ENTITY_KIND_{kind}"), value=getattr(getattr(entities[name], name), part)
            )
            for kind, name, part in (
                ("NAME", "person", "name"),
                ("NAME", "organisation", "name"),
                ("PHONE", "phone", "number"),
                ("PLATE", "vehicle", "plate"),
                ("ACCOUNT", "account", "identifier"),
            )
            if name in entities
        ],
        "originator": [one.originator],
        "updated_after": [{"seconds": 1}],
        "updated_before": [{"seconds": 4_000_000_000}],
        "external_reference": list(report.header.external_references[:1]),
        "operation": [report.operation or "none"],
        "include_retracted": [True],
    }
    conditions = set(report_service_pb2.SearchReportsRequest.DESCRIPTOR.fields_by_name) - _PAGING
    assert values.keys() == conditions, "a new condition of search needs a value here"
    yield report_service_pb2.SearchReportsRequest()
    for name, found in values.items():
        for value in found if broad or name not in _BROAD else ():
            if value:
                yield report_service_pb2.SearchReportsRequest(**{name: value})


@contextlib.contextmanager
def overheard(into: io.StringIO) -> Iterator[None]:
    """Keeps what is printed and logged, debugging included."""
    handler = logging.StreamHandler(into)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with contextlib.redirect_stdout(into), contextlib.redirect_stderr(into):
            yield
    finally:
        root.setLevel(before)
        root.removeHandler(handler)


@contextlib.asynccontextmanager
async def gallery(directory: Path) -> AsyncIterator[Gallery]:
    """The house with its reports hung, before anybody comes."""
    output = io.StringIO()
    with overheard(output):
        async with furnished(directory) as house:
            made = Gallery(house, output=output)
            await made.open()
            yield made
