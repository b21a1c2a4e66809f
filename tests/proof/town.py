"""A live broker with a generated population and generated reports, and every way in which somebody reads them."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message

from broker.app import Broker
from broker.config import load
from broker.decide.catalogue import MethodRule
from certs import network
from certs.authority import Authority
from certs.network import PARTIES
from entente.report.v1 import report_pb2, report_service_pb2
from entente_sdk import AsyncEntente, Justification, Profile
from tests.proof.population import Person, Population, wire
from tests.reference.facts import Marks
from tests.support.house import House
from tests.support.live import ROOMY
from tests.support.tainted import PORTIONS, filled
from tests.support.visitors import Heard, Visitor, exchange

SERVICE = "/entente.report.v1.ReportService/"
TOKEN_SECONDS = 200


@dataclass
class Kept:
    """A report as it was sent. `container` are its marks; `portions` those of each portion, with what it inherits."""

    record_id: str
    report: report_pb2.Report
    container: Marks
    portions: dict[tuple[str, int], Marks]

    def places(self) -> Iterator[tuple[str, int]]:
        """The record itself, then its portions."""
        yield "", 0
        yield from self.portions

    def marks(self, place: tuple[str, int]) -> Marks:
        """The marks of a place."""
        return self.container if not place[0] else self.portions[place]

    def message(self, place: tuple[str, int]) -> Message:
        """What was sent there."""
        name, index = place
        found: Message = getattr(self.report, name)[index] if name else self.report
        return found


@dataclass
class Town:
    """See the module."""

    house: House
    population: Population
    reports: list[Kept] = field(default_factory=list)
    _tokens: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)

    def rule(self, name: str) -> MethodRule:
        """A method of the report service."""
        found = self.house.broker.catalogue.find(SERVICE + name)
        assert found is not None
        return found

    async def stock(self, count: int) -> None:
        """Share so many reports, each full of values that are nowhere else."""
        placed = [one for one in self.population.agencies if one.level]
        for number in range(count):
            author = self.population.author(placed[number % len(placed)])
            await self._submit(author, number)

    async def _submit(self, author: Person, number: int) -> None:
        kept = self.drafted(self.population, author, 50_000 + number)
        request = report_service_pb2.SubmitReportRequest(report=kept.report, idempotency_key=str(uuid.uuid4()))
        reply = report_service_pb2.SubmitReportResponse.FromString(await self.ask(author, "SubmitReport", request))
        kept.record_id = reply.record_id
        self.reports.append(kept)

    @staticmethod
    def drafted(population: Population, author: Person, seed: int) -> Kept:
        """A report of this author, before it is shared."""
        container = population.marks(author.reader)
        report = filled(seed, wire(container))
        portions: dict[tuple[str, int], Marks] = {}
        for name in PORTIONS:
            for index, portion in enumerate(getattr(report, name)):
                said = population.tighter(container, author.reader)
                if said != Marks(container.originator):
                    portion.marks.CopyFrom(wire(said))
                portions[name, index] = said.within(container)
        return Kept("", report, container, portions)

    # Ways in

    async def ask(self, person: Person, method: str, request: Any) -> bytes:
        """One raw call. Raises grpc.aio.AioRpcError."""
        request.justification.CopyFrom(self.justification(person).to_message())
        metadata = (("authorization", f"Bearer {self.token(person)}"),)
        return await self.house.unary(SERVICE + method, request.SerializeToString(), person.party, metadata=metadata)

    async def get(self, person: Person, record_id: str) -> report_pb2.DisclosedReport | None:
        """By id; None where there is no such report."""
        try:
            raw = await self.ask(person, "GetReport", report_service_pb2.GetReportRequest(record_id=record_id))
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED):
                return None
            raise
        return report_service_pb2.GetReportResponse.FromString(raw).report

    async def search(
        self, person: Person, page_size: int, **conditions: Any
    ) -> dict[str, report_pb2.DisclosedReport] | None:
        """All pages; None where the call is refused."""
        found: dict[str, report_pb2.DisclosedReport] = {}
        request = report_service_pb2.SearchReportsRequest(page_size=page_size, **conditions)
        while True:
            try:
                page = report_service_pb2.SearchReportsResponse.FromString(
                    await self.ask(person, "SearchReports", request)
                )
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.PERMISSION_DENIED:
                    return None
                raise
            for one in page.reports:
                assert _id(one) not in found, "a report stands on two pages"
                found[_id(one)] = one
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def follow(self, person: Person) -> dict[str, report_pb2.DisclosedReport] | None:
        """The latest of each record in the feed; None where the call is refused."""
        start = report_service_pb2.SubscribeReportsRequest()
        start.start.justification.CopyFrom(self.justification(person).to_message())
        heard = Heard(Visitor(person.party, (), ""), self.rule("SubscribeReports"), start.SerializeToString())
        await exchange(self.house, heard, (("authorization", f"Bearer {self.token(person)}"),))
        if heard.error is not None:
            assert heard.error.code() == grpc.StatusCode.PERMISSION_DENIED, heard.error
            return None
        found: dict[str, report_pb2.DisclosedReport] = {}
        for raw in heard.replies:
            for change in report_service_pb2.SubscribeReportsResponse.FromString(raw).changes:
                found[_id(change.report)] = change.report
        return found

    async def export(self, person: Person, path: Path, page_size: int) -> dict[str, report_pb2.DisclosedReport]:
        """Through the SDK, into a file, and read back."""
        files = Authority.open(self.house.directory / "authority").agency(*person.party.agency.split("/"))
        profile = Profile(
            endpoint=self.house.broker.address,
            ca=files.root,
            certificate=files.certificate,
            key=files.key,
            log_keys=((self.house.broker.config.broker.data / "log.vkey").read_text(encoding="ascii").strip(),),
        )
        async with AsyncEntente(profile, token=lambda: self.token(person)) as client:
            await client.reports.export(path, page_size=page_size, justification=self.justification(person))
        found: dict[str, report_pb2.DisclosedReport] = {}
        with path.open(encoding="utf-8") as lines:
            for line in map(json.loads, lines):
                if "report" in line:
                    one = json_format.ParseDict(line["report"], report_pb2.DisclosedReport())
                    found[_id(one)] = one
        return found

    # Who asks

    def justification(self, person: Person) -> Justification:
        """What the person states."""
        asked = person.reader
        return Justification(
            asked.purpose,
            legal_basis=asked.legal_basis or None,
            case_reference=asked.case or None,
            authoriser=asked.authoriser or None,
        )

    def token(self, person: Person) -> str:
        """What the person's agency says of them; renewed before it ends."""
        key = (person.party.agency, person.party.user)
        made, token = self._tokens.get(key, (0.0, ""))
        if not token or time.monotonic() - made > TOKEN_SECONDS:
            token = self._mint(person)
            self._tokens[key] = (time.monotonic(), token)
        return token

    def _mint(self, person: Person) -> str:
        files = Authority.open(self.house.directory / "authority").agency(*person.party.agency.split("/"))
        said = person.reader
        return files.token_issuer().mint(
            person.party.user,
            roles=sorted(said.roles),
            clearance=said.clearance,
            purposes=sorted(said.token_purposes),
            nationalities=sorted(said.nationalities),
        )


def _id(disclosed: report_pb2.DisclosedReport) -> str:
    return disclosed.pointer.record_id or disclosed.report.header.record_id


@contextlib.asynccontextmanager
async def town(directory: Path, population: Population, *, keys: Path | None = None) -> AsyncIterator[Town]:
    """A broker that serves this population, without a report yet. `keys`: a folder of another's, its log's aside."""
    net = network.create(directory, "127.0.0.1:0", limits=ROOMY)
    for key in sorted(keys.iterdir()) if keys is not None else ():
        if not key.name.startswith("log"):
            shutil.copy(key, directory / "data" / "keys" / key.name)
    _admit(net.broker_config, directory, [one.name for one in population.agencies])
    broker = await Broker.start(load(net.broker_config))
    broker.store.load_directory(population.agencies, [stored for _, stored, _ in population.agreements])
    made = Town(House(broker, directory), population)
    try:
        yield made
    finally:
        for channel in made.house.channels.values():
            await channel.close()
        await broker.stop()


def _admit(config: Path, directory: Path, agencies: list[str]) -> None:
    """Certificates and issuers for agencies that the development network does not have."""
    authority = Authority.open(directory / "authority")
    lines = []
    for name in set(agencies) - {party.agency for party in PARTIES}:
        files = authority.issue_agency(*name.split("/"))
        lines += ["", "[[issuers]]", f'agency = "{name}"', f'issuer = "{files.issuer}"']
        lines += [f'jwks = "{files.jwks.relative_to(directory)}"']
    domains = sorted({name.split("/")[0] for name in (*agencies, *(party.agency for party in PARTIES))})
    text = config.read_text(encoding="utf-8").splitlines()
    text = [f"trust_domains = {json.dumps(domains)}" if line.startswith("trust_domains") else line for line in text]
    config.write_text("\n".join([*text, *lines]) + "\n", encoding="utf-8")
