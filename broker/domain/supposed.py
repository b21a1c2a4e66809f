"""Readers who are only supposed, for a preview or a simulation: what they would see, without anybody asking."""

from __future__ import annotations

from dataclasses import dataclass

from broker.domain.grant import Grant

TYPICAL_ROLES = frozenset({"officer"})


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader of an agency (`trust-domain/agency`) for a purpose. `nationalities` empty: the agency's country."""

    agency: str
    purpose: str
    roles: frozenset[str] = TYPICAL_ROLES
    clearance: str = ""
    nationalities: frozenset[str] = frozenset()
    authorised: bool = False
    case_stated: bool = False
    legal_basis: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a reader would be granted; None where it could not even ask: by this rule, for this reason."""

    grant: Grant | None
    rule: str = ""
    reason: str = ""
