"""Refusals repeat nothing: no value that a caller sent is in an error, in the ledger, in a log, or in the audit index.

Every string field of every method's request is broken in every way that its type allows, each holding a canary; then
every rule beyond the fields: looseness, repeated keys and references, links without ends, stale etags, keys used twice.
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from broker.app import SERVICES
from broker.decide.catalogue import Catalogue, MethodRule
from broker.domain.answer import Call
from broker.domain.errors import BrokerError
from entente.common.v1 import marks_pb2
from tests.support.canary import Finder, plain
from tests.support.gallery import AUTHOR, SERVICE, overheard
from tests.support.house import House, Target, reason_of, sample_request
from tests.support.live import party_named
from tests.support.tainted import MARKER, filled, templates
from tests.support.visitors import Heard, Visitor, exchange, furnished

pytestmark = pytest.mark.asyncio(loop_scope="module")

RULES = tuple(Catalogue.from_descriptors(SERVICES))
INSPECTOR = Visitor(party_named["auditor"], party_named["auditor"].roles, "AUDIT")
WORD = f"q{MARKER}bada55e5e"
# Fits no pattern and is longer than any field may be; it holds the canary over and over.
ODD = f"{WORD} \u00e9\n"
LONG = WORD * 3000


class Place:
    """A house, all that it prints, and one report whose every field is a canary."""

    def __init__(self, house: House, output: io.StringIO) -> None:
        self.house = house
        self.output = output
        self.report = filled(77, templates()["CLASSIFICATION_OFFICIAL"])
        forms: dict[str | bytes, int] = {WORD: 0}
        for number, value in enumerate(scalars(self.report), 1):
            forms |= {form: number for form in plain(value) if len(form) >= 8 and MARKER in str(value)}
        self.finder = Finder(forms)
        self.target = Target("", "")

    def rule(self, name: str) -> MethodRule:
        return next(rule for rule in RULES if rule.path == SERVICE + name)

    async def ask(self, visitor: Visitor, rule: MethodRule, request: Any) -> Heard:
        visitor.justify(request)
        return await self.send(Heard(visitor, rule, request.SerializeToString()))

    async def send(self, heard: Heard, metadata: Any = None) -> Heard:
        with overheard(self.output):
            await exchange(self.house, heard, heard.visitor.metadata(self.house) if metadata is None else metadata)
        return heard

    async def submit(self, change: Callable[[Any], None] = lambda _: None, *, key: str = "") -> Heard:
        request: Any = self.rule("SubmitReport").request_type(idempotency_key=key or str(uuid.uuid4()))
        request.report.CopyFrom(self.report)
        change(request.report)
        return await self.ask(AUTHOR, self.rule("SubmitReport"), request)

    async def amend(self, **changes: Any) -> Heard:
        values = {"record_id": self.target.record_id, "etag": self.target.etag, "idempotency_key": str(uuid.uuid4())}
        request: Any = self.rule("AmendReport").request_type(**{**values, **changes})
        if not request.HasField("report"):
            request.report.title = WORD
        return await self.ask(AUTHOR, self.rule("AmendReport"), request)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with furnished(tmp_path_factory.mktemp("refusals") / "network") as house:
        made = Place(house, io.StringIO())
        made.target = taken_in(await made.submit())
        yield made


def taken_in(heard: Heard) -> Target:
    """The report that a submission made."""
    reply: Any = heard.rule.response_type.FromString(heard.replies[0])
    return Target(reply.record_id, reply.etag)


def scalars(message: Message) -> Iterator[object]:
    """Every value in a message, at any depth."""
    for one, held in message.ListFields():
        for value in held if one.is_repeated else [held]:
            if one.message_type is None:
                yield value
            else:
                yield from scalars(value)


def texts(message: Message, prefix: str = "") -> Iterator[tuple[str, Message, FieldDescriptor]]:
    """(path, message, field) of every string field of a message, in what it holds too."""
    for one in message.DESCRIPTOR.fields:
        if one.type == FieldDescriptor.TYPE_STRING:
            yield prefix + one.name, message, one
    for one, held in message.ListFields():
        if one.message_type is not None and one.message_type.full_name != "google.protobuf.Timestamp":
            for value in list(held)[:9] if one.is_repeated else [held]:
                yield from texts(value, f"{prefix}{one.name}.")


def spoilt(one: FieldDescriptor, message: Message, text: str) -> None:
    if one.is_repeated:
        getattr(message, one.name).extend([text, text])
    else:
        setattr(message, one.name, text)


def whole_request(place: Place, rule: MethodRule) -> Any:
    """A valid request with every field of a report in it, where it takes one."""
    request: Any = sample_request(rule, place.target, visitor_of(rule).purpose)
    if "report" in request.DESCRIPTOR.fields_by_name:
        request.report.CopyFrom(place.report)
    return request


def visitor_of(rule: MethodRule) -> Visitor:
    return INSPECTOR if rule.permission == "AUDIT_READ" else AUTHOR


def silent(place: Place, heard: Heard, since: int) -> None:
    """Nothing of what was sent is in the refusal, nor in what the ledger says of it."""
    assert not place.finder.find(b"\n".join(heard.around)), heard.error
    leaves = place.house.leaves(since)
    assert leaves
    assert not place.finder.find(json.dumps(leaves).encode())


async def refused(place: Place, heard: Heard, since: int, reason: str) -> None:
    assert heard.error is not None
    assert reason_of(heard.error).reason == reason
    silent(place, heard, since)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.path.rpartition("/")[2])
async def test_no_string_field_is_repeated(place: Place, rule: MethodRule) -> None:
    """Each string field of the request, too long, out of its pattern, and as one word that may well be valid."""
    count = len(list(texts(whole_request(place, rule))))
    refusals = 0
    for number in range(count):
        for text in (ODD, LONG, WORD):
            request = whole_request(place, rule)
            _, message, one = list(texts(request))[number]
            spoilt(one, message, text)
            since = len(place.house.broker.ledger)
            heard = await place.send(Heard(visitor_of(rule), rule, request.SerializeToString()))
            silent(place, heard, since)
            refusals += heard.error is not None
    assert (refusals > 0) == (count > 0)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.path.rpartition("/")[2])
async def test_nothing_that_does_not_parse_is_repeated(place: Place, rule: MethodRule) -> None:
    """Unknown fields, broken bytes, and tokens that are none."""
    good = whole_request(place, rule).SerializeToString()
    canary = WORD.encode()
    unknown = b"\xfa\x3f" + bytes([len(canary)]) + canary
    metadata = visitor_of(rule).metadata(place.house)
    for request, sent, reason in (
        (good + unknown, metadata, "FIELD_UNKNOWN"),
        (canary + b"\xff", metadata, "REQUEST_MALFORMED"),
        (good, (("authorization", f"Bearer {WORD}"),), "TOKEN_MALFORMED"),
        (good, (("authorization", f"Bearer {WORD}.{WORD}.{WORD}"),), "TOKEN_MALFORMED"),
    ):
        since = len(place.house.broker.ledger)
        heard = await place.send(Heard(visitor_of(rule), rule, request), sent)
        await refused(place, heard, since, reason)


def loosen(report: Any) -> None:
    report.header.marks.tlp = marks_pb2.TLP_RED
    for portion in (*report.lines, *report.entities, *report.links):
        portion.marks.tlp = marks_pb2.TLP_CLEAR


def repeat(name: str) -> Callable[[Any], None]:
    def change(report: Any) -> None:
        getattr(report, name).add().CopyFrom(getattr(report, name)[0])

    return change


def dangle(report: Any) -> None:
    report.links[0].from_key = WORD


def above(report: Any) -> None:
    report.header.marks.compartments.append(WORD)


REFERENCE = "header.external_references"
BROKEN: dict[str, tuple[Callable[[Any], None], str]] = {
    "loose": (loosen, "MARKS_TOO_LOOSE"),
    "line twice": (repeat("lines"), "REQUEST_INVALID"),
    "entity twice": (repeat("entities"), "REQUEST_INVALID"),
    "link twice": (repeat("links"), "REQUEST_INVALID"),
    "link without an end": (dangle, "REQUEST_INVALID"),
    "another's compartment": (above, "REQUEST_INVALID"),
    "reference twice": (lambda report: repeat("external_references")(report.header), "REQUEST_INVALID"),
    "reference taken": (lambda report: None, "EXTERNAL_REFERENCE_EXISTS"),
    "set by the broker": (lambda report: setattr(report.header, "etag", WORD), "REQUEST_INVALID"),
    "reason of a retraction": (lambda report: setattr(report.header, "retraction_reason", WORD), "REQUEST_INVALID"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_no_broken_report_is_repeated(place: Place, name: str) -> None:
    change, reason = BROKEN[name]
    since = len(place.house.broker.ledger)
    await refused(place, await place.submit(change), since, reason)


async def test_no_conflict_repeats_what_was_sent(place: Place) -> None:
    """A stale etag, a mask that does not fit, a key used twice, a record that is not there."""
    since = len(place.house.broker.ledger)
    place.target = taken_in(await place.submit(lambda report: report.header.ClearField("external_references")))
    mask = {"update_mask": {"paths": ["title"]}}
    await refused(place, await place.amend(etag=WORD, **mask), since, "ETAG_STALE")
    await refused(place, await place.amend(update_mask={"paths": [WORD]}), since, "UPDATE_MASK_INVALID")
    await refused(place, await place.amend(record_id=f"{MARKER:0<32}", **mask), since, "NOT_FOUND")
    key = str(uuid.uuid4())
    fresh = {"header": {"marks": {"classification": "CLASSIFICATION_OFFICIAL", "handling_code": "HANDLING_CODE_P"}}}
    first: Any = place.rule("SubmitReport").request_type(idempotency_key=key, report={"title": WORD, **fresh})
    assert (await place.ask(AUTHOR, place.rule("SubmitReport"), first)).error is None
    await refused(place, await place.submit(key=key), since, "IDEMPOTENCY_KEY_REUSED")


async def test_no_crash_repeats_what_broke_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect whose message holds values: INTERNAL and the exchange id, and in the log the place alone."""

    def crash(call: Call) -> Any:
        raise KeyError(f"{WORD} {call.request}")

    def complain(call: Call) -> Any:
        raise BrokerError("INTERNAL", "the broker failed", detail=f"{WORD} {call.request}")

    handlers: Any = place.house.broker.pipeline.handlers
    for broken in (crash, complain):
        monkeypatch.setitem(handlers, SERVICE + "SubmitReport", broken)
        since = len(place.house.broker.ledger)
        await refused(place, await place.submit(), since, "INTERNAL")
    assert "defect" in place.output.getvalue()


async def test_after_all_this_nothing_is_logged_or_indexed(place: Place) -> None:
    """After all the others: what was printed, and every file but the store's."""
    await place.ask(INSPECTOR, next(r for r in RULES if r.path.endswith("SearchAuditEntries")), audit_search())
    assert not place.finder.find(place.output.getvalue().encode())
    data = place.house.directory / "data"
    holding = {path.name for path in data.rglob("*") if path.is_file() and place.finder.find(path.read_bytes())}
    assert {name.split(".")[0] for name in holding} == {"store"}


def audit_search() -> Any:
    rule = next(rule for rule in RULES if rule.path.endswith("SearchAuditEntries"))
    return rule.request_type(page_size=1)
