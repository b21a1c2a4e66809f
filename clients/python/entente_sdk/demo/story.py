"""The story, step by step: from the street to strategic and abroad. Each step asserts what it tells.

What every party was handed of each record is kept for the table that follows.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field

from entente.report.v1 import hit_service_pb2 as hit_wire
from entente.report.v1 import report_pb2
from entente_sdk.answers import Receipt
from entente_sdk.demo import data
from entente_sdk.demo.cast import TOLD_SECONDS, Cast, Member, Told
from entente_sdk.demo.checks import expect
from entente_sdk.demo.fields import View, leaves
from entente_sdk.demo.screen import Screen
from entente_sdk.demo.table import Section
from entente_sdk.errors import NotFoundError
from entente_sdk.queries import ReportQuery


@dataclass
class Story:
    """The steps share the cast, the records' ids and what happened."""

    cast: Cast
    screen: Screen
    street: str = ""
    assessment: str = ""
    released: str = ""
    liaison_receipt: Receipt | None = None
    happened: list[tuple[str, Told]] = field(default_factory=list)

    async def watch(self) -> None:
        """Everybody follows changes; the auditor may not."""
        with self.screen.step("Everybody watches for changes"):
            for member in self.cast.readers:
                await member.granted(member.watcher.start())
                self.screen.granted(f"{member.name} ({member.party.agency}) watches, for {member.why.purpose}.")
            auditor = self.cast["auditor"]
            error = await auditor.refused(auditor.watcher.start())
            self.screen.denied(f"auditor may not: {error.message}")

    async def submit(self) -> None:
        """The neighbourhood officer reports from the street."""
        officer = self.cast["neighbourhood"]
        with self.screen.step("A neighbourhood officer submits a street report"):
            answer = await officer.granted(
                officer.client.reports.submit(data.street_report(), justification=officer.why)
            )
            self.street = answer.message.record_id
            self.screen.granted(
                f"Record {self.street}, version 1; receipt: entry {answer.receipt.index} of the ledger."
            )
            self.screen.says("One of its lines could give its source away, and is marked so.")
            await self._told_to("submitted", "the street report", self.street, self.cast.readers)

    async def find(self) -> None:
        """The regional unit finds it by the phone's number."""
        regional = self.cast["regional"]
        query = ReportQuery(phone=data.PHONE)
        with self.screen.step("The regional unit searches by phone number, and fetches"):
            found = [one async for one in regional.client.reports.search(query, justification=regional.why)]
            ids = [one.report.header.record_id for one in found]
            expect(ids == [self.street], "the search by phone finds the street report and nothing else")
            self.screen.granted(f"{data.PHONE}, for FRAUD: 1 report.")
            patrol = regional.asking_for("CRIME_PREVENTION")
            none = [one async for one in regional.client.reports.search(query, justification=patrol)]
            expect(not none, "for a purpose that does not see numbers in full, the search finds nothing")
            self.screen.granted("The same for CRIME_PREVENTION: 0. A condition on a hidden field matches nothing.")
            seen = await self._view(regional, self.street)
            expect(len(seen.report.lines) == 1, "the regional unit sees one of the two lines")
            self.screen.says(_how_much(seen))

    async def assess(self) -> None:
        """The national agency derives its own, secret view."""
        national = self.cast["national"]
        with self.screen.step("The national agency fetches, and submits its own SECRET assessment"):
            seen = await self._view(national, self.street)
            self.screen.granted(_how_much(seen))
            report = data.assessment(self.street, seen.report.header.version)
            answer = await national.granted(national.client.reports.submit(report, justification=national.why))
            self.assessment = answer.message.record_id
            self.screen.granted(f"Record {self.assessment}: an organised crime group, derived from the street report.")
            self.screen.says(f"SECRET, in compartment {data.COMPARTMENT}: for its members alone.")
            await self._told_to("submitted", "the assessment", self.assessment, [national])

    async def ask_abroad(self) -> None:
        """The foreign liaison officer asks for several purposes, and for what is hidden."""
        liaison = self.cast["liaison"]
        with self.screen.step("The foreign agency's liaison officer asks"):
            error = await liaison.refused(liaison.get(self.street, purpose="CRIME_PREVENTION"))
            expect(isinstance(error, NotFoundError), "a purpose that no agreement covers gives 'no such report'")
            self.screen.denied(f"The street report, for CRIME_PREVENTION: {error.message}. No agreement covers that.")
            answer = await liaison.get(self.street)
            self.liaison_receipt = answer.receipt
            self.screen.granted(f"The same for THREAT_TO_LIFE: {_how_much(answer.message.report)}")
            hidden = await liaison.refused(liaison.get(self.assessment))
            missing = await liaison.refused(liaison.get(secrets.token_hex(16)))
            self.screen.denied(f"The hidden assessment: {hidden.message} ({hidden.reason}).")
            self.screen.denied(f"An id that does not exist: {missing.message} ({missing.reason}).")
            same = [(type(one), one.reason, one.message, one.fields) for one in (hidden, missing)]
            expect(same[0] == same[1], "hidden and missing are one answer")
            self.screen.says("One and the same answer: what is hidden cannot be probed for.")

    async def release(self) -> None:
        """A second report goes to the foreign agency by name."""
        national, liaison, regional = self.cast["national"], self.cast["liaison"], self.cast["regional"]
        with self.screen.step("The national agency releases an OFFICIAL report to the foreign agency by name"):
            report = data.released_report(liaison.party.agency)
            answer = await national.granted(national.client.reports.submit(report, justification=national.why))
            self.released = answer.message.record_id
            self.screen.granted(f"Record {self.released}, releasable to {liaison.party.agency}.")
            await self._told_to("submitted", "the released report", self.released, [national, liaison])
            error = await regional.refused(regional.get(self.released))
            self.screen.denied(f"regional is not among the recipients: {error.message}.")

    async def amend(self) -> None:
        """The officer adds a line; the regional unit sees the new version."""
        officer, regional = self.cast["neighbourhood"], self.cast["regional"]
        with self.screen.step("The officer amends the street report"):
            report = (await self._view(officer, self.street)).report
            report.lines.append(data.extra_line())
            report.tear_line = data.NEW_TEAR_LINE
            etag, paths = report.header.etag, ["lines", "tear_line"]
            call = officer.client.reports.amend(self.street, report, etag=etag, paths=paths, justification=officer.why)
            answer = await officer.granted(call)
            expect(answer.message.version == 2, "the amendment makes version 2")
            self.screen.granted("Version 2: one line more, and a new tear-line.")
            await self._told_to("amended", "the street report", self.street, self.cast.readers)
            seen = await self._view(regional, self.street)
            expect(seen.report.header.version == 2 and len(seen.report.lines) == 2, "regional sees the new line")
            expect(seen.report.tear_line == data.NEW_TEAR_LINE, "regional sees the new tear-line")
            self.screen.granted(f"regional fetches version 2: {_how_much(seen)}")

    async def share_silently(self) -> None:
        """What is held silently: who looks finds nothing, and its owner is told."""
        national, liaison = self.cast["national"], self.cast["liaison"]
        query = ReportQuery(phone=data.QUIET_PHONE)
        with self.screen.step("The national agency holds a report silently, and somebody looks"):
            call = national.client.reports.submit(data.silent_report(), justification=national.why)
            silent = (await national.granted(call)).message.record_id
            await self._told_to("submitted", "the silent report", silent, [national])
            none = [one async for one in liaison.client.reports.search(query, justification=liaison.why)]
            expect(not none, "who looks for what is held silently finds nothing")
            self.screen.granted(f"liaison searches for {data.QUIET_PHONE}: 0 reports, as if there were none.")
            hit = await self._hit_on(silent)
            expect(hit.agency == liaison.party.agency, "the owner learns which agency looked")
            self.screen.told(f"national alone is told: {hit.agency} looked, exchange {hit.exchange_id}.")

    async def refuse_auditor(self) -> None:
        """The auditor may know who saw a report, and never what it says."""
        auditor = self.cast["auditor"]
        with self.screen.step("The auditor tries to read the street report"):
            error = await auditor.refused(auditor.get(self.street))
            expect(error.reason == "METHOD_NOT_PERMITTED", "the auditor is refused by the method's rule")
            self.screen.denied(f"{error.message} ({error.reason})")

    async def sections(self) -> list[Section]:
        """Each record as each party is handed it now."""
        own = self.cast["neighbourhood"], self.cast["national"], self.cast["national"]
        titles = "The street report", "The assessment", "The released report"
        found = []
        for owner, title, record_id in zip(own, titles, (self.street, self.assessment, self.released), strict=True):
            views = {member.name: await self._attempt(member, record_id) for member in self.cast.members.values()}
            originals = leaves((await self._view(owner, record_id)).report)
            found.append(Section(f"{title} ({owner.name})", originals, views))
        return found

    async def retract(self) -> None:
        """The released report turns out wrong; those who had it are told."""
        national, liaison = self.cast["national"], self.cast["liaison"]
        with self.screen.step("The national agency retracts the released report"):
            etag = (await self._view(national, self.released)).report.header.etag
            call = national.client.reports.retract(
                self.released, etag=etag, reason=data.RETRACTION, justification=national.why
            )
            await national.granted(call)
            await self._told_to("retracted", "the released report", self.released, [national, liaison])
            told = liaison.watcher.latest[self.released].report
            expect(told.header.retraction_reason == data.RETRACTION, "the liaison officer is told why")
            expect(not (told.title or told.tear_line or told.lines), "a retracted report has no content any more")
            self.screen.told(f"liaison reads why: {told.header.retraction_reason} The content is gone.")

    async def _view(self, member: Member, record_id: str) -> report_pb2.DisclosedReport:
        return (await member.get(record_id)).message.report

    async def _hit_on(self, record_id: str) -> hit_wire.Hit:
        national = self.cast["national"]
        asked = national.client.hits.list(record_id=record_id, justification=national.why)
        async with asyncio.timeout(TOLD_SECONDS):
            while not (found := (await asked.first()).message.hits):  # noqa: ASYNC110 - it is asked for
                await asyncio.sleep(0.1)
        return found[0]

    async def _attempt(self, member: Member, record_id: str) -> View:
        if member not in self.cast.readers:
            await member.refused(member.get(record_id))
            return View(None, refused=True)
        try:
            return View(await self._view(member, record_id))
        except NotFoundError:
            return View(None)

    async def _told_to(self, kind: str, what: str, record_id: str, members: list[Member]) -> None:
        for member in members:
            await member.watcher.wait_for(kind, record_id)
        self.happened.append((f"{what}: {kind}", (kind, record_id)))
        self.screen.told(f"Told of it: {', '.join(member.name for member in members)}.")


def _how_much(disclosed: report_pb2.DisclosedReport) -> str:
    there, gone = len(leaves(disclosed.report)), len(disclosed.disclosure.withheld)
    coarse = len(disclosed.disclosure.generalised)
    return f"{there} fields handed over; policy withholds {gone} of the schema's, and makes {coarse} coarser."
