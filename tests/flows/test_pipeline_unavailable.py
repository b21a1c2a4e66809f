"""Rule 4 of the pipeline: policy or ledger that does not do its part is a refusal, and nothing can be turned off."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from broker.config import ConfigError, load
from broker.decide.bundle import PolicyBundle, policy_folder
from broker.decide.embedded import EmbeddedEngine
from broker.decide.engine import EngineAnswer
from broker.decide.opa import OpaAddress, OpaEngine
from broker.domain.clock import SystemClock
from broker.domain.errors import UnavailableError
from certs import network
from tests.support.engines import ALL_GRANTED, ALLOWED, FakeOpa
from tests.support.exchanges import (
    GET,
    NATIONAL,
    OFFICER,
    SUBMIT,
    ask,
    getting,
    refusal,
    rehoused,
    submission,
)
from tests.support.house import House, reason_of, submitted, until
from tests.support.watched_files import WatchedFiles

BUNDLE = PolicyBundle.load(policy_folder())


class OddEngine(EmbeddedEngine):
    """The real engine, until it is told to answer something else, or to let another answer."""

    instead: dict[str, Any] | None = None
    other: OpaEngine | None = None

    async def method(self, question: bytes) -> EngineAnswer:
        if self.other is not None:
            return await self.other.method(question)
        return await super().method(question) if self.instead is None else EngineAnswer(self.instead["method"])

    async def grant(self, question: bytes) -> EngineAnswer:
        if self.other is not None:
            return await self.other.grant(question)
        return await super().grant(question) if self.instead is None else EngineAnswer(self.instead["grant"])


@pytest.mark.parametrize(
    "instead",
    [
        {"method": None, "grant": None},
        {"method": {}, "grant": {}},
        {"method": True, "grant": True},
        {"method": {**ALLOWED, "allow": "yes"}, "grant": ALL_GRANTED},
        {"method": ALLOWED | {"more": 1}, "grant": ALL_GRANTED},
        {"method": ALLOWED, "grant": ALL_GRANTED | {"more": 1}},
        {"method": ALLOWED, "grant": None},
    ],
    ids=["undefined", "empty", "a boolean", "wrong type", "extra key", "grant with extra key", "grant undefined"],
)
async def test_policy_that_does_not_answer_as_it_must_is_a_refusal(tmp_path: Path, instead: dict[str, Any]) -> None:
    """pipeline rule 4: undefined or malformed: refused, on record, and the handler never runs."""
    engine = OddEngine(BUNDLE)
    async with rehoused(tmp_path / "network", engine=engine) as place:
        target = await submitted(place, OFFICER)
        engine.instead = instead
        # A party that has not asked yet: no kept answer can serve it.
        refused = await refusal(place, GET, getting(target.record_id), NATIONAL)
        assert (refused.status, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "POLICY_UNAVAILABLE")
        assert refused.receipt is not None
        assert "disclosures" not in refused.receipt.leaf


async def test_late_policy_is_a_refusal_in_time(tmp_path: Path) -> None:
    """pipeline rule 4: policy that answers after five seconds is refused within one."""
    engine, opa = OddEngine(BUNDLE), FakeOpa(BUNDLE.revision)
    async with rehoused(tmp_path / "network", engine=engine) as place, opa.running() as url:
        target = await submitted(place, OFFICER)
        engine.other = OpaEngine(BUNDLE, OpaAddress(url), SystemClock())
        with pytest.raises(UnavailableError):
            await engine.other.start()  # connected; that it grants everything is found by its probe
        opa.delay_s = 5.0
        started = time.monotonic()
        refused = await refusal(place, GET, getting(target.record_id), NATIONAL)
        took = time.monotonic() - started
        await engine.other.close()
        assert (refused.reason, took < 1.0) == ("POLICY_UNAVAILABLE", True)


async def unwritten(place: House, record_id: str) -> float:
    """A read that the ledger cannot record: UNAVAILABLE, and nothing of the record; the seconds that it took."""
    started = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await place.unary(GET, getting(record_id).SerializeToString(), OFFICER)
    error = caught.value
    assert (error.code(), reason_of(error).reason) == (grpc.StatusCode.UNAVAILABLE, "LEDGER_UNAVAILABLE")
    assert b"Courier" not in repr((error.details(), error.trailing_metadata())).encode()
    return time.monotonic() - started


async def test_a_late_ledger_is_a_refusal_within_its_second(tmp_path: Path) -> None:
    """pipeline rule 4: late: UNAVAILABLE in a second; when the disk is back, so is the broker, with no entry lost."""
    files = WatchedFiles()
    async with rehoused(tmp_path / "network", files=files) as place:
        target = await submitted(place, OFFICER)
        files.slow_s = 0.02  # once slow, from then on off the loop
        await ask(place, GET, getting(target.record_id))
        files.slow_s = 1.6
        assert 0.9 < await unwritten(place, target.record_id) < 3.0
        files.slow_s = 0.0
        await asyncio.sleep(1.0)
        await ask(place, GET, getting(target.record_id))
        assert place.broker.ledger.failure is None


async def test_a_full_queue_is_a_refusal_at_once(tmp_path: Path) -> None:
    """pipeline rule 4: full: what does not fit into the ledger's queue is refused at once, not kept waiting."""
    files = WatchedFiles()
    async with rehoused(tmp_path / "network", files=files) as place:
        target = await submitted(place, OFFICER)
        writer = place.broker.ledger._writer
        # Outcomes come by themselves, and one would take a place in the small queue.
        await place.broker.recorder.outcomes.aclose()
        files.slow_s = 0.02
        await ask(place, GET, getting(target.record_id))
        writer._limits = replace(writer._limits, queue_entries=2)
        files.slow_s = 0.6
        first = asyncio.create_task(ask(place, GET, getting(target.record_id)))
        await asyncio.sleep(0.2)
        more = [asyncio.create_task(ask(place, GET, getting(target.record_id))) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert await unwritten(place, target.record_id) < 0.5
        files.slow_s = 0.0
        await asyncio.gather(first, *more)


async def test_the_disk_reserve_is_a_refusal(tmp_path: Path) -> None:
    """pipeline rule 4: without room for entries nothing is released; with room again, at once."""
    files = WatchedFiles()
    async with rehoused(tmp_path / "network", files=files) as place:
        target = await submitted(place, OFFICER)
        files.free = 1 << 20
        await asyncio.sleep(0.15)
        stored = place.broker.store.newest_change()
        await unwritten(place, target.record_id)
        with pytest.raises(grpc.aio.AioRpcError):
            await place.unary(SUBMIT, submission().SerializeToString(), OFFICER)
        assert place.broker.store.newest_change() == stored
        files.free = None
        await asyncio.sleep(0.15)
        await ask(place, GET, getting(target.record_id))


@pytest.mark.parametrize(
    ("section", "line", "named"),
    [
        ("[broker]", "insecure = true", "broker.insecure"),
        ("[tls]", "enabled = false", "tls.enabled"),
        ("[policy]", "disabled = true", "policy.disabled"),
        ("[policy]", 'mode = "permissive"', "policy.mode"),
        ("[tls]", "[audit]\nenabled = false\n[tls]", "audit"),
    ],
)
async def test_no_setting_turns_anything_off(tmp_path: Path, section: str, line: str, named: str) -> None:
    """pipeline rule 4: there is no switch for TLS, policy or audit, and an invented one is refused by its name."""
    config = network.create(tmp_path / "network").broker_config
    whole = config.read_text(encoding="utf-8")
    before = line.rpartition("\n")[0]
    config.write_text(whole.replace(section, f"{before}\n{section}" if before else f"{section}\n{line}", 1))
    with pytest.raises(ConfigError, match=re.escape(named)):
        load(config)


async def test_there_is_no_plaintext_port(tmp_path: Path) -> None:
    """pipeline rule 4: who does not speak TLS is not answered."""
    async with rehoused(tmp_path / "network") as place, grpc.aio.insecure_channel(place.broker.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(GET)(getting("0" * 32).SerializeToString(), timeout=5)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert place.leaves() == []


async def test_a_caller_that_left_before_its_entry_was_durable_got_nothing(tmp_path: Path) -> None:
    """pipeline rule 3: the entry becomes durable without its caller; its outcome says that nothing was handed over."""
    files = WatchedFiles()
    async with rehoused(tmp_path / "network", files=files) as place:
        target = await submitted(place, OFFICER)
        files.slow_s = 0.02
        await ask(place, GET, getting(target.record_id))
        since = len(place.broker.ledger)
        files.slow_s = 0.6
        leaving = asyncio.create_task(ask(place, GET, getting(target.record_id)))
        await until(lambda: place.broker.ledger._writer._in_flight is not None)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        files.slow_s = 0.0

        def endings() -> list[list[str]]:
            said = [json.loads(leaf) for leaf in place.broker.ledger.entries(since, len(place.broker.ledger))]
            mine = {leaf["exchange_id"] for leaf in said if leaf["phase"] == "release"}
            return [one[1:3] for leaf in said for one in leaf.get("outcomes", ()) if one[0] in mine]

        await until(lambda: bool(endings()))
        assert endings() == [["aborted", "CANCELLED"]]
