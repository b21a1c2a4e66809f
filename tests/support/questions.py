"""Callers, marks and facts for tests of policy: a small world, and random ones that include callers with nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from broker.decide.bundle import PolicyBundle, policy_folder
from broker.decide.catalogue import Catalogue
from broker.decide.question import Situation, grant_question
from broker.decide.vocabulary import CLASS_TRANSFORMS, DECIDED_CLASSES, LEVELS, PURPOSES, UNSPECIFIED
from broker.domain.caller import AgencyId, Caller
from broker.domain.directory import EVERY, FULL, Agency, AgencyFacts, Agreement
from broker.domain.marks import CLASSIFICATIONS, REACH_ORDER, TLP_ORDER, MarkSet
from entente.audit.v1 import audit_service_pb2
from entente.directory.v1 import directory_service_pb2
from entente.report.v1 import report_service_pb2

BUNDLE = PolicyBundle.load(policy_folder())
CATALOGUE = Catalogue.from_descriptors(
    service
    for module in (report_service_pb2, directory_service_pb2, audit_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
)
GET_REPORT = "/entente.report.v1.ReportService/GetReport"
LATER_US = 2**50

AGENCIES = ("police.example/north", "police.example/region", "police.example/national", "polizei.example/bund")
COMPARTMENTS = ("op-lime", "op-quince", "op-sorrel")
ROLES = ("officer", "analyst", "source_handler", "liaison_officer", "auditor", "inspector", "administrator", "janitor")
CONDITIONS = ("A1", "A2", "A3", "S1", "S2")
EUROPOL = ("H0", "H1", "H2", "H3")
RECORD_TYPES = ("report", "group", "bulletin")
LEGAL_BASES = ("DPA2018_S35", "LED_ART8", "MLAT")
UNKNOWN = ("COSMIC", "", "*", "UNSPECIFIED", "full", "\u00e9\u00df")
ASSURANCES = ("NO_DEATH_PENALTY", "NO_TORTURE", "DATA_PROTECTION", "DELETION_ON_REQUEST")


def caller(agency: str = AGENCIES[0], **changes: object) -> Caller:
    """An officer cleared to SECRET, for every purpose."""
    usual: dict[str, object] = {
        "agency": AgencyId.parse(agency),
        "workload": "desk",
        "thumbprint": b"",
        "serial": "1",
        "user": "o.reyes",
        "roles": frozenset({"officer"}),
        "clearance": "SECRET",
        "nationalities": frozenset({"GB"}),
        "purposes": PURPOSES,
        "issuer": "issuer",
        "token_id": "token",
        "expires_at": 2**40,
    }
    return Caller(**(usual | changes))  # type: ignore[arg-type]


def marks(originator: str = AGENCIES[1], **changes: object) -> MarkSet:
    """An ordinary portion: OFFICIAL, handling P, TLP:AMBER."""
    usual: dict[str, object] = {"classification": "OFFICIAL", "handling_code": "P", "tlp": "AMBER"}
    return MarkSet("report", originator, **(usual | changes))  # type: ignore[arg-type]


@dataclass
class FakeClock:
    """Stands still until told."""

    utc_us: int = 1_000_000
    steady_us: int = 0

    def now_us(self) -> int:
        return self.utc_us

    def monotonic_us(self) -> int:
        return self.steady_us

    def pass_us(self, span: int) -> None:
        self.utc_us += span
        self.steady_us += span


@dataclass
class FakeFacts:
    """A directory and mark sets that tests change by hand; counts how often it was asked."""

    agencies: dict[str, Agency] = field(default_factory=dict)
    agreements: list[Agreement] = field(default_factory=list)
    sets: list[MarkSet] = field(default_factory=list)
    # (agency, user, role)
    appointed: set[tuple[str, str, str]] = field(default_factory=set)
    revision: int = 1
    asked: int = 0

    def facts(self, agency: str) -> AgencyFacts | None:
        self.asked += 1
        found = self.agencies.get(agency)
        if found is None:
            return None
        ours = tuple(a for a in self.agreements if agency in a.parties)
        held = frozenset((user, role) for where, user, role in self.appointed if where == agency)
        return AgencyFacts(found, ours, self.revision, held)

    def mark_sets(self, after: int) -> Sequence[tuple[int, MarkSet]]:
        return list(enumerate(self.sets))[after + 1 :]


def world(*sets: MarkSet) -> FakeFacts:
    """Four agencies; the three at home share an agreement for all purposes up to SECRET until LATER_US."""
    levels = ("LOCAL", "REGIONAL", "NATIONAL", "INTERNATIONAL")
    agencies = {
        name: Agency(name, name, "DE" if name.startswith("polizei") else "GB", level)
        for name, level in zip(AGENCIES, levels, strict=True)
    }
    home = Agreement("home", frozenset(AGENCIES[:3]), PURPOSES, "SECRET", 0, LATER_US)
    return FakeFacts(agencies, [home], list(sets))


def random_situation(rnd: random.Random) -> Situation:
    """Any caller in any position; one in six has nothing at all, many have no agreement."""
    if rnd.random() < 1 / 6:
        name = AgencyId.parse(rnd.choice(AGENCIES))
        nobody = caller(str(name), roles=frozenset(), clearance="", nationalities=frozenset(), purposes=frozenset())
        return Situation(nobody, AgencyFacts(Agency(str(name), "", "", ""), (), 1), UNSPECIFIED, False, frozenset())
    if rnd.random() < 1 / 2:
        return _likely_situation(rnd)
    name = AgencyId.parse(rnd.choice(AGENCIES))
    country = rnd.choice(("GB", "DE"))
    person = caller(
        str(name),
        roles=some(rnd, ROLES),
        clearance=rnd.choice((*CLASSIFICATIONS, "", "COSMIC")),
        nationalities=some(rnd, ("GB", "DE", "FR")),
        purposes=some(rnd, sorted(PURPOSES)),
    )
    agency = Agency(str(name), "", country, rnd.choice((*sorted(LEVELS), "")), compartments=some(rnd, COMPARTMENTS))
    many = 60 if rnd.random() < 1 / 150 else rnd.choice((0, 1, 3))
    agreements = tuple(random_agreement(rnd, str(name), number) for number in range(many))
    facts = AgencyFacts(agency, agreements, 1)
    purpose = rnd.choice((*sorted(PURPOSES), UNSPECIFIED))
    return Situation(
        person,
        facts,
        purpose,
        rnd.random() < 0.5,
        person.roles & BUNDLE.roles,
        rnd.choice((*LEGAL_BASES, UNSPECIFIED)),
        rnd.random() < 0.5,
    )


def _likely_situation(rnd: random.Random) -> Situation:
    """An officer or the like at work, with agreements."""
    name = rnd.choice(AGENCIES)
    person = caller(
        name,
        roles=frozenset({rnd.choice(ROLES[:4])}),
        clearance=rnd.choice(CLASSIFICATIONS),
        nationalities=frozenset({rnd.choice(("GB", "DE"))}),
    )
    agency = Agency(name, "", "GB", rnd.choice(sorted(LEVELS)), compartments=some(rnd, COMPARTMENTS))
    wide = Agreement("wide", frozenset(AGENCIES), PURPOSES, rnd.choice(CLASSIFICATIONS), 0, LATER_US, **_terms(rnd))
    narrow = tuple(random_agreement(rnd, name, number) for number in range(rnd.choice((0, 0, 1, 2))))
    facts = AgencyFacts(agency, (wide, *narrow), 1)
    purpose = rnd.choice(sorted(PURPOSES - {"ADMINISTRATION", "AUDIT"}))
    basis = rnd.choice((*LEGAL_BASES, UNSPECIFIED))
    return Situation(person, facts, purpose, rnd.random() < 0.5, person.roles, basis, rnd.random() < 0.5)


def random_agreement(rnd: random.Random, party: str, number: int = 0) -> Agreement:
    """Any agreement of a party; some of them have ended."""
    return Agreement(
        f"agreement-{number}",
        some(rnd, AGENCIES) | {party},
        some(rnd, sorted(PURPOSES)),
        rnd.choice(CLASSIFICATIONS),
        0,
        rnd.choice((5, LATER_US)),
        **_terms(rnd),
    )


def random_question(rnd: random.Random) -> bytes:
    """A grant's question of any caller, one in five with words in it that neither policy nor broker knows."""
    question = grant_question(random_situation(rnd), now_us=10)
    if rnd.random() < 4 / 5:
        return question
    document = orjson.loads(question)
    for key in some(rnd, ("purpose", "clearance", "legal_basis")):
        document[key] = rnd.choice(UNKNOWN)
    document["roles"] = sorted({*document["roles"], rnd.choice(UNKNOWN)})
    document["agency"]["level"] = rnd.choice((document["agency"]["level"], *UNKNOWN))
    for agreement in document["agreements"]:
        for key in some(rnd, ("use", "ceiling")):
            agreement[key] = rnd.choice(UNKNOWN)
        for key in some(rnd, ("record_types", "partners", "assurances", "legal_bases", "purposes")):
            agreement[key] = sorted({*agreement[key], rnd.choice(UNKNOWN)})
        agreement["classes"][rnd.choice((EVERY, *DECIDED_CLASSES, *UNKNOWN))] = rnd.choice(
            (*CLASS_TRANSFORMS, *UNKNOWN)
        )
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def _terms(rnd: random.Random) -> dict[str, Any]:
    """What an agreement carries; nearly half of them everything."""
    classes = ((EVERY, FULL),)
    if rnd.random() < 0.6:
        named = {rnd.choice((EVERY, *DECIDED_CLASSES)) for _ in range(rnd.choice((0, 1, 6, 20)))}
        classes = tuple((name, rnd.choice(CLASS_TRANSFORMS)) for name in sorted({EVERY, *named}))
    return {
        "record_types": rnd.choice((frozenset({"report"}), frozenset({"report", "group"}), some(rnd, RECORD_TYPES))),
        "classes": classes,
        "use": rnd.choice(("EVIDENTIAL", "EVIDENTIAL", "INTELLIGENCE_ONLY")),
        "assurances": rnd.choice((frozenset(), frozenset(ASSURANCES), some(rnd, ASSURANCES))),
        "legal_bases": rnd.choice((frozenset(), frozenset(), some(rnd, LEGAL_BASES))),
    }


def random_marks(rnd: random.Random) -> MarkSet:
    """Any combination of marks, sensible or not; a third of them nearly open, so that something is seen."""
    if rnd.random() < 1 / 3:
        return marks(
            rnd.choice(AGENCIES),
            tlp=rnd.choice(TLP_ORDER),
            handling_code="C",
            handling_conditions=some(rnd, CONDITIONS),
            sanitisation=rnd.choice(("", "SANITISED", "TEAR_LINE")),
            fallback=rnd.choice(("", "POINTER", "SILENT")),
            reach=rnd.choice(("", "", *REACH_ORDER)),
        )
    return MarkSet(
        rnd.choice(RECORD_TYPES),
        rnd.choice(AGENCIES),
        classification=rnd.choice((*CLASSIFICATIONS, "")),
        markings=some(rnd, ("OFFICIAL_SENSITIVE",)),
        handling_code=rnd.choice(("P", "C", "C", "")),
        handling_conditions=some(rnd, CONDITIONS),
        europol_handling=some(rnd, EUROPOL) if rnd.random() < 0.5 else frozenset(),
        tlp=rnd.choice(TLP_ORDER),
        compartments=some(rnd, COMPARTMENTS) if rnd.random() < 0.5 else frozenset(),
        releasable_to=None if rnd.random() < 0.5 else some(rnd, AGENCIES),
        sanitisation=rnd.choice(("", "SOURCE_PROTECTED", "SANITISED", "TEAR_LINE")),
        fallback=rnd.choice(("", "POINTER", "SILENT")),
        reach=rnd.choice(("", "", *REACH_ORDER)),
    )


def some(rnd: random.Random, values: Sequence[str]) -> frozenset[str]:
    """Any subset, often small."""
    return frozenset(rnd.sample(list(values), min(len(values), rnd.choice((0, 1, 1, 2, 3)))))
