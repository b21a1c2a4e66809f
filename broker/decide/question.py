"""What the engines are asked, as canonical JSON: keys and lists sorted, so that equal callers ask the same bytes.

The whole answer follows from these bytes and the policies: they are the cache's key, and sealed in the audit entry
they replay the decision exactly. No user, no record and no clock is in them: officers alike share their grants, and
the broker itself filters the agreements in force.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from broker.decide.vocabulary import CLEARANCES, LEVELS, PURPOSES, UNSPECIFIED, country, known
from broker.domain.caller import Caller
from broker.domain.directory import AgencyFacts, Agreement

NEVER_US = 2**53 - 1
"""End of a grant that rests on no agreement: the largest integer that every JSON reader holds exactly."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision rests on, besides the method: who asks, in which words, for what."""

    caller: Caller
    facts: AgencyFacts
    purpose: str
    authorised: bool
    roles: frozenset[str]
    legal_basis: str = UNSPECIFIED
    case_stated: bool = False


def method_question(situation: Situation, permission: str, *, exempt: bool) -> bytes:
    """The input of `entente/method`."""
    return _canonical(
        {
            "agency": _agency(situation),
            "exempt": exempt,
            "permission": permission,
            "purpose": situation.purpose,
            "purposes": sorted(situation.caller.purposes & PURPOSES),
            "roles": sorted(situation.roles),
        }
    )


def grant_question(situation: Situation, now_us: int) -> bytes:
    """The input of `entente/grant`, with the agreements in force at this time."""
    caller = situation.caller
    agency = _agency(situation) | {"compartments": sorted(situation.facts.agency.compartments)}
    return _canonical(
        {
            "agency": agency,
            "agreements": [
                _agreement(agreement, situation.facts.agency.name)
                for agreement in sorted(situation.facts.agreements, key=lambda agreement: agreement.agreement_id)
                if _counts(agreement, situation.facts.agency.name, now_us)
            ],
            "authorised": situation.authorised,
            "case_stated": situation.case_stated,
            "clearance": known(caller.clearance, CLEARANCES),
            "legal_basis": situation.legal_basis,
            "nationalities": sorted({country(value) for value in caller.nationalities} - {UNSPECIFIED}),
            "purpose": situation.purpose,
            "roles": sorted(situation.roles),
        }
    )


def counted(situation: Situation, now_us: int) -> tuple[Agreement, ...]:
    """The agreements that what is decided now can rest on: in force, for this purpose, on the legal basis stated."""
    return tuple(
        agreement
        for agreement in situation.facts.agreements
        if _counts(agreement, situation.facts.agency.name, now_us)
        and situation.purpose in agreement.purposes
        and (not agreement.legal_bases or situation.legal_basis in agreement.legal_bases)
    )


def valid_until_us(agreements: Iterable[Agreement], now_us: int) -> int:
    """The next moment at which an agreement begins or ends, exclusive end of what is decided now."""
    boundaries = [moment for agreement in agreements for moment in (agreement.valid_from_us, agreement.valid_until_us)]
    return min((moment for moment in boundaries if moment > now_us), default=NEVER_US)


def _agency(situation: Situation) -> dict[str, object]:
    agency = situation.facts.agency
    return {
        "country": country(agency.country),
        "level": known(agency.level, LEVELS),
        "name": agency.name,
        "trust_domain": situation.caller.agency.trust_domain,
    }


def _counts(agreement: Agreement, agency: str, now_us: int) -> bool:
    in_force = agreement.valid_from_us <= now_us < agreement.valid_until_us
    return in_force and agency in agreement.parties and agreement.ceiling in CLEARANCES


def _agreement(agreement: Agreement, agency: str) -> dict[str, object]:
    return {
        "assurances": sorted(agreement.assurances),
        "ceiling": agreement.ceiling,
        "classes": dict(agreement.classes),
        "id": agreement.agreement_id,
        "legal_bases": sorted(agreement.legal_bases),
        "partners": sorted(agreement.parties - {agency}),
        "purposes": sorted(agreement.purposes & PURPOSES),
        "record_types": sorted(agreement.record_types),
        "use": agreement.use,
    }


def _canonical(document: dict[str, object]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
