"""A broken OPA behind a real broker: no canary leaves, every refusal is typed and soon, and a mended OPA is used again.

`make drill` prints the figures over more calls; here they are few, and nothing is timed but that it ends.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import pytest_asyncio

from broker.decide.bundle import PolicyBundle, policy_folder
from broker.decide.embedded import EmbeddedEngine
from broker.decide.opa import OpaAddress, OpaEngine
from broker.decide.question import Situation, grant_question, method_question
from broker.decide.vocabulary import PURPOSES
from broker.domain.clock import SystemClock
from broker.domain.directory import Agency, AgencyFacts, Agreement
from entente.common.v1 import marks_pb2
from entente.report.v1 import report_pb2
from tests.bench.seed import report as sample_report
from tests.support.engines import ALL_GRANTED, ALLOWED, FakeOpa
from tests.support.exchanges import (
    GET,
    LIAISON,
    NATIONAL,
    OFFICER,
    READERS,
    REGIONAL,
    SEARCH,
    SUBMIT,
    ask,
    checked_refusal,
    getting,
    rehoused,
    searching,
    submission,
)
from tests.support.house import House
from tests.support.questions import LATER_US, caller

pytestmark = pytest.mark.asyncio(loop_scope="module")

BUNDLE = PolicyBundle.load(policy_folder())
CANARY = "CANARY-4417"
CALLS = int(os.environ.get("DRILL_CALLS", "6"))
LIVENESS_S = 10.0

# What each OPA does; `released`: whether a call may be granted at all (under the ceiling).
BREAKAGES: dict[str, dict[str, Any]] = {
    "allow-all": {"instead": {"method": ALLOWED, "grant": ALL_GRANTED}, "released": True},
    "undefined": {"instead": {}},
    "null": {"instead": {"method": None, "grant": None}},
    "extra keys": {"instead": {"method": ALLOWED | {"more": 1}, "grant": ALL_GRANTED | {"more": 1}}},
    "wrong types": {"instead": {"method": ALLOWED | {"allow": "yes"}, "grant": ALL_GRANTED | {"rows": True}}},
    "slow": {"delay_s": 3.0},
    "truncated": {"raw": b'{"result": {"allow": tr'},
    "garbage": {"raw": b"\xff\xfe\x00garbage"},
    "wrong revision": {"said_revision": "0" * 64},
    "a revision that is none": {"said_revision": [BUNDLE.revision]},
    "redirects": {"location": "http://127.0.0.1:9/v1/data/entente/method"},
    "huge answers": {"huge": 64 << 20},
    "hangs up": {"hang_up": True},
    "HTTP 500": {"status": 500, "raw": b"{}"},
    "answers for another question": {"mixed_up": True, "released": True},
}


@dataclass
class Drill:
    """A broker, its breakable OPA, and reports that hold canaries which no engine may release to others."""

    place: House
    opa: FakeOpa
    record_ids: list[str] = field(default_factory=list)
    number: int = 0

    async def ask_anew(self, record_id: str) -> tuple[bytes, float]:
        """What comes back of a question that nobody has asked before, whatever it is, and the seconds that it took."""
        self.number += 1
        party = (REGIONAL, LIAISON)[self.number % 2]
        # Two countries by number: enough pairs that no question comes twice, however long the drill.
        nationalities = {"NL", "GB", country(self.number % 676), "Z" + country(self.number // 676)[1]}
        metadata = self.place.metadata(party, nationalities=sorted(nationalities))
        path, request = ((GET, getting(record_id)), (SEARCH, searching()))[self.number % 3 == 0]
        sent = request.SerializeToString()
        started = time.monotonic()
        try:
            return await self.place.unary(path, sent, party, metadata=metadata), time.monotonic() - started
        except grpc.aio.AioRpcError as error:
            took = time.monotonic() - started
            refused = checked_refusal(self.place, error, sent)
            return f"{refused.reason} {error.details()} {error.trailing_metadata()}".encode(), took


def country(number: int) -> str:
    """Two letters."""
    return chr(65 + number // 26) + chr(65 + number % 26)


def hidden_reports() -> list[report_pb2.Report]:
    """Everything in them is a canary; only their originator, or members of a compartment, may ever have it."""
    named, boxed, source = (sample_report(number) for number in range(3))
    named.header.marks.releasable_to.agencies.append(NATIONAL.agency)
    boxed.header.marks.compartments.append("op-lantern")
    source.header.marks.sanitisation = marks_pb2.SANITISATION_SOURCE_PROTECTED
    for one in (named, boxed, source):
        one.title = f"{CANARY} title"
        one.tear_line = f"{CANARY} tear-line"
    return [named, boxed, source]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def drill(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Drill]:
    policy = EmbeddedEngine(BUNDLE)
    await policy.start()
    opa = FakeOpa(BUNDLE.revision, policy)
    async with opa.running() as url:
        engine = OpaEngine(BUNDLE, OpaAddress(url), SystemClock())
        async with rehoused(tmp_path_factory.mktemp("drill") / "network", engine=engine) as place:
            made = Drill(place, opa)
            owners = (OFFICER, NATIONAL, OFFICER)
            for owner, report in zip(owners, hidden_reports(), strict=True):
                made.record_ids.append((await ask(place, SUBMIT, submission(report), owner)).message.record_id)
            yield made


@pytest.mark.parametrize("name", BREAKAGES)
async def test_a_broken_opa_releases_no_canary_and_refuses_in_words(drill: Drill, name: str) -> None:
    spoil = dict(BREAKAGES[name])
    released = spoil.pop("released", False)
    if spoil.get("mixed_up"):
        spoil["mixed_up"] = powerful()
    vars(drill.opa).update(spoil)
    try:
        heard = [await drill.ask_anew(record_id) for _ in range(CALLS) for record_id in drill.record_ids]
    finally:
        drill.opa.mend()
    assert not [one for one, _ in heard if CANARY.encode() in one]
    if not released:
        assert {one.partition(b" ")[0] for one, _ in heard} == {b"POLICY_UNAVAILABLE"}
    mended = time.monotonic()
    while (await drill.ask_anew(drill.record_ids[0]))[0].startswith(b"POLICY_UNAVAILABLE"):
        assert time.monotonic() - mended < LIVENESS_S, "not recovered"
        await asyncio.sleep(0.02)
    took = sorted(seconds for _, seconds in heard)
    p99 = statistics.quantiles(took, n=100)[98]
    print(
        f"\n{name}: {len(heard)} calls, 0 canaries; p50 {took[len(took) // 2] * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms; "
        f"answered again after {time.monotonic() - mended:.2f} s"
    )


async def test_the_canaries_are_there_for_whom_they_are_meant(drill: Drill) -> None:
    """A drill without canaries proves nothing."""
    for record_id, reader in zip(drill.record_ids, (NATIONAL, NATIONAL, OFFICER), strict=True):
        assert CANARY.encode() in (await ask(drill.place, GET, getting(record_id), reader)).raw


def powerful() -> dict[str, bytes]:
    """The questions of an officer who has an agreement with everybody, for whatever is asked."""
    person = caller(NATIONAL.agency, clearance="TOP_SECRET", nationalities=frozenset({"GB"}))
    parties = frozenset(party.agency for party in READERS)
    wide = Agreement("wide", parties, PURPOSES, "TOP_SECRET", 0, LATER_US)
    agency = Agency(NATIONAL.agency, "", "GB", "NATIONAL", compartments=frozenset({"op-lantern"}))
    situation = Situation(person, AgencyFacts(agency, (wide,), 1), "INVESTIGATION", True, person.roles)
    return {
        "method": method_question(situation, "REPORT_READ", exempt=False),
        "grant": grant_question(situation, 1),
    }
