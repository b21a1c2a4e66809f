"""Generated agencies, agreements, readers and marks: any combination that can be, in the words of the reference.

Everything follows from one seed. Agreements and agencies are made twice over, once for the reference and once for the
broker, from the same choices.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from broker.domain.directory import Agency
from broker.domain.directory import Agreement as StoredAgreement
from certs.network import Party
from entente.common.v1 import exchange_pb2, marks_pb2
from tests.reference import prose
from tests.reference.decision import EUROPOL, HANDLING
from tests.reference.facts import LEVELS, Agreement, Marks, Reader

COUNTRIES = {"police.example": "GB", "justitie.example": "NL", "polizei.example": "DE"}
PLACES = ("LOCAL", "REGIONAL", "NATIONAL", "INTERNATIONAL")
TLP = ("", "CLEAR", "GREEN", "AMBER", "AMBER_STRICT", "RED")
REACH = ("", "REDACTED", "POINTER", "SILENT", "NONE")
COMPARTMENTS = ("op-lime", "op-quince", "op-sorrel")
PURPOSES = tuple(name.removeprefix("PURPOSE_") for name, number in exchange_pb2.Purpose.items() if number)
LEGAL_BASES = ("DPA2018_S35", "LED_ART8", "MLAT")
ASSURANCES = ("NO_DEATH_PENALTY", "NO_TORTURE", "DATA_PROTECTION", "DELETION_ON_REQUEST")
READING_ROLES = ("officer", "analyst", "source_handler", "liaison_officer")
OTHER_ROLES = ("administrator", "auditor", "janitor")
TRANSFORMS = ("FULL", "FULL", "FULL", "GENERALISE", "GENERALISE", "PSEUDONYM", "PSEUDONYM", "WITHHOLD")
FOREVER_US = 2**52


@dataclass(frozen=True)
class Person:
    """Somebody with an agency's certificate, what their token says, and why they ask."""

    party: Party
    reader: Reader


@dataclass
class Population:
    """See the module."""

    rnd: random.Random
    agencies: list[Agency] = field(default_factory=list)
    agreements: list[tuple[frozenset[str], StoredAgreement, Agreement]] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)

    @classmethod
    def of(cls, seed: int, *, readers: int, agreements: int = 14) -> Population:
        """Three agencies in each of three countries, one of them not placed yet, and so many readers."""
        made = cls(random.Random(seed))
        for domain, country in COUNTRIES.items():
            for number in range(3):
                placed = (domain, number) != ("polizei.example", 2)
                level = made.rnd.choice(PLACES) if placed else ""
                inside = made.some(COMPARTMENTS)
                made.agencies.append(
                    Agency(f"{domain}/force-{number}", f"Force {number}", country, level, compartments=inside)
                )
        made.agreements = [made._agreement(number) for number in range(agreements)]
        made.people = [made._person(made.agencies[n % len(made.agencies)], n) for n in range(readers)]
        return made

    def some(self, values: Sequence[str], most: int = 3) -> frozenset[str]:
        """Any subset, often small."""
        return frozenset(self.rnd.sample(list(values), min(len(values), self.rnd.choice(range(most + 1)))))

    def _chance(self, share: float) -> bool:
        return self.rnd.random() < share

    def _agreement(self, number: int) -> tuple[frozenset[str], StoredAgreement, Agreement]:
        names = [one.name for one in self.agencies]
        parties = frozenset(self.rnd.sample(names, self.rnd.choice((2, 3, 5, len(names)))))
        transforms = {"*": self.rnd.choice(TRANSFORMS)} if self._chance(0.9) else {}
        for name in self.rnd.sample(prose.classes(), self.rnd.choice((0, 3, 8))):
            transforms[name] = self.rnd.choice(TRANSFORMS)
        spoken = Agreement(
            partners=parties,
            purposes=frozenset(self.rnd.sample(PURPOSES, self.rnd.choice((2, 5, 7)))),
            ceiling=self.rnd.choice(LEVELS),
            record_types=frozenset({"report"}) if self._chance(0.9) else frozenset({"group"}),
            transforms=transforms,
            use=self.rnd.choice(("EVIDENTIAL", "EVIDENTIAL", "INTELLIGENCE_ONLY")),
            legal_bases=frozenset() if self._chance(0.7) else frozenset(self.rnd.sample(LEGAL_BASES, 2)),
            assurances=frozenset(ASSURANCES) if self._chance(0.5) else self.some(ASSURANCES),
        )
        began, ends = self.rnd.choice(((0, FOREVER_US), (0, FOREVER_US), (0, FOREVER_US), (0, 1_000_000)))
        stored = StoredAgreement(
            f"agreement-{number}",
            parties,
            spoken.purposes,
            spoken.ceiling,
            began,
            ends,
            record_types=spoken.record_types,
            classes=tuple(sorted(transforms.items())),
            use=spoken.use,
            assurances=spoken.assurances,
            legal_bases=spoken.legal_bases,
        )
        return parties, stored, spoken

    def in_force(self, agency: str) -> tuple[Agreement, ...]:
        """What the reference may know of an agency's agreements."""
        return tuple(
            replace(spoken, partners=parties - {agency})
            for parties, stored, spoken in self.agreements
            if agency in parties and stored.valid_until_us == FOREVER_US
        )

    def _person(self, agency: Agency, number: int) -> Person:
        purpose = self.rnd.choice(PURPOSES[:7]) if self._chance(0.93) else self.rnd.choice(PURPOSES)
        roles = {self.rnd.choice(READING_ROLES)} | (self.some(OTHER_ROLES, 1) if self._chance(0.2) else set())
        reader = Reader(
            agency=agency.name,
            country=agency.country,
            level=agency.level,
            compartments=agency.compartments,
            roles=frozenset(roles) if self._chance(0.95) else frozenset({self.rnd.choice(OTHER_ROLES)}),
            clearance=self.rnd.choice((*LEVELS, "SECRET", "SECRET")) if self._chance(0.95) else "COSMIC",
            nationalities=frozenset({agency.country}) if self._chance(0.8) else frozenset({"FR"}),
            token_purposes=frozenset(PURPOSES) if self._chance(0.95) else frozenset({"FRAUD"}),
            purpose=purpose,
            legal_basis=self.rnd.choice(("", "", *LEGAL_BASES, "NO_SUCH_BASIS")),
            authoriser=self.rnd.choice(("", "Supt. Alder", " - ")),
            case=self.rnd.choice(("", "OP LANTERN", "...")),
            agreements=self.in_force(agency.name),
        )
        return Person(_party(agency, f"reader.{number}", tuple(sorted(reader.roles)), reader.clearance), reader)

    def author(self, agency: Agency) -> Person:
        """Who shares an agency's reports: cleared for everything, and of its country."""
        reader = Reader(
            agency=agency.name,
            country=agency.country,
            level=agency.level,
            compartments=agency.compartments,
            roles=frozenset({"officer", "source_handler"}),
            clearance="TOP_SECRET",
            nationalities=frozenset({agency.country}),
            token_purposes=frozenset(PURPOSES),
            purpose="INVESTIGATION",
        )
        return Person(_party(agency, "author", tuple(sorted(reader.roles)), "TOP_SECRET"), reader)

    # Marks

    def marks(self, author: Reader) -> Marks:
        """A record's marks: anything that its author may write, most of it within somebody's sight."""
        conditions = self.some(HANDLING, 2)
        return Marks(
            author.agency,
            classification=self.rnd.choices(LEVELS, (7, 3, 1))[0],
            handling_code="C" if conditions else "P",
            conditions=conditions,
            europol=self.some(EUROPOL, 2) if self._chance(0.25) else frozenset(),
            tlp=self.rnd.choice(TLP),
            compartments=self.some(sorted(author.compartments), 1) if self._chance(0.3) else frozenset(),
            releasable_to=None if self._chance(0.75) else self._recipients(),
            sanitisation=self.rnd.choice(("", "", "", "SANITISED", "TEAR_LINE", "SOURCE_PROTECTED")),
            reach=self.rnd.choice(REACH) if self._chance(0.3) else "",
            fallback=self.rnd.choice(("POINTER", "SILENT")) if self._chance(0.3) else "",
        )

    def _recipients(self) -> frozenset[str]:
        names = [one.name for one in self.agencies]
        return frozenset(self.rnd.sample(names, self.rnd.choice((0, 2, 5, 8))))

    def tighter(self, container: Marks, author: Reader) -> Marks:
        """What a portion says of itself: nothing, or something that is not looser than its container."""
        said = Marks(container.originator)
        for kind in self.rnd.sample(range(8), self.rnd.choice((0, 0, 1, 2, 3))):
            said = self._tightened(said, container, kind, author)
        return said

    def _tightened(self, said: Marks, container: Marks, kind: int, author: Reader) -> Marks:
        if kind == 0:
            at = LEVELS.index(container.classification)
            return replace(said, classification=self.rnd.choice(LEVELS[at:]))
        if kind == 1:
            return replace(said, handling_code="C", conditions=container.conditions | {self.rnd.choice(HANDLING)})
        if kind == 2:
            return replace(said, europol=container.europol | {self.rnd.choice(EUROPOL)})
        if kind == 3:
            return replace(said, tlp=self.rnd.choice(TLP[TLP.index(container.tlp) :]))
        if kind == 4:
            return replace(said, compartments=container.compartments | self.some(sorted(author.compartments), 1))
        if kind == 5:
            of = container.releasable_to
            allowed = sorted(of) if of is not None else [one.name for one in self.agencies]
            return replace(said, releasable_to=self.some(allowed, 6))
        if kind == 6:
            return replace(said, sanitisation=self.rnd.choice(("SANITISED", "TEAR_LINE", "SOURCE_PROTECTED")))
        return replace(said, reach=self.rnd.choice(REACH[REACH.index(container.reach) :]))


def _party(agency: Agency, user: str, roles: tuple[str, ...], clearance: str) -> Party:
    return Party(user, user, agency.name, agency.display_name, agency.country, agency.level, roles, clearance)


def wire(marks: Marks) -> marks_pb2.Marks:
    """Marks as they are sent; what is unsaid stays absent."""
    made = marks_pb2.Marks(compartments=sorted(marks.compartments))
    if marks.classification:
        made.classification = marks_pb2.Classification.Value(f"CLASSIFICATION_{marks.classification}")
    if marks.handling_code:
        made.handling_code = marks_pb2.HandlingCode.Value(f"HANDLING_CODE_{marks.handling_code}")
    for name in sorted(marks.conditions):
        made.handling_conditions.append(marks_pb2.HandlingCondition.Value(f"HANDLING_CONDITION_{name}"))
    for name in sorted(marks.europol):
        made.europol_handling.append(marks_pb2.EuropolHandling.Value(f"EUROPOL_HANDLING_{name}"))
    if marks.tlp:
        made.tlp = marks_pb2.Tlp.Value(f"TLP_{marks.tlp}")
    if marks.sanitisation:
        made.sanitisation = marks_pb2.Sanitisation.Value(f"SANITISATION_{marks.sanitisation}")
    if marks.reach:
        made.reach = marks_pb2.Reach.Value(f"REACH_{marks.reach}")
    if marks.fallback:
        made.fallback = marks_pb2.Fallback.Value(f"FALLBACK_{marks.fallback}")
    if marks.releasable_to is not None:
        made.releasable_to.SetInParent()
        made.releasable_to.agencies.extend(sorted(marks.releasable_to))
    return made
