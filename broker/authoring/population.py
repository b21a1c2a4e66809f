"""A population of callers and portions on which two policies are compared: every kind of caller, every mark alone.

Guarantees: each role stands in each relation to the originator, at each level, for each purpose, with and without an
authoriser; the portions vary one mark at a time from an ordinary one, and the marks that hide it from all are left to
vary too. Deterministic: two people who compare the same two policies read the same.
Does not: weigh kinds by how often they call; that is what a simulation on the recorded decisions is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import product

from broker.decide.bundle import PolicyBundle
from broker.decide.question import Situation
from broker.decide.vocabulary import LEVELS, PURPOSES, names
from broker.domain.caller import AgencyId, Caller
from broker.domain.directory import Agency, AgencyFacts, Agreement
from broker.domain.marks import CLASSIFICATIONS, REACH_ORDER, TLP_ORDER, MarkSet
from entente.common.v1 import marks_pb2

ORIGINATOR = "home.example/originator"
_OTHER = "home.example/partner"
_ABROAD = "abroad.example/partner"
_LATER_US = 2**50
_COMPARTMENT = "op-example"
ORDINARY = MarkSet("report", ORIGINATOR, "OFFICIAL", handling_code="P", tlp="AMBER")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of caller, as a reader of the comparison knows it."""

    role: str
    relation: str

    def __str__(self) -> str:
        return f"{self.role}, {self.relation}"


@dataclass(frozen=True, slots=True)
class Reader:
    """One caller of a kind."""

    kind: Kind
    situation: Situation


_RELATIONS = {
    "in the originator's house": (ORIGINATOR, False),
    "same trust domain, with an agreement": (_OTHER, True),
    "same trust domain, without an agreement": (_OTHER, False),
    "abroad, with an agreement": (_ABROAD, True),
    "abroad, without an agreement": (_ABROAD, False),
}


def readers(*bundles: PolicyBundle) -> Iterator[Reader]:
    """Every reader; roles are those that any of these policies knows."""
    roles = sorted(frozenset[str]().union(*(bundle.roles for bundle in bundles)))
    for role, (relation, (agency, agreed)) in product(roles, _RELATIONS.items()):
        for number, purpose in enumerate(sorted(PURPOSES)):
            # Levels take turns over the purposes, so that each meets each role without a product of everything.
            level = sorted(LEVELS)[number % len(LEVELS)]
            for authorised in (False, True):
                situation = _situation(role, agency, level, purpose, agreed=agreed, authorised=authorised)
                yield Reader(Kind(role, relation), situation)


def portions() -> list[MarkSet]:
    """Portions that differ from an ordinary one in a mark or two."""
    recipients = (frozenset({_OTHER, _ABROAD}), frozenset[str]())
    varied = [
        ORDINARY,
        *(replace(ORDINARY, classification=one) for one in CLASSIFICATIONS),
        *(replace(ORDINARY, tlp=one) for one in TLP_ORDER),
        *(
            replace(ORDINARY, handling_code="C", handling_conditions=frozenset({one}))
            for one in names(marks_pb2.HandlingCondition)
        ),
        *(replace(ORDINARY, europol_handling=frozenset({one})) for one in names(marks_pb2.EuropolHandling)),
        *(replace(ORDINARY, sanitisation=one) for one in names(marks_pb2.Sanitisation)),
        *(replace(ORDINARY, reach=one) for one in REACH_ORDER),
        *(replace(ORDINARY, classification="TOP_SECRET", fallback=one) for one in names(marks_pb2.Fallback)),
        *(replace(ORDINARY, releasable_to=one) for one in recipients),
        replace(ORDINARY, compartments=frozenset({_COMPARTMENT})),
        replace(ORDINARY, handling_code=""),
    ]
    return list(dict.fromkeys(varied))


def in_words(marks: MarkSet) -> str:
    """How a portion differs from the ordinary one."""
    marked = (one.name for one in fields(MarkSet))
    differing = [name for name in marked if getattr(marks, name) != getattr(ORDINARY, name)]
    return ", ".join(_said(name, getattr(marks, name)) for name in differing) or "ordinary marks"


def _said(name: str, value: object) -> str:
    if isinstance(value, frozenset):
        return f"{name.replace('_', ' ')} {' '.join(sorted(value)) or 'empty'}"
    return str(value) or f"no {name.replace('_', ' ')}"


def _situation(role: str, agency: str, level: str, purpose: str, *, agreed: bool, authorised: bool) -> Situation:
    domain = AgencyId.parse(agency).trust_domain
    country = "GB" if domain.startswith("home") else "NL"
    caller = Caller(
        agency=AgencyId.parse(agency),
        workload="desk",
        thumbprint=b"",
        serial="",
        user="",
        roles=frozenset({role}),
        clearance="SECRET",
        nationalities=frozenset({country}),
        purposes=PURPOSES,
        issuer="",
        token_id="",
        expires_at=0,
    )
    parties = frozenset({agency, ORIGINATOR})
    agreements = (Agreement("agreement", parties, PURPOSES, "SECRET", 0, _LATER_US),) if agreed else ()
    facts = AgencyFacts(Agency(agency, agency, country, level), agreements, 1)
    return Situation(caller, facts, purpose, authorised, frozenset({role}), case_stated=True)
