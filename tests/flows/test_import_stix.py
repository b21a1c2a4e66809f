"""Real crime-group data through the whole pipeline: imported, repeated, updated, cut off by kill -9 and resumed."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certs.network import PARTIES
from entente.report.v1 import report_pb2
from entente_sdk import AsyncEntente, Entente, Justification, ReportQuery, RetryPolicy
from entente_sdk.settings import load_profile
from entente_sdk.stix.bundle import read_bundle
from entente_sdk.stix.importer import Imported, Importer
from entente_sdk.stix.mapping import Mapping, Sharing, map_bundle
from entente_sdk.stix.rows import Outcome, Row, counts
from tests.support.live import LiveBroker, live_broker
from tests.support.shared import shared_data
from tests.support.stix_bundles import SECOND, bundle, collection, group, joined, raw_bundle, thing

ENTERPRISE, OLDER, LATEST = "enterprise-groups.stix20.json", "ics-attack-17.1.json", "ics-attack-latest.json"
AGENCY = next(party.agency for party in PARTIES if party.profile == "national")
WHY = Justification("intelligence_development", case_reference="OP LANTERN")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LiveBroker]:
    with live_broker(tmp_path / "network") as running:
        yield running


def environment(broker: LiveBroker, profile: str = "national") -> dict[str, str]:
    return {**os.environ, "ENTENTE_CONFIG": str(broker.network.client_config), "ENTENTE_PROFILE": profile}


def entente(broker: LiveBroker, *words: str, profile: str = "national") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from entente_sdk.cli import main; main()", *words]
    return subprocess.run(
        command, env=environment(broker, profile), capture_output=True, text=True, timeout=300, check=False
    )


def import_real(broker: LiveBroker, name: str, *options: str) -> dict[str, Any]:
    path = shared_data("attack-groups") / name
    done = entente(broker, "import", "stix", str(path), "-o", "json", *options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def outcomes(document: dict[str, Any]) -> dict[str, int]:
    """What became of the reports."""
    own = {"submitted", "amended", "retracted", "unchanged", "older than held", "failed"}
    return {name: count for name, count in document["counts"].items() if name in own}


def client(broker: LiveBroker, profile: str = "national") -> Entente:
    return Entente(load_profile(profile, environ=environment(broker)))


def all_reports(broker: LiveBroker) -> list[report_pb2.Report]:
    with client(broker) as connected:
        query = ReportQuery(originator=AGENCY, include_retracted=True)
        return [found.report for found in connected.reports.search(query, justification=WHY)]


def verified(broker: LiveBroker) -> None:
    """The ledger holds every exchange, untouched."""
    key = broker.network.log_key
    done = entente(broker, "audit", "verify", str(broker.network.ledger), "--key", key, profile="auditor")
    assert done.returncode == 0, done.stdout + done.stderr


async def imported(
    broker: LiveBroker, mapping: Mapping, *, retry: RetryPolicy | None = None, **options: Any
) -> Imported:
    profile = load_profile("national", environ=environment(broker))
    async with AsyncEntente(profile, retry=retry, seconds=60) as connected:
        return await Importer(connected, WHY, **options).run(mapping)


async def test_the_three_bundles_and_their_repetition(broker: LiveBroker) -> None:
    first = import_real(broker, OLDER)
    assert outcomes(first) == {"submitted": 22, "retracted": 2}
    assert await imported_again(broker, OLDER) == {"unchanged": 24}

    before = {report.header.record_id: report.header.etag for report in all_reports(broker)}
    assert len(before) == 24
    compared = import_real(broker, LATEST, "--dry-run", "--compare")
    assert outcomes(compared) == {"amended": 2, "unchanged": 22}
    assert before == {report.header.record_id: report.header.etag for report in all_reports(broker)}

    later = import_real(broker, LATEST)
    assert outcomes(later) == {"amended": 2, "unchanged": 22}
    amended = {row["name"] for row in later["rows"] if row["outcome"] == "amended"}
    assert amended == {"Lazarus Group", "FIN7"}
    after = {report.header.record_id: report.header.etag for report in all_reports(broker)}
    assert sum(before[record] != etag for record, etag in after.items()) == 2

    enterprise = import_real(broker, ENTERPRISE)
    assert sum(outcomes(enterprise).values()) == 239
    assert "failed" not in outcomes(enterprise)
    assert await imported_again(broker, ENTERPRISE) == {"unchanged": 239}
    assert await imported_again(broker, OLDER) == {"older than held": 2, "unchanged": 22}
    assert await imported_again(broker, LATEST) == {"unchanged": 24}

    states = Counter(report.header.state for report in all_reports(broker))
    assert states == {1: 238, 2: 6}
    with client(broker) as connected:
        (oilrig,) = connected.reports.search(ReportQuery(name="APT34"), justification=WHY)
        assert oilrig.report.title == "OilRig"
        retracted = ReportQuery(external_reference=("stix", stix_of(enterprise, "APT34")), include_retracted=True)
        (apt34,) = connected.reports.search(retracted, justification=WHY)
        assert "OilRig" in apt34.report.header.retraction_reason
    verified(broker)


async def imported_again(broker: LiveBroker, name: str) -> dict[str, int]:
    mapping = map_bundle(read_bundle(shared_data("attack-groups") / name), Sharing())
    return counts((await imported(broker, mapping)).rows)


def stix_of(document: dict[str, Any], name: str) -> str:
    return str(next(row["stix_id"] for row in document["rows"] if row["name"] == name))


async def test_kill_9_in_the_middle_loses_nothing_and_the_import_resumes(broker: LiveBroker) -> None:
    mapping = map_bundle(read_bundle(shared_data("attack-groups") / ENTERPRISE), Sharing())
    acknowledged: list[Row] = []

    def kill_at_sixty(row: Row) -> None:
        acknowledged.append(row)
        if len(acknowledged) == 60:
            broker.kill()

    cut_off = await imported(broker, mapping, retry=RetryPolicy(attempts=2), on_row=kill_at_sixty)
    assert cut_off.stopped is not None
    assert cut_off.stopped.reason == "NO_ANSWER"
    assert 60 <= len(cut_off.rows) < 239
    assert cut_off.untouched == 239 - len(cut_off.rows)

    broker.start()
    held = {report.header.record_id for report in all_reports(broker)}
    assert {row.record_id for row in acknowledged} <= held

    resumed = await imported(broker, mapping)
    assert resumed.stopped is None
    found = counts(resumed.rows)
    assert not found.get("failed")
    assert found["unchanged"] >= 60
    reports = all_reports(broker)
    references = [
        one.reference for report in reports for one in report.header.external_references if one.source == "stix"
    ]
    assert sorted(references) == sorted(one.stix_id for one in mapping.reports)
    assert Counter(report.header.state for report in reports) == {1: 233, 2: 6}
    assert counts((await imported(broker, mapping)).rows) == {"unchanged": 239}
    verified(broker)


async def test_a_broker_that_is_killed_and_comes_back_does_not_end_the_import(broker: LiveBroker) -> None:
    mapping = map_bundle(read_bundle(shared_data("attack-groups") / ENTERPRISE), Sharing())
    done = 0

    def restart_at_forty(_: Row) -> None:
        nonlocal done
        done += 1
        if done == 40:
            broker.kill()
            threading.Thread(target=broker.start).start()

    patient = RetryPolicy(attempts=20, first_wait_seconds=0.2)
    result = await imported(broker, mapping, retry=patient, on_row=restart_at_forty)
    assert result.stopped is None
    assert counts(result.rows) == {"submitted": 233, "retracted": 6}
    assert len(all_reports(broker)) == 239
    verified(broker)


async def test_hostile_strings_and_limits_pass_unchanged(broker: LiveBroker) -> None:
    strings = json.loads((shared_data("naughty-strings") / "blns.json").read_text(encoding="utf-8"))
    names = [text for text in dict.fromkeys(strings) if text.strip() and len(text) <= 256]
    longest = group("n" * 256, description="é" * 70_000, aliases=[f"{n}" * 64 for n in range(100, 228)])
    objects = [group(text, description=text, aliases=["x" + text]) for text in names]
    mapping = map_bundle(bundle(longest, *objects), Sharing())
    assert len(mapping.reports) == len(names) + 1
    result = await imported(broker, mapping)
    assert counts(result.rows) == {"submitted": len(names) + 1}, [r for r in result.rows if r.outcome == "failed"][:3]
    assert sorted(report.title for report in all_reports(broker)) == sorted([*names, "n" * 256])
    assert counts((await imported(broker, mapping)).rows) == {"unchanged": len(names) + 1}


async def test_what_a_later_bundle_lacks_is_left_alone_and_listed(broker: LiveBroker) -> None:
    a, b = group("a"), group("b")
    elsewhere = map_bundle(bundle(group("c")), Sharing())
    await imported(broker, elsewhere)
    await imported(broker, map_bundle(bundle(a, b, collection()), Sharing()))
    later = await imported(broker, map_bundle(bundle(a, collection()), Sharing()))
    absent = [row for row in later.rows if row.outcome is Outcome.ABSENT]
    assert [row.stix_id for row in absent] == [b["id"]]
    assert len(all_reports(broker)) == 3


async def test_what_people_wrote_survives_the_next_import(broker: LiveBroker) -> None:
    a, tool = group("a", description="first"), thing("tool", "t")
    await imported(broker, map_bundle(bundle(a, tool, joined(a, "uses", tool)), Sharing()))
    (report,) = all_reports(broker)
    amended = report_pb2.Report()
    amended.lines.extend(report.lines)
    amended.lines.add(key="mine", information="Seen by an officer.").grading.CopyFrom(report.lines[0].grading)
    with client(broker) as connected:
        connected.reports.amend(
            report.header.record_id, amended, etag=report.header.etag, paths=["lines"], justification=WHY
        )
    newer = group("a", SECOND, description="second")
    result = await imported(broker, map_bundle(bundle(newer, tool, joined(newer, "uses", tool)), Sharing()))
    assert counts(result.rows) == {"amended": 1}
    (report,) = all_reports(broker)
    said = [line.information for line in report.lines]
    assert said == ["second", "a uses the tool t.", "Seen by an officer."]


def test_bad_input_and_a_broker_that_is_not_there(broker: LiveBroker, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("no bundle")
    refused = entente(broker, "import", "stix", str(bad))
    assert refused.returncode == 5
    assert "not JSON" in refused.stderr

    some = tmp_path / "some.json"
    some.write_bytes(raw_bundle(group("sound"), group("n" * 300), {"type": "odd"}))
    listed = tmp_path / "rows.jsonl"
    partly = entente(broker, "import", "stix", str(some), "--report", str(listed))
    assert partly.returncode == 5
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    assert Counter(row["outcome"] for row in rows) == {"submitted": 1, "failed": 2}

    denied = entente(broker, "import", "stix", str(some), profile="auditor")
    assert denied.returncode == 4
    assert "Run the same command again" in denied.stdout

    broker.kill()
    dry = entente(broker, "import", "stix", str(some), "--dry-run")
    assert dry.returncode == 5
    assert "Nothing was written" in dry.stdout


def test_the_progress_bar_is_for_terminals_only(broker: LiveBroker) -> None:
    path = shared_data("attack-groups") / OLDER
    quiet = entente(broker, "import", "stix", str(path))
    assert "importing" not in quiet.stdout + quiet.stderr
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", "from entente_sdk.cli import main; main()", "import", "stix", str(path)]
    shown: list[bytes] = []

    def read() -> None:
        try:
            while piece := os.read(leader, 4096):
                shown.append(piece)
        except OSError:  # the other end is closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    subprocess.run(command, env=environment(broker), stdout=subprocess.DEVNULL, stderr=follower, timeout=60, check=True)
    os.close(follower)
    reader.join(timeout=10)
    os.close(leader)
    assert b"importing" in b"".join(shown)
