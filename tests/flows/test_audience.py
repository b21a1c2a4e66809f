"""Who would see what, asked beforehand, is who sees what afterwards: for each mark there is, and for everybody."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from broker.decide.catalogue import MethodRule
from broker.handle.report.audience import service
from broker.handle.report.audience.service import MOST_MARK_SETS
from certs.network import PARTIES
from entente.common.v1 import exchange_pb2, marks_pb2
from entente.report.v1 import audience_service_pb2 as wire
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support import policies
from tests.support.gallery import AUTHOR
from tests.support.house import House, reason_of
from tests.support.tainted import filled, mosaic, templates
from tests.support.visitors import Visitor, ask, furnished

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREVIEW = "/entente.report.v1.AudienceService/PreviewAudience"
REPORTS = "/entente.report.v1.ReportService/"
PURPOSES = ("INVESTIGATION", "CRIME_PREVENTION", "FRAUD", "CHILD_PROTECTION", "AUDIT")
READERS = [Visitor(party, party.roles, purpose) for party in PARTIES for purpose in PURPOSES]
READERS.append(Visitor(PARTIES[1], PARTIES[1].roles, "INVESTIGATION", authoriser="Supt. Alder"))
STRANGER = Visitor(PARTIES[1], PARTIES[1].roles, "INVESTIGATION")
NONE = (wire.AUDIENCE_LEVEL_NONE, wire.AUDIENCE_LEVEL_SILENT)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with furnished(tmp_path_factory.mktemp("audience") / "network") as made:
        yield made


def rule(place: House, path: str) -> MethodRule:
    found = place.broker.catalogue.find(path)
    assert found is not None
    return found


async def preview(place: House, by: Visitor = AUTHOR, **asked: Any) -> wire.PreviewAudienceResponse:
    heard = await ask(place, by, rule(place, PREVIEW), wire.PreviewAudienceRequest(**asked))
    if heard.error is not None:
        raise heard.error
    return wire.PreviewAudienceResponse.FromString(heard.replies[0])


async def view_of(place: House, reader: Visitor, **subject: Any) -> wire.AudienceView:
    """What one reader would see."""
    facts = wire.ReaderFacts(
        roles=reader.roles,
        clearance=reader.party.clearance,
        nationalities=[reader.party.country],
        authorised=bool(reader.authoriser),
    )
    purpose = exchange_pb2.Purpose.Value(f"PURPOSE_{reader.purpose}")
    made = await preview(place, **subject, agencies=[reader.party.agency], purposes=[purpose], reader=facts)
    (view,) = made.views
    (onlooker,) = view.onlookers
    assert (onlooker.agency, onlooker.purpose) == (reader.party.agency, purpose)
    return view


async def submitted(place: House, report: report_pb2.Report) -> str:
    rule_ = rule(place, f"{REPORTS}SubmitReport")
    request = report_service_pb2.SubmitReportRequest(report=report, idempotency_key=str(uuid.uuid4()))
    heard = await ask(place, AUTHOR, rule_, request)
    assert heard.error is None, heard.error
    return report_service_pb2.SubmitReportResponse.FromString(heard.replies[0]).record_id


async def got(place: House, reader: Visitor, record_id: str) -> report_pb2.DisclosedReport | None:
    """What the reader really gets; None: not even that it exists."""
    request = report_service_pb2.GetReportRequest(record_id=record_id)
    heard = await ask(place, reader, rule(place, f"{REPORTS}GetReport"), request)
    if heard.error is not None:
        assert heard.error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED)
        return None
    return report_service_pb2.GetReportResponse.FromString(heard.replies[0]).report


def said(fields: Any, renamed: dict[str, str]) -> list[bytes]:
    """Withheld or generalised fields, with the portions' keys as the record has them."""
    found = []
    for one in fields:
        same = type(one)()
        same.CopyFrom(one)
        del same.portions[:]
        same.portions.extend(renamed.get(key, key) for key in one.portions)
        found.append(same.SerializeToString(deterministic=True))
    return sorted(found)


def equal(view: wire.AudienceView, real: report_pb2.DisclosedReport | None, renamed: dict[str, str]) -> bool:
    if real is None:
        return view.level in NONE
    if real.HasField("pointer"):
        return view.level == wire.AUDIENCE_LEVEL_POINTER
    names = ("lines", "entities", "links")
    there = {(name, one.key) for name in names for one in getattr(real.report, name)}
    hidden = {(one.field, renamed.get(one.key, one.key)) for one in view.hidden}
    level = "FULL" if view.level == wire.AUDIENCE_LEVEL_FULL else "REDACTED"
    return (
        exchange_pb2.DisclosureLevel.Name(real.disclosure.level) == f"DISCLOSURE_LEVEL_{level}"
        and said(view.withheld, renamed) == said(real.disclosure.withheld, {})
        and said(view.generalised, renamed) == said(real.disclosure.generalised, {})
        and not hidden & there
        and len(hidden | there) == len(renamed)
    )


def drafts() -> list[tuple[str, report_pb2.Report]]:
    made = [(name, filled(number, marks)) for number, (name, marks) in enumerate(templates().items())][::5]
    levels = ("CLASSIFICATION_OFFICIAL", "CLASSIFICATION_SECRET")
    values = [(name, marks_pb2.Classification.Value(name)) for name in levels]
    return [*made, *((f"MOSAIC_{name}", mosaic(7000 * level, level)) for name, level in values)]


@pytest.mark.parametrize(("name", "draft"), drafts(), ids=lambda one: one if isinstance(one, str) else "")
async def test_what_is_previewed_is_what_is_read(place: House, name: str, draft: report_pb2.Report) -> None:
    """MUST 1: the draft's preview, then the stored report's, and what each reader really gets."""
    sent = report_pb2.Report()
    sent.CopyFrom(draft)
    before = [await view_of(place, reader, report=draft) for reader in READERS]
    record_id = await submitted(place, sent)
    own = await got(place, AUTHOR, record_id)
    assert own is not None
    names = ("lines", "entities", "links")
    drafted = [one.key for field in names for one in getattr(draft, field)]
    stored = [one.key for field in names for one in getattr(own.report, field)]
    renamed = dict(zip(drafted, stored, strict=True))
    for reader, view in zip(READERS, before, strict=True):
        real = await got(place, reader, record_id)
        assert equal(view, real, renamed), f"{name}: {reader}\n{view}\n{real}"
    for reader in READERS[::3]:
        again, real = await view_of(place, reader, record_id=record_id), await got(place, reader, record_id)
        assert equal(again, real, dict(zip(stored, stored, strict=True))), f"{name}: {reader}, once stored"


async def test_a_preview_leaves_nothing_behind(place: House) -> None:
    """MUST 3."""
    store, decider = place.broker.store, place.broker.decider
    marks, newest = len(store.mark_sets(0)), store.newest_change()
    draft = filled(
        1,
        marks_pb2.Marks(
            classification=marks_pb2.CLASSIFICATION_OFFICIAL,
            handling_code=marks_pb2.HANDLING_CODE_P,
            tlp=marks_pb2.TLP_GREEN,
        ),
    )
    draft.header.marks.releasable_to.agencies.append("police.example/never-used-before")
    made = await preview(place, report=draft)
    assert made.views
    assert len(store.mark_sets(0)) == marks
    assert store.newest_change() == newest
    assert decider.policy.bundle.revision == made.policy_revision


async def test_every_agency_of_the_directory_is_told_and_pages_add_up(place: House) -> None:
    draft = filled(
        2,
        marks_pb2.Marks(
            classification=marks_pb2.CLASSIFICATION_OFFICIAL,
            handling_code=marks_pb2.HANDLING_CODE_P,
            tlp=marks_pb2.TLP_GREEN,
        ),
    )
    whole = await preview(place, report=draft)
    everybody = {(one.agency, one.purpose) for view in whole.views for one in view.onlookers}
    assert {agency for agency, _ in everybody} == {one.name for one in place.broker.store.agencies("", 100)}
    assert len({purpose for _, purpose in everybody}) == 7
    paged: set[tuple[str, int]] = set()
    token = ""
    while True:
        page = await preview(place, report=draft, page_size=2, page_token=token)
        found = {(one.agency, one.purpose) for view in page.views for one in view.onlookers}
        assert not found & paged
        paged |= found
        token = page.next_page_token
        if not token:
            break
    assert paged == everybody


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda report: report.header.marks.ClearField("classification"), "REQUEST_INVALID"),
        (lambda report: report.header.marks.compartments.append("not-ours"), "REQUEST_INVALID"),
        (
            lambda report: report.lines[0].marks.CopyFrom(
                marks_pb2.Marks(classification=marks_pb2.CLASSIFICATION_OFFICIAL)
            ),
            "MARKS_TOO_LOOSE",
        ),
        (lambda report: report.entities[0].__setattr__("key", report.entities[1].key), "REQUEST_INVALID"),
        (lambda report: setattr(report.header, "originator", "police.example/other"), "REQUEST_INVALID"),
    ],
)
async def test_a_draft_is_refused_as_it_would_be_when_submitted(place: House, change: Any, reason: str) -> None:
    """MUST 2."""
    draft = filled(
        3, marks_pb2.Marks(classification=marks_pb2.CLASSIFICATION_SECRET, handling_code=marks_pb2.HANDLING_CODE_P)
    )
    change(draft)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await preview(place, report=draft)
    assert reason_of(refused.value).reason == reason


async def test_nobody_previews_anothers_report(place: House) -> None:
    """A report of another agency, visible or not, is answered like one that is missing."""
    record_id = await submitted(place, filled(904, templates()["TLP_GREEN"]))
    assert await got(place, STRANGER, record_id) is not None
    answers = []
    for wanted in (record_id, "0" * 32):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await preview(place, by=STRANGER, record_id=wanted)
        answers.append((refused.value.code(), refused.value.details()))
    assert answers == [(grpc.StatusCode.NOT_FOUND, "there is no such report, or it is hidden from you")] * 2


async def test_an_own_portion_that_the_caller_cannot_see_is_not_in_its_preview(place: House) -> None:
    """An officer of the own agency without the clearance learns nothing of a SECRET line by previewing the report."""
    draft = filled(
        905, marks_pb2.Marks(classification=marks_pb2.CLASSIFICATION_OFFICIAL, handling_code=marks_pb2.HANDLING_CODE_P)
    )
    draft.lines[0].marks.classification = marks_pb2.CLASSIFICATION_SECRET
    record_id = await submitted(place, draft)
    low = Visitor(AUTHOR.party, AUTHOR.roles, "INVESTIGATION", clearance="OFFICIAL")
    seen = await got(place, low, record_id)
    assert seen is not None
    made = await preview(place, by=low, record_id=record_id)
    known = {one.key for name in ("lines", "entities", "links") for one in getattr(seen.report, name)}
    named = {one.key for view in made.views for one in view.hidden}
    fields: list[Any] = [one for view in made.views for one in (*view.withheld, *view.generalised)]
    named |= {key for one in fields for key in one.portions}
    assert named <= known


def crowded(seed: int, portions: int) -> report_pb2.Report:
    """As many lines and entities, each with marks that no other has: nobody but the author's own and one agency."""
    draft = report_pb2.Report(title="t")
    draft.header.marks.CopyFrom(templates()["TLP_GREEN"])
    for number in range(portions):
        one = draft.entities.add(key=f"e{number}")
        one.person.name = f"Ana Lime {number}"
        one.marks.releasable_to.agencies.append(f"police.example/unit-{seed}-{number}")
    return draft


async def test_a_preview_of_more_combinations_of_marks_than_it_looks_at_is_refused(place: House) -> None:
    """MUST 5: nothing bounds what a draft names, for nothing of it is kept; each costs every reader's decision."""
    assert (await preview(place, report=crowded(1, MOST_MARK_SETS - 1), page_size=1)).views
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await preview(place, report=crowded(1, MOST_MARK_SETS))
    assert reason_of(refused.value).reason == "LIMIT_EXCEEDED"


async def test_a_page_ends_where_it_has_looked_at_enough(place: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST 5: a large report is told in more pages, and they add up."""
    monkeypatch.setattr(service, "MOST_LOOKS", 50)
    draft = crowded(2, 30)
    everybody = {one.name for one in place.broker.store.agencies("", 100)}
    told: list[str] = []
    token = ""
    while True:
        page = await preview(place, report=draft, page_size=60, page_token=token)
        found = sorted({one.agency for view in page.views for one in view.onlookers})
        assert len(found) == 1
        told += found
        token = page.next_page_token
        if not token:
            break
    assert told == sorted(everybody)


async def test_a_preview_is_of_one_policy(place: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST 1: where another is adopted while it is made, it is made anew. The last test: the policy stays."""
    bundle = policies.stricter()
    readers = place.broker.pipeline.handlers[PREVIEW].__self__  # type: ignore[attr-defined]
    over, looks = readers._audience.over, []

    class Slow:
        def __init__(self, onlookers: Any) -> None:
            self.onlookers = onlookers

        async def look(self, reader: Any) -> Any:
            looks.append(reader)
            sight = await self.onlookers.look(reader)
            if len(looks) == 7:
                await policies.adopt(place, bundle)
            return sight

    monkeypatch.setattr(readers._audience, "over", lambda *given: Slow(over(*given)))
    draft = filled(7, templates()["TLP_GREEN"])
    made = await preview(place, report=draft)
    assert made.policy_revision == bundle.revision
    assert made.views == (await preview(place, report=draft)).views
