"""Callers of every kind, what they ask, and every byte that they are answered with."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from broker.app import Broker
from broker.config import load
from broker.decide.bundle import PolicyBundle, policy_folder
from broker.decide.catalogue import Catalogue, MethodRule
from broker.domain.caller import AgencyId, Caller
from broker.domain.errors import DecisionError
from broker.domain.exchange import Justification
from broker.domain.grant import Grant
from certs import network
from certs.network import PARTIES, Party
from entente.common.v1 import exchange_pb2
from tests.support.house import House, appoint_everybody
from tests.support.tainted import COMPARTMENT

PURPOSES = tuple(name.removeprefix("PURPOSE_") for name, number in exchange_pb2.Purpose.items() if number)
ROLES = tuple(sorted(PolicyBundle.load(policy_folder()).roles))
MEMBERS = ("neighbourhood", "national")


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person who asks for a purpose. `authoriser` is named in the justification."""

    party: Party
    roles: tuple[str, ...]
    purpose: str
    authoriser: str = ""
    clearance: str = ""
    # In the justification, and nobody's business but the auditor's.
    reason: str = ""

    def __str__(self) -> str:
        authorised = " authorised" if self.authoriser else ""
        return f"{self.party.profile} as {'+'.join(self.roles)} for {self.purpose}{authorised}"

    def metadata(self, house: House) -> tuple[tuple[str, str], ...]:
        """A token that allows every purpose: what is refused is refused by policy."""
        return _minted(house, self)

    def justify(self, request: Any) -> None:
        """Write the justification into a request, or its start, if it has one."""
        whole = request.start if "start" in request.DESCRIPTOR.fields_by_name else request
        if "justification" in whole.DESCRIPTOR.fields_by_name:
            whole.justification.purpose = exchange_pb2.Purpose.Value(f"PURPOSE_{self.purpose}")
            whole.justification.authoriser = self.authoriser
            whole.justification.reason = self.reason
            whole.justification.case_reference = self.reason
            whole.justification.legal_basis = self.reason

    async def grant(self, broker: Broker, rule: MethodRule) -> Grant | None:
        """What policy grants this visitor for a method; None where it may not call it."""
        caller = Caller(
            agency=AgencyId.parse(self.party.agency),
            workload="",
            thumbprint=b"",
            serial="",
            user=self.party.user,
            roles=frozenset(self.roles),
            clearance=self.clearance or self.party.clearance,
            nationalities=frozenset({self.party.country}),
            purposes=frozenset(PURPOSES),
            issuer="",
            token_id="",
            expires_at=0,
        )
        why = None if rule.justification_exempt else Justification(self.purpose, authoriser=self.authoriser)
        try:
            return await broker.decider.decide(caller, rule, why)
        except DecisionError:
            return None


_tokens: dict[tuple[Path, Visitor], tuple[tuple[str, str], ...]] = {}


def _minted(house: House, visitor: Visitor) -> tuple[tuple[str, str], ...]:
    """Made once: tokens hold for longer than any test."""
    key = (house.directory, visitor)
    if key not in _tokens:
        clearance = visitor.clearance or visitor.party.clearance
        _tokens[key] = house.metadata(visitor.party, roles=visitor.roles, purposes=PURPOSES, clearance=clearance)
    return _tokens[key]


def visitors(reason: str = "") -> Iterator[Visitor]:
    """Each party for each purpose, authorised too, and in each role that policy knows."""
    for party in PARTIES:
        for purpose in PURPOSES:
            yield Visitor(party, party.roles, purpose, reason=reason)
        yield Visitor(party, party.roles, party.purpose, "Supt. Alder", reason=reason)
        for role in ROLES:
            yield Visitor(party, (role,), party.purpose, reason=reason)


@dataclass
class Heard:
    """One call, and everything that its client received. `replies` are whole messages, receipts included."""

    visitor: Visitor
    rule: MethodRule
    request: bytes
    replies: list[bytes] = field(default_factory=list)
    error: grpc.aio.AioRpcError | None = None
    around: list[bytes] = field(default_factory=list)

    @property
    def everything(self) -> bytes:
        return b"\n".join((*self.replies, *self.around))

    def keep(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> None:
        for name, value in metadata or ():
            self.around += [name.encode(), value if isinstance(value, bytes) else value.encode()]


async def ask(house: House, visitor: Visitor, rule: MethodRule, request: Any) -> Heard:
    """Call a method as a visitor. A stream is followed until it is up to date, each batch acknowledged."""
    visitor.justify(request)
    heard = Heard(visitor, rule, request.SerializeToString())
    for _ in range(_TRIES):
        heard.error = None
        await exchange(house, heard, visitor.metadata(house))
        if heard.error is None or heard.error.code() != grpc.StatusCode.UNAVAILABLE:
            break
    return heard


# A busy machine may keep the ledger from answering within its second.
_TRIES = 3


async def exchange(house: House, heard: Heard, metadata: tuple[tuple[str, str], ...]) -> None:
    """The call itself, with whatever bytes and metadata it was given."""
    channel = house.channel(heard.visitor.party)
    call: Any
    try:
        if heard.rule.server_streaming:
            call = channel.stream_stream(heard.rule.path)(metadata=metadata, timeout=20)
            await _follow(call, heard)
        else:
            call = channel.unary_unary(heard.rule.path)(heard.request, metadata=metadata, timeout=20)
            heard.replies.append(await call)
        heard.keep(await call.initial_metadata())
        heard.keep(await call.trailing_metadata())
    except grpc.aio.AioRpcError as error:
        heard.error = error
        heard.keep(error.initial_metadata())
        heard.keep(error.trailing_metadata())
        heard.around += [(error.details() or "").encode(), (error.debug_error_string() or "").encode()]


async def _follow(call: Any, heard: Heard) -> None:
    await call.write(heard.request)
    while (reply := await call.read()) is not grpc.aio.EOF:
        heard.replies.append(reply)
        batch: Any = heard.rule.response_type.FromString(reply)
        if batch.up_to_date:
            await call.done_writing()
        else:
            acknowledgement: Any = heard.rule.request_type()
            acknowledgement.acknowledgement.cursor = batch.cursor
            await call.write(acknowledgement.SerializeToString())
    if await call.code() != grpc.StatusCode.OK:
        raise AssertionError("a stream ends with a status, or with an error that says so")


def reading(catalogue: Catalogue) -> list[MethodRule]:
    """Every method that does not write."""
    return [rule for rule in catalogue if not rule.write]


@contextlib.asynccontextmanager
async def furnished(directory: Path) -> AsyncIterator[House]:
    """A house whose directory holds a canary compartment, of which `MEMBERS` are members."""
    net = network.create(directory, "127.0.0.1:0")
    appoint_everybody(directory)
    path = directory / "directory.toml"
    blocks = path.read_text().split("[[")
    names = [party.agency for party in PARTIES if party.profile in MEMBERS]
    for number, block in enumerate(blocks):
        if any(f'name = "{name}"' in block for name in names):
            blocks[number] = re.sub(r"compartments = \[", f'compartments = ["{COMPARTMENT}", ', block)
    path.write_text("[[".join(blocks))
    broker = await Broker.start(load(net.broker_config))
    made = House(broker, directory)
    try:
        yield made
    finally:
        for channel in made.channels.values():
            await channel.close()
        await broker.stop()
