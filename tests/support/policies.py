"""Other policies than the shipped one, signed as the authority of a development network signs them."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from broker.decide.bundle import DATA_FILES, PolicyBundle, policy_folder
from broker.decide.bundle_signature import SigningKey
from certs.policy_key import PRIVATE
from entente.directory.v1 import enrolment_pb2
from entente.directory.v1 import enrolment_service_pb2 as wire
from tests.support.enrolments import FIRST, SECOND, SERVICE, WHY
from tests.support.exchanges import Place

Edit = Callable[[dict[str, str], dict[str, Any]], None]


def edited(edit: Edit) -> PolicyBundle:
    """The shipped policies after an edit of (modules by name, data by name), read as `load` reads a folder."""
    shipped = PolicyBundle.load(policy_folder())
    modules, data = dict(shipped.modules), orjson.loads(shipped.data)
    edit(modules, data)
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "data").mkdir()
        for name, text in modules.items():
            (Path(place) / name).write_text(text, "utf-8")
        for name in DATA_FILES:
            (Path(place) / "data" / f"{name}.json").write_bytes(orjson.dumps(data[name]))
        return PolicyBundle.load(Path(place))


def stricter() -> PolicyBundle:
    """INVESTIGATION is no investigative purpose any more: others see initials where they saw names."""

    def edit(_modules: dict[str, str], data: dict[str, Any]) -> None:
        data["purposes"]["INVESTIGATION"]["investigative"] = False

    return edited(edit)


def remarked(remark: str) -> PolicyBundle:
    """The shipped policies with a remark in them: the same answers under another revision."""

    def edit(modules: dict[str, str], _data: dict[str, Any]) -> None:
        modules["trees.rego"] += f"\n# {remark}\n"

    return edited(edit)


def key_of(network: Path) -> SigningKey:
    """The policy authority's key of a development network."""
    return SigningKey.read(network / "authority" / PRIVATE)


def configure_bundle(network: Path, bundle: PolicyBundle, *settings: str) -> None:
    """Have a development network's broker start from this bundle, signed by the network's authority.

    `settings`: further lines of its `[policy]`.
    """
    (network / "policy.tar.gz").write_bytes(bundle.to_archive(key_of(network)))
    configuration = network / "broker.toml"
    text = configuration.read_text("utf-8")
    lines = "\n".join(("[policy]", 'bundle = "policy.tar.gz"', *settings, ""))
    configuration.write_text(text.replace("[policy]\n", lines), "utf-8")


def adoption(archive: bytes, note: str = "as the board decided") -> enrolment_pb2.RegistryChange:
    """The change that adopts a bundle."""
    return enrolment_pb2.RegistryChange(adopt_policy=enrolment_pb2.PolicyAdoption(bundle=archive, note=note))


async def propose(place: Place, archive: bytes) -> str:
    """Propose a bundle as one registrar; the proposal's id. Raises grpc.aio.AioRpcError."""
    request = wire.ProposeChangeRequest(
        justification=WHY, idempotency_key=str(uuid.uuid4()), change=adoption(archive)
    ).SerializeToString()
    raw = await place.unary(f"{SERVICE}ProposeChange", request, FIRST)
    return wire.ProposeChangeResponse.FromString(raw).proposal.proposal_id


async def approve(place: Place, proposal_id: str) -> None:
    """Approve it as another. Raises grpc.aio.AioRpcError."""
    request = wire.ApproveProposalRequest(
        justification=WHY, idempotency_key=str(uuid.uuid4()), proposal_id=proposal_id
    ).SerializeToString()
    await place.unary(f"{SERVICE}ApproveProposal", request, SECOND)


async def adopt(place: Place, bundle: PolicyBundle) -> str:
    """Two registrars adopt a bundle, signed by the network's authority; the proposal's id."""
    proposal_id = await propose(place, bundle.to_archive(key_of(place.directory)))
    await approve(place, proposal_id)
    return proposal_id
