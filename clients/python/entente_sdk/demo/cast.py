"""The five parties: each a client with its own certificate, token and purpose; four of them watch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

from certs.network import PARTIES, Network, Party
from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as wire
from entente_sdk import Answer, AsyncEntente, AsyncSubscription, Justification, load_profile
from entente_sdk.cli.values import words
from entente_sdk.demo.checks import DemoError, FirstAnswers, expect
from entente_sdk.errors import DecisionError
from entente_sdk.settings import CONFIG_VARIABLE

CASE = "OP LANTERN"
TOLD_SECONDS = 15.0
# What each party asks for, where the story does not say otherwise.
PURPOSES = {
    "neighbourhood": "INVESTIGATION",
    "regional": "FRAUD",
    "national": "INVESTIGATION",
    "liaison": "THREAT_TO_LIFE",
    "auditor": "AUDIT",
}
T = TypeVar("T")
Told = tuple[str, str]
"""(what happened, record id)."""


class Watcher:
    """Follows changes from now on, acknowledges each batch, and remembers what it was told."""

    def __init__(self, client: AsyncEntente, why: Justification) -> None:
        self._client = client
        self._why = why
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._subscription: AsyncSubscription | None = None
        self.told: list[Told] = []
        self.latest: dict[str, report_pb2.DisclosedReport] = {}

    async def start(self) -> None:
        """Raises EntenteError when policy refuses."""
        self._subscription = self._client.reports.subscribe(from_now=True, justification=self._why)
        first = await anext(self._subscription)
        expect(first.up_to_date and not first.changes, "a watch that begins now begins empty")
        self._task = asyncio.create_task(self._follow(self._subscription))

    async def wait_for(self, kind: str, record_id: str) -> report_pb2.DisclosedReport:
        """The report as this change brought it. Raises TimeoutError."""
        assert self._task is not None
        async with asyncio.timeout(TOLD_SECONDS):
            while (kind, record_id) not in self.told:
                if self._task.done():
                    await self._task
                    raise DemoError("a watch ended before its time")
                await self._news.wait()
                self._news.clear()
        return self.latest[record_id]

    async def rest(self) -> list[Told]:
        """Stop, resume from the last acknowledged cursor and read up to the present: what had not come yet."""
        assert self._subscription is not None
        cursor = self._subscription.cursor
        await self.stop()
        found: list[Told] = []
        again = self._client.reports.subscribe(cursor=cursor, justification=self._why)
        async with asyncio.timeout(TOLD_SECONDS), again:
            async for batch in again:
                found += [_told(change) for change in batch.changes]
                await batch.acknowledge()
                if batch.up_to_date:
                    break
        return found

    async def stop(self) -> None:
        """End the stream. How it ended before is for `wait_for` to say."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._subscription is not None:
            await self._subscription.close()

    async def _follow(self, subscription: AsyncSubscription) -> None:
        try:
            async for batch in subscription:
                for change in batch.changes:
                    told = _told(change)
                    self.told.append(told)
                    self.latest[told[1]] = change.report
                await batch.acknowledge()
                self._news.set()
        finally:
            self._news.set()


def _told(change: wire.ReportChange) -> Told:
    return words(report_pb2.ChangeKind.DESCRIPTOR, change.kind), change.report.report.header.record_id


@dataclass
class Member:
    """One party at work."""

    party: Party
    client: AsyncEntente
    why: Justification
    watcher: Watcher
    times: FirstAnswers

    @property
    def name(self) -> str:
        """As in client.toml."""
        return self.party.profile

    async def get(self, record_id: str, *, purpose: str | None = None) -> Answer[wire.GetReportResponse]:
        """One report, for this party's purpose or another."""
        return await self.granted(self.client.reports.get(record_id, justification=self.asking_for(purpose)))

    async def granted(self, call: Awaitable[T]) -> T:
        """The answer of a call that should be granted."""
        answer = await call
        self.times.note_granted()
        return answer

    async def refused(self, call: Awaitable[Any]) -> DecisionError:
        """The refusal of a call that policy should refuse. Raises DemoError if it is granted."""
        try:
            await call
        except DecisionError as error:
            self.times.note_denied()
            return error
        raise DemoError(f"{self.name} was given an answer that policy should have refused")

    def asking_for(self, purpose: str | None) -> Justification:
        """This party's justification, or the same for another purpose."""
        return Justification(purpose, case_reference=CASE) if purpose else self.why


@dataclass
class Cast:
    """All five, connected. Use as an asynchronous context manager."""

    network: Network
    times: FirstAnswers
    members: dict[str, Member] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    async def __aenter__(self) -> Self:
        environ = {CONFIG_VARIABLE: str(self.network.client_config)}
        for party in PARTIES:
            client = AsyncEntente(load_profile(party.profile, environ=environ))
            why = Justification(PURPOSES[party.profile], case_reference=CASE)
            self.members[party.profile] = Member(party, client, why, Watcher(client, why), self.times)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self.members.values():
            await member.watcher.stop()
            await member.client.close()

    @property
    def readers(self) -> list[Member]:
        """Everybody but the auditor."""
        return [member for member in self.members.values() if "inspector" not in member.party.roles]
