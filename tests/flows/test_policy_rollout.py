"""Two registrars adopt another policy: it is in force at once, for every read, and stays so; nothing else comes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from broker.config import ConfigError
from broker.decide.bundle import PolicyBundle, policy_folder
from broker.decide.bundle_signature import SigningKey
from entente.policy.v1 import policy_service_pb2 as policies
from entente.report.v1 import report_service_pb2 as reports
from tests.support.enrolments import FIRST, SECOND, WHY
from tests.support.exchanges import GET, NATIONAL, OFFICER, REGIONAL, ask, getting, rehoused
from tests.support.house import House, reason_of, refusal_details, submitted
from tests.support.policies import adopt, approve, edited, key_of, propose, remarked, stricter

SHIPPED = PolicyBundle.load(policy_folder())
GET_POLICY = "/entente.policy.v1.PolicyService/GetPolicy"


async def names_of(place: House, record_id: str) -> tuple[list[str], str]:
    """Names that the national analyst is given, and the revision under which."""
    answer = await ask(place, GET, getting(record_id), NATIONAL)
    report = reports.GetReportResponse.FromString(answer.raw).report.report
    names = [entity.person.name for entity in report.entities if entity.HasField("person")]
    return names, answer.receipt.leaf["policy"]["bundle"]


async def policy_of(place: House, **asked: Any) -> policies.Policy:
    request = policies.GetPolicyRequest(justification=WHY, **asked)
    raw = await place.unary(GET_POLICY, request.SerializeToString(), FIRST)
    return policies.GetPolicyResponse.FromString(raw).policy


async def test_an_adopted_policy_is_in_force_at_the_next_read_and_on_the_ledger(tmp_path: Path) -> None:
    """rollout MUST 1: what was decided under the policy before opens nothing any more."""
    other = stricter()
    async with rehoused(tmp_path / "network") as place:
        target = await submitted(place, OFFICER)
        before, revision = await names_of(place, target.record_id)
        assert revision == SHIPPED.revision
        proposal_id = await adopt(place, other)
        after, revision = await names_of(place, target.record_id)
        assert revision == other.revision
        assert before != after
        assert all(len(name) < len(whole) for name, whole in zip(after, before, strict=True)), "initials"
        told = await policy_of(place)
        assert (told.revision, told.epoch, told.in_force) == (other.revision, 2, True)
        assert (told.origin, told.proposal_id) == (policies.POLICY_ORIGIN_ADOPTED, proposal_id)
        assert (told.proposer.user, told.approver.user) == (FIRST.user, SECOND.user)
        assert (told.engine, told.health) == ("embedded", policies.ENGINE_HEALTH_READY)


async def test_what_was_in_force_stays_on_file_and_can_come_back(tmp_path: Path) -> None:
    async with rehoused(tmp_path / "network") as place:
        await adopt(place, stricter())
        old = await policy_of(place, revision=SHIPPED.revision, with_bundle=True)
        assert (old.in_force, old.epoch, old.origin) == (False, 1, policies.POLICY_ORIGIN_CONFIGURED)
        assert PolicyBundle.from_archive(old.bundle, None) == SHIPPED
        await adopt(place, SHIPPED)
        assert (await policy_of(place)).epoch == 3
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await policy_of(place, revision="0" * 64)
        assert unknown.value.code() == grpc.StatusCode.NOT_FOUND


async def test_an_adopted_policy_stands_over_the_configured_one_until_it_is_passed_over(tmp_path: Path) -> None:
    other = stricter()
    async with rehoused(tmp_path / "network") as place:
        await adopt(place, other)
    async with rehoused(tmp_path / "network") as place:
        assert (await policy_of(place)).revision == other.revision
    settings = tmp_path / "network" / "broker.toml"
    text = settings.read_text()
    settings.write_text(text.replace("[policy]\n", f'[policy]\npassed_over = "{other.revision}"\n'))
    async with rehoused(tmp_path / "network") as place:
        told = await policy_of(place)
        assert (told.revision, told.epoch, told.origin) == (SHIPPED.revision, 3, policies.POLICY_ORIGIN_CONFIGURED)


async def test_an_adopted_policy_that_nobody_can_prove_keeps_the_broker_from_starting(tmp_path: Path) -> None:
    """rollout MUST 4."""
    async with rehoused(tmp_path / "network") as place:
        await adopt(place, stricter())
    key = tmp_path / "network" / "authority" / "policy.pub"
    key.write_text(SigningKey.generate().verification_key.pem)
    with pytest.raises(ConfigError, match="signature does not hold"):
        async with rehoused(tmp_path / "network"):
            raise AssertionError("it started")


def broken(modules: dict[str, str], _data: dict[str, Any]) -> None:
    modules["method.rego"] += "\nsome junk\n"


def allowing(modules: dict[str, str], _data: dict[str, Any]) -> None:
    modules["method.rego"] = (
        'package entente\n\nmethod := {"allow": true, "rule": "method_permitted", "answer_classes": ["ENVELOPE"]}\n'
    )


def locked_out(_modules: dict[str, str], data: dict[str, Any]) -> None:
    data["roles"]["registrar"]["permissions"].remove("REGISTRY_WRITE")


def unportable(modules: dict[str, str], _data: dict[str, Any]) -> None:
    modules["method.rego"] += "\nnoon := time.now_ns()\n"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (broken, "cannot be evaluated"),
        (allowing, "grants something to a caller who has nothing"),
        (locked_out, "nobody could put another policy in force"),
        (unportable, "no clock in policy"),
    ],
    ids=["does not compile", "allows all", "locks registrars out", "is not portable"],
)
async def test_a_policy_that_could_not_serve_is_refused_when_it_is_proposed(
    with_network: House, edit: Any, said: str
) -> None:
    """examination MUSTs 2 and 3."""
    archive = edited(edit).to_archive(key_of(with_network.directory))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await propose(with_network, archive)
    assert (refused.value.code(), reason_of(refused.value).reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
    )
    assert said in str(refusal_details(refused.value))


@pytest.mark.parametrize("key", [None, SigningKey.generate()], ids=["unsigned", "signed by another"])
async def test_a_policy_that_the_authority_has_not_signed_is_refused(
    with_network: House, key: SigningKey | None
) -> None:
    """examination MUST 1."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await propose(with_network, stricter().to_archive(key))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "sign" in str(refusal_details(refused.value))


async def test_a_proposal_is_examined_again_when_it_is_approved(tmp_path: Path) -> None:
    """adoption MUST 1: what was in order when it was proposed need not be when it is approved."""
    async with rehoused(tmp_path / "network") as place:
        proposal_id = await propose(place, remarked("one").to_archive(key_of(place.directory)))
        await adopt(place, remarked("one"))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await approve(place, proposal_id)
        assert "in force already" in str(refusal_details(refused.value))
        assert (await policy_of(place)).epoch == 2


async def test_who_is_no_registrar_learns_nothing_of_a_proposed_policy(tmp_path: Path) -> None:
    async with rehoused(tmp_path / "network") as place:
        request = policies.GetPolicyRequest(justification=WHY).SerializeToString()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await place.unary(GET_POLICY, request, REGIONAL)
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture(name="with_network")
async def _with_network(tmp_path: Path) -> Any:
    async with rehoused(tmp_path / "network") as place:
        yield place
