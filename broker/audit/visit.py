"""One call on its way through the house: what its entries are made of, and how it may end."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from grpc import StatusCode

from broker.domain.answer import Call
from broker.domain.caller import Caller, Peer
from broker.domain.errors import BrokerError
from broker.domain.exchange import DisclosureGroup, Exchange, Justification
from broker.domain.grant import Grant


class Rule(Protocol):
    """What the recorder needs of a method's rule."""

    @property
    def entry_type(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def write(self) -> bool: ...


class Released(Protocol):
    """What the release stage hands over."""

    @property
    def response(self) -> bytes: ...
    @property
    def groups(self) -> tuple[DisclosureGroup, ...]: ...


class RefusedError(Exception):
    """A refusal that is on the ledger. `receipt` is empty when the ledger is down, or the refusal was only counted."""

    def __init__(
        self, error: BrokerError, status: StatusCode, exchange_id: str, receipt: bytes, *, counted: bool = False
    ) -> None:
        super().__init__(str(error))
        # Its frames hold the call's context; see `refuse` in broker/server.py.
        self.error = error.with_traceback(None)
        self.status = status
        self.exchange_id = exchange_id
        self.receipt = receipt
        self.counted = counted


@dataclass(slots=True)
class Visit:
    """One call on its way through the house, filled in stage by stage: what its entries are made of."""

    exchange: Exchange
    peer: Peer | None = None
    caller: Caller | None = None
    rule: Rule | None = None
    request: bytes | None = None
    justification: Justification | None = None
    grant: Grant | None = None
    target: str = ""
    salt: bytes | None = None
    intended: bool = False
    closed: bool = False
    # The index of the last release entry, once durable; and of a stream's batches that were handed over and not
    # acknowledged, oldest first.
    released_at: int | None = None
    unacknowledged: deque[int] = field(default_factory=deque)

    @property
    def known_caller(self) -> Caller:
        """The caller, once identified."""
        assert self.caller is not None
        return self.caller

    @property
    def known_grant(self) -> Grant:
        """The grant, once decided."""
        assert self.grant is not None
        return self.grant

    def call(self, request: object) -> Call:
        """The decided call, for its handler."""
        digest = hashlib.sha256(self.request or b"").digest()
        return Call(self.exchange, self.known_caller, self.known_grant, self.justification, request, digest)
