"""An exchange explained: to whom it concerns, in the words of the policy that decided, and without anything hidden."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from broker.audit import entry
from broker.decide.bundle import PolicyBundle, policy_folder
from certs.authority import Authority
from certs.network import Party
from entente.audit.v1 import explanation_service_pb2 as wire
from entente.common.v1 import marks_pb2
from entente.report.v1 import report_service_pb2
from tests.support import policies
from tests.support.exchanges import (
    GET,
    INSPECTOR,
    LIAISON,
    NATIONAL,
    OFFICER,
    READERS,
    REGIONAL,
    SEARCH,
    SUBMIT,
    ask,
    getting,
    justified,
    refusal,
    searching,
    submission,
)
from tests.support.gallery import Gallery, gallery
from tests.support.house import House, house, reason_of
from tests.support.tainted import filled

EXPLAIN = "/entente.audit.v1.ExplanationService/ExplainExchange"
RULES = PolicyBundle.load(policy_folder()).rules
NOBODYS = "f" * 32

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with house(tmp_path_factory.mktemp("explain") / "network") as made:
        yield made


def asking(exchange_id: str, purpose: str = "INVESTIGATION") -> Any:
    return justified(wire.ExplainExchangeRequest(exchange_id=exchange_id), purpose)


async def explained(place: House, exchange_id: str, party: Party, **options: Any) -> wire.Explanation:
    given = await ask(place, EXPLAIN, asking(exchange_id, party.purpose), party, **options)
    return wire.ExplainExchangeResponse.FromString(given.raw).explanation


async def unknown(place: House, exchange_id: str, party: Party, **options: Any) -> tuple[Any, ...]:
    """What a caller is told to whom it is no exchange."""
    refused = await refusal(place, EXPLAIN, asking(exchange_id, party.purpose), party, **options)
    return refused.status, refused.message, refused.reason


async def mixed(place: House) -> str:
    """A report of the officer's with a portion that nobody else sees."""
    report = filled(
        1,
        marks_pb2.Marks(
            classification=marks_pb2.CLASSIFICATION_OFFICIAL,
            handling_code=marks_pb2.HANDLING_CODE_P,
            tlp=marks_pb2.TLP_GREEN,
        ),
    )
    report.lines[0].marks.reach = marks_pb2.REACH_NONE
    del report.header.external_references[:]
    given = await ask(place, SUBMIT, submission(report), OFFICER)
    return str(given.message.record_id)


async def test_the_caller_is_told_what_was_withheld_by_which_rule_and_what_to_do(place: House) -> None:
    record_id = await mixed(place)
    for party in READERS:
        given = await ask(place, GET, getting(record_id), party)
        told = await explained(place, given.exchange_id, party)
        real = given.message.report.disclosure
        assert (told.agency, told.user, told.outcome) == (party.agency, party.user, "allowed")
        assert set(told.counted_roles) == set(party.roles)
        assert told.decided_under.revision == place.broker.policies.bundle.revision
        (release,) = told.releases
        assert release.records == 1
        assert {(path, one.rule) for one in release.withheld for path in one.paths} == {
            (one.path, one.rule) for one in real.withheld
        }
        assert {path for one in release.coarser for path in one.paths} == {one.path for one in real.generalised}
        for one in told.rules:
            if one.rule in RULES:
                assert (one.text, one.remedy) == (RULES[one.rule].text, RULES[one.rule].remedy)
        assert {one.rule for one in release.withheld} <= {one.rule for one in told.rules}


async def test_to_everybody_else_there_is_no_such_exchange(place: House) -> None:
    """MUST 1: colleagues, other agencies, and whoever is an auditor without saying that it audits."""
    record_id = await mixed(place)
    exchange_id = (await ask(place, GET, getting(record_id), REGIONAL)).exchange_id
    missing = await unknown(place, NOBODYS, NATIONAL)
    assert missing[0] is grpc.StatusCode.NOT_FOUND
    for party in (OFFICER, NATIONAL, LIAISON):
        assert await unknown(place, exchange_id, party) == missing
    colleague = place.metadata(REGIONAL)
    stranger = _minted(place, REGIONAL, "somebody.else")
    assert await unknown(place, exchange_id, REGIONAL, metadata=stranger) == missing
    assert (await explained(place, exchange_id, REGIONAL, metadata=colleague)).exchange_id == exchange_id


def _minted(place: House, party: Party, user: str, **claims: Any) -> Any:
    files = Authority.open(place.directory / "authority").agency(*party.agency.split("/"))
    values = {"roles": party.roles, "clearance": party.clearance, "purposes": party.purposes, "nationalities": ("GB",)}
    return (("authorization", f"Bearer {files.token_issuer().mint(user, **{**values, **claims})}"),)


async def test_auditors_are_told_within_their_scope(place: House) -> None:
    """The caller's agency's, the owner's, the inspector; and no other's. The owner's is not told who the caller was."""
    record_id = await mixed(place)
    by = _minted(place, REGIONAL, "somebody.else")
    exchange_id = (await ask(place, GET, getting(record_id), REGIONAL, metadata=by)).exchange_id
    whole = await explained(place, exchange_id, INSPECTOR)
    assert (whole.user, list(whole.counted_roles)) == ("somebody.else", list(REGIONAL.roles))
    assert whole.agreement_ids
    for party, same_house in ((REGIONAL, True), (OFFICER, False)):
        told = await audited(place, exchange_id, party)
        assert bool(told.counted_roles) == bool(told.agreement_ids) == same_house
        assert [one.records for one in told.releases] == [1]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await audited(place, exchange_id, NATIONAL)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    # An auditor who states another purpose than to audit is a colleague like any other.
    both = {"roles": (*REGIONAL.roles, "auditor"), "purposes": ("AUDIT", "INVESTIGATION")}
    working = place.metadata(REGIONAL, **both)
    assert (await unknown(place, exchange_id, REGIONAL, metadata=working))[0] is grpc.StatusCode.NOT_FOUND


async def test_another_agencys_auditor_is_told_nothing_of_what_is_sealed(
    place: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MUST 5: where an answer held much, the entry only commits to the fields, of third parties' records too."""
    record_id = await mixed(place)
    monkeypatch.setattr(entry, "MAX_ENTRY_BYTES", 3_000)
    given = await ask(place, GET, getting(record_id), REGIONAL)
    assert "fields" in given.receipt.leaf["disclosures"][0]
    assert (await audited(place, given.exchange_id, REGIONAL)).releases[0].withheld
    told = await audited(place, given.exchange_id, OFFICER)
    assert (told.agency, told.outcome) == (REGIONAL.agency, "allowed")
    assert not told.releases
    assert not told.rules


async def audited(place: House, exchange_id: str, party: Party) -> wire.Explanation:
    """As the party's auditor. Raises grpc.aio.AioRpcError."""
    metadata = place.metadata(party, roles=("auditor",), purposes=("AUDIT",))
    raw = await place.unary(EXPLAIN, asking(exchange_id, "AUDIT").SerializeToString(), party, metadata=metadata)
    return wire.ExplainExchangeResponse.FromString(raw).explanation


async def test_a_refused_call_names_the_rule_that_refused_it(place: House) -> None:
    refused = await refusal(place, GET, getting("0" * 32, "AUDIT"), OFFICER)
    told = await explained(place, refused.exchange_id, OFFICER)
    assert (told.outcome, told.reason) == ("denied", "PURPOSE_NOT_PERMITTED")
    assert told.refused_by.rule == "purpose_in_token"
    assert told.refused_by.text == RULES["purpose_in_token"].text
    assert told.refused_by.remedy == RULES["purpose_in_token"].remedy
    assert told.decided_under.revision == place.broker.policies.bundle.revision


async def test_hidden_and_missing_are_explained_in_the_same_words(place: House) -> None:
    """MUST 3."""
    report = filled(
        2,
        marks_pb2.Marks(
            classification=marks_pb2.CLASSIFICATION_TOP_SECRET,
            handling_code=marks_pb2.HANDLING_CODE_P,
            reach=marks_pb2.REACH_NONE,
        ),
    )
    del report.header.external_references[:]
    high = place.metadata(OFFICER, clearance="TOP_SECRET")
    hidden = (await ask(place, SUBMIT, submission(report), OFFICER, metadata=high)).message.record_id
    told = []
    for record_id in (hidden, "0" * 32):
        refused = await refusal(place, GET, getting(record_id), REGIONAL)
        one = await explained(place, refused.exchange_id, REGIONAL)
        assert one.reason == "NOT_FOUND"
        for field in ("exchange_id", "time"):
            one.ClearField(field)
        one.decided_under.ClearField("decision_id")
        told.append(one.SerializeToString(deterministic=True))
    assert told[0] == told[1]


async def test_a_hidden_portion_and_a_hidden_record_are_not_mentioned(place: House) -> None:
    """MUST 2: an answer with a hidden portion, or from among hidden records, is explained as if they were not there."""
    record_id = await mixed(place)
    given = await ask(place, GET, getting(record_id), NATIONAL)
    own = await ask(place, GET, getting(record_id), OFFICER)
    keys = {one.key for one in own.message.report.report.lines}
    assert len(given.message.report.report.lines) == len(keys) - 1
    told = (await explained(place, given.exchange_id, NATIONAL)).SerializeToString()
    assert not [key for key in keys if key.encode() in told]
    found = await ask(place, SEARCH, searching(originator=OFFICER.agency), NATIONAL)
    searched = await explained(place, found.exchange_id, NATIONAL)
    assert sum(one.records for one in searched.releases) == len(found.message.reports)


async def test_rules_are_told_as_they_stood_when_it_was_decided(place: House) -> None:
    """MUST 4: another policy, with other words, changes no explanation of what was decided before."""
    record_id = await mixed(place)
    exchange_id = (await ask(place, GET, getting(record_id), LIAISON)).exchange_id
    before = await explained(place, exchange_id, LIAISON)
    await policies.adopt(place, policies.remarked("said otherwise"))
    assert place.broker.policies.bundle.revision != before.decided_under.revision
    after = await explained(place, exchange_id, LIAISON)
    assert after == before
    assert all(one.text for one in after.rules if one.rule in RULES)


async def test_no_explanation_holds_a_value_of_a_record(tmp_path_factory: pytest.TempPathFactory) -> None:
    """MUST 2, on reports of which every field is a canary: each read is explained to reader and inspector."""
    async with gallery(tmp_path_factory.mktemp("gallery") / "network") as visited:
        for party in READERS:
            for one in visited.exhibits[::6]:
                await _explained_without_a_word(visited, party, one.record_id)


async def _explained_without_a_word(visited: Gallery, party: Party, record_id: str) -> None:
    place = visited.house
    raw = getting(record_id).SerializeToString()
    try:
        answer = await place.unary(GET, raw, party)
        exchange_id = str(_leaf(answer)["exchange_id"])
    except grpc.aio.AioRpcError as error:
        exchange_id = reason_of(error).metadata["exchange_id"]
    for who in (party, INSPECTOR):
        told = await explained(place, exchange_id, who)
        assert not visited.finder.find(told.SerializeToString())


def _leaf(answer: bytes) -> dict[str, Any]:
    leaf: dict[str, Any] = json.loads(report_service_pb2.GetReportResponse.FromString(answer).receipt.leaf)
    return leaf
