"""What every stage knows of one exchange: one call from its first byte to its outcome."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """What TLS agreed on for a connection: its version and the key exchange's group, as the library names them."""

    version: str
    group: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call. `exchange_id` is 32 hex digits, random; times in microseconds; `address` as gRPC names the peer.

    `session` is absent where no connection stands behind the exchange: the broker's own.
    """

    exchange_id: str
    method: str
    started_us: int
    started_monotonic_us: int
    address: str
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class Justification:
    """Why the caller asks. Names of `entente.common.v1.Purpose` without prefix; free text never reaches a leaf."""

    purpose: str
    legal_basis: str = ""
    case_reference: str = ""
    authoriser: str = ""
    reason: str = ""
    on_behalf_of: str = ""


@dataclass(frozen=True, slots=True)
class PolicyReference:
    """Which policy decided: enough to replay the decision exactly.

    `bundle` is the hash of the policy bundle (hex), `data` the directory's revision, `decision_id` random or OPA's
    own, `input_hash` the SHA-256 (hex) of the canonical input, whose bytes are sealed.
    """

    engine: str
    bundle: str
    data: int
    decision_id: str
    input_hash: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """What policy refused a call by: the rule, and the decision with its canonical input, which is to be sealed."""

    rule: str
    policy: PolicyReference
    policy_input: bytes


@dataclass(frozen=True, slots=True)
class Withheld:
    """A schema path that was not released, with the rule that withheld it.

    `portions` holds the local keys of the portions that it applies to; empty means all of that type.
    """

    path: str
    field_class: str
    rule: str
    reason: str
    portions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transformed:
    """A schema path that was released in a coarser form."""

    path: str
    transform: str
    portions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DisclosureGroup:
    """Records of one answer that share one plan: what of them was released and what was not.

    `records` are (record id, version); they are committed to in the leaf, never written there in clear.
    released, withheld and transformed are schema paths without index, disjoint for each portion, and together the whole
    schema (audit invariant 12).
    """

    plan: str
    level: str
    records: tuple[tuple[str, int], ...]
    released: tuple[str, ...]
    withheld: tuple[Withheld, ...]
    transformed: tuple[Transformed, ...]
