"""Canaries: no byte that leaves the broker holds a value that policy withholds from whoever receives it.

Every field of every report is a canary, under every mark; every kind of caller asks everything that can be asked. What
each may see is worked out apart from the broker's release stage (`tests/support/tainted.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message

from broker.domain.grant import FULL, PART, WITHHELD
from broker.release.records import item_slot
from entente.common.v1 import exchange_pb2
from entente.report.v1 import report_pb2
from tests.support.gallery import REASON_NUMBER, Gallery, gallery
from tests.support.looks import Look, by_record, missing, present
from tests.support.tainted import CLASSED, PORTIONS, Tainted
from tests.support.visitors import Heard

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def visited(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gallery]:
    async with gallery(tmp_path_factory.mktemp("canaries") / "network") as made:
        await made.visit()
        yield made


async def test_nobody_receives_what_policy_withholds(visited: Gallery) -> None:
    known = visited.by_number
    leaks = []
    for heard in visited.heard:
        for number in visited.finder.find(heard.everything) - visited.shown(heard.visitor):
            one, canary = known.get(number, (None, None))
            leaks.append((str(heard.visitor), heard.rule.path, one and one.name, canary or number))
    assert not leaks, f"{len(leaks)} leaks, the first: {leaks[:3]}"


async def test_refused_are_those_whom_policy_refuses(visited: Gallery) -> None:
    """What a visitor may call was asked of policy; the wire says the same."""
    for heard in visited.heard:
        permitted = visited.granted[heard.visitor, heard.rule.path]
        code = heard.error.code() if heard.error else grpc.StatusCode.OK
        usual = {grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND} if permitted else {grpc.StatusCode.PERMISSION_DENIED}
        assert code in usual, (str(heard.visitor), heard.rule.path, heard.error)


async def test_each_field_is_seen_by_somebody_and_hidden_from_somebody(visited: Gallery) -> None:
    """A canary that nobody ever sees, or everybody, proves nothing."""
    seen: set[str] = set()
    hidden: set[str] = set()
    for exhibit, heard in gets(visited):
        came = present(answered(heard)) if heard.replies else set()
        seen |= came
        hidden |= missing(exhibit, visited.sights[heard.visitor], came)
    assert seen >= CLASSED.keys(), f"never seen: {CLASSED.keys() - seen}"
    assert hidden >= CLASSED.keys(), f"never hidden: {CLASSED.keys() - hidden}"


async def test_what_may_be_seen_is_found(visited: Gallery) -> None:
    """The finder is not blind: of a report that may be read, each canary that may be read is in the answer."""
    found: set[int] = set()
    for exhibit, heard in gets(visited):
        if heard.replies and exhibit.alone:
            due = visited.sights[heard.visitor].shown(exhibit)
            got = visited.finder.find(heard.everything)
            assert due <= got, [visited.by_number[number][1] for number in sorted(due - got)][:3]
            found |= due
    unseen = [canary for one, canary in visited.by_number.values() if one.alone and canary.number not in found]
    # The originator sees everything but the keys that the broker replaced.
    assert {canary.path for canary in unseen} == {f"{name}.key" for name in PORTIONS}


async def test_hidden_pointed_at_or_shown(visited: Gallery) -> None:
    """Whether a record is answered at all is as policy says, and every way occurs."""
    ways = set()
    for exhibit, heard in gets(visited):
        sight = visited.sights[heard.visitor]
        due = "pointer" if sight.points_at(exhibit) else "report" if sight.levels(exhibit, ("", 0)) else "hidden"
        way = str(answered(heard).WhichOneof("content")) if heard.replies else "hidden"
        assert way == due, (str(heard.visitor), exhibit.name)
        ways.add(way)
    assert ways == {"hidden", "pointer", "report"}


async def test_disclosures_are_honest(visited: Gallery) -> None:
    """What came is what may be seen, what is said to be withheld is, and the ledger says the same (invariant 12)."""
    levels = set()
    checked = set()
    for look in looks(visited):
        who = (str(look.heard.visitor), look.exhibit.name)
        # The same bytes for whoever is granted the same: once is enough.
        alike = (look.granted(), look.disclosed.SerializeToString(deterministic=True))
        if alike not in checked:
            checked.add(alike)
            assert not look.faults(), who
        assert not look.ledger_faults(), who
        levels |= set(look.statuses().values())
        shown = {getattr(came, "key", "") for _, _, came in look.pairs()}
        listed = (*look.disclosed.disclosure.withheld, *look.disclosed.disclosure.generalised)
        assert {key for one in listed for key in one.portions} <= shown, who
        assert (look.disclosed.disclosure.level == exchange_pb2.DISCLOSURE_LEVEL_FULL) == (not listed), who
    assert levels >= {FULL, PART, WITHHELD}


async def test_get_search_history_and_stream_release_alike(visited: Gallery) -> None:
    """One record for one visitor is the same bytes, however it was asked for (pipeline rule 12)."""
    released: dict[Any, dict[bytes, set[str]]] = defaultdict(lambda: defaultdict(set))
    for heard in visited.heard:
        for reply in heard.replies:
            for one in disclosed_in(heard.rule.response_type.FromString(reply)):
                if one.HasField("report"):
                    key = (heard.visitor, one.report.header.record_id, one.report.header.version)
                    released[key][one.SerializeToString(deterministic=True)].add(heard.rule.path)
    for key, forms in released.items():
        assert len(forms) == 1, (str(key[0]), forms.values())
    holding = {
        rule.path for rule in visited.house.broker.catalogue if item_slot(rule.response_type.DESCRIPTOR) is not None
    }
    assert {path for forms in released.values() for paths in forms.values() for path in paths} == holding


async def test_nothing_is_printed_or_logged(visited: Gallery) -> None:
    output = visited.output.getvalue().encode()
    assert b"serving" in output
    assert not visited.finder.find(output)


async def test_ledger_seals_and_audit_index_hold_no_value(visited: Gallery) -> None:
    """Of all the broker's files only the store's hold what was reported; what callers say of themselves is in none."""
    data = visited.house.directory / "data"
    holding = {path.name for path in data.rglob("*") if path.is_file() and visited.finder.find(path.read_bytes())}
    assert {name.split(".")[0] for name in holding} == {"store"}
    ledger = visited.house.broker.ledger
    assert not visited.finder.find(b"\n".join(ledger.entries(0, len(ledger))))
    kept = b"".join(path.read_bytes() for path in data.glob("store.db*"))
    assert REASON_NUMBER not in visited.finder.find(kept)


def answered(heard: Heard) -> report_pb2.DisclosedReport:
    """What a Get was answered with."""
    reply: Any = heard.rule.response_type.FromString(heard.replies[0])
    found: report_pb2.DisclosedReport = reply.report
    return found


def gets(visited: Gallery) -> Iterator[tuple[Tainted, Heard]]:
    """(report, what was heard) of every Get that policy allows."""
    latest, exact = by_record(visited.exhibits), {(one.record_id, one.version): one for one in visited.exhibits}
    rule = visited.rule("GetReport")
    for heard in visited.heard:
        if heard.rule is rule and visited.granted[heard.visitor, rule.path]:
            asked: Any = rule.request_type.FromString(heard.request)
            yield exact.get((asked.record_id, asked.version), latest[asked.record_id]), heard


def looks(visited: Gallery) -> Iterator[Look]:
    """Every Get that was answered with a report."""
    for exhibit, heard in gets(visited):
        if heard.replies and answered(heard).HasField("report"):
            yield Look(exhibit, heard, visited.sights[heard.visitor])


def disclosed_in(message: Message) -> Iterator[report_pb2.DisclosedReport]:
    """The disclosed reports in an answer, at any depth."""
    if isinstance(message, report_pb2.DisclosedReport):
        yield message
        return
    for one, value in message.ListFields():
        if one.message_type is not None:
            for item in value if one.is_repeated else [value]:
                yield from disclosed_in(item)
