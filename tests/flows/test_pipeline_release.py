"""Rules 5 and 6 of the pipeline: answers are built afresh, of fields that bear a class."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2

from broker.app import SERVICES
from broker.decide.catalogue import Catalogue
from broker.release.classes import field_rules
from entente.report.v1 import report_pb2
from tests.bench.seed import report as sample_report
from tests.support.exchanges import (
    CATALOGUE,
    GET,
    LIAISON,
    READERS,
    SEARCH,
    VERSIONS,
    Follower,
    ask,
    getting,
    listing,
    rehoused,
    searching,
)
from tests.support.house import House
from tests.support.live import ROOT
from tests.support.restricted import share

pytestmark = pytest.mark.asyncio(loop_scope="module")


# Field 1023, of 16 bytes.
UNKNOWN = b"\xfa\x3f\x10newer-than-broke"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A broker whose stored bytes a test may change."""
    async with rehoused(tmp_path_factory.mktemp("own") / "network") as made:
        yield made


async def test_fields_newer_than_the_schema_never_leave(own: House) -> None:
    """pipeline rule 5: the answer is built afresh: what the broker does not know stays behind, at any depth."""
    taken = await share(own, sample_report(1))
    with sqlite3.connect(own.broker.config.broker.data / "store.db") as store:
        (payload,) = store.execute("select payload from version where record_id = ?", (taken.record_id,)).fetchone()
        report = report_pb2.Report.FromString(payload)
        for message in (report, report.header, report.lines[0], report.lines[0].provenance, report.entities[0].person):
            message.MergeFromString(UNKNOWN)
        changed = report.SerializeToString()
        assert changed.count(b"newer-than-broke") == 5
        store.execute("update version set payload = ? where record_id = ?", (changed, taken.record_id))
    for party in READERS:
        if party is LIAISON:
            continue
        answers = [
            await ask(own, GET, getting(taken.record_id), party),
            await ask(own, SEARCH, searching(), party),
            await ask(own, VERSIONS, listing(taken.record_id), party),
        ]
        async with Follower(own, party) as follower:
            answers.append(await follower.batch())
        for answer in answers:
            assert b"Courier movements 1" in answer.raw
            assert b"newer-than-broke" not in answer.raw


async def test_the_wire_has_no_place_for_what_cannot_be_classed() -> None:
    """pipeline rule 5: no Any, Struct or map; scalars have presence; the members of a oneof share a class."""
    looked_at: set[str] = set()
    waiting = [rule.response_type.DESCRIPTOR for rule in CATALOGUE]
    while waiting:
        message = waiting.pop()
        if message.full_name in looked_at:
            continue
        looked_at.add(message.full_name)
        assert message.full_name not in ("google.protobuf.Any", "google.protobuf.Struct")
        if message.file.package.startswith("google"):
            continue
        for field in message.fields:
            assert field.is_repeated or field.has_presence, field.full_name
            assert field.message_type is None or not field.message_type.GetOptions().map_entry
            if field.message_type is not None:
                waiting.append(field.message_type)
        for oneof in message.oneofs:
            classes = {rule.field_class for rule in field_rules(message) if rule.descriptor in oneof.fields}
            assert len(classes) == 1
    assert "entente.common.v1.Person" in looked_at


async def test_a_field_without_a_class_is_nobodys(place: House) -> None:
    """pipeline rule 6: what bears no class has one that no grant of anybody holds."""
    (rule,) = field_rules(health_pb2.HealthCheckResponse.DESCRIPTOR)
    granted = {one.field_class for message in messages() for one in field_rules(message)}
    assert rule.field_class not in granted
    for party in READERS:
        await ask(place, SEARCH, searching(), party)
    for held, _ in place.broker.decider._grants._grants.values():
        assert rule.field_class not in {*held.grant.answer_classes, *held.grant.classes}


def messages() -> list[Any]:
    """The messages of the report's own file: each of its fields has a class."""
    return list(report_pb2.DESCRIPTOR.message_types_by_name.values())


async def test_a_method_without_a_rule_does_not_start() -> None:
    """pipeline rule 6: a method without a rule stops the broker from starting."""
    with pytest.raises(ValueError, match="has no rule"):
        Catalogue.from_descriptors([*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"]])


async def test_handlers_and_catalogue_are_one_list(place: House) -> None:
    """pipeline rule 6: there is no second list: each method of the protos has its handler, and nothing else has one."""
    unary = {rule.path for rule in CATALOGUE if not rule.server_streaming}
    assert set(place.broker.pipeline.handlers) == unary


async def test_a_loosened_class_fails_the_build(tmp_path: Path) -> None:
    """pipeline rule 6: the classes are compared with the released ones."""
    baseline = tmp_path / "classes.json"
    whole = (ROOT / "proto/classes.json").read_text(encoding="utf-8")
    tighter = whole.replace('"SUMMARY -"', '"SOURCE -"', 1)
    assert tighter != whole
    for text, status in ((whole, 0), (tighter, 1)):
        baseline.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "broker.release.classes", "--baseline", str(baseline)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
