"""A network at the sizes of the design: 60 agencies of 12 countries, 5,000 officers, their agreements, and mark sets.

By templates an agency uses some hundreds of combinations of marks, the first ones most; independent marks make nearly
as many combinations as there are portions. All is invented, and the same for the same seed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from broker.decide.vocabulary import PURPOSES
from broker.domain.caller import Caller
from broker.domain.directory import Agency, AgencyFacts, Agreement
from broker.domain.marks import MarkSet
from tests.support.questions import CONDITIONS, EUROPOL, LATER_US, caller, some

COUNTRIES = ("GB", "DE", "FR", "NL", "BE", "ES", "IT", "PL", "SE", "DK", "IE", "AT")
LEVELS = ("LOCAL", "LOCAL", "REGIONAL", "REGIONAL", "NATIONAL")
AGENCIES = {
    name: Agency(
        name,
        name,
        COUNTRIES[number % 12],
        LEVELS[number // 12],
        compartments=frozenset({f"op-{number % 20}"} if number % 3 == 0 else ()),
    )
    for number in range(60)
    for name in [f"police-{COUNTRIES[number % 12].lower()}.example/unit-{number // 12}"]
}
NAMES = tuple(AGENCIES)
OPERATIONAL = tuple(sorted(PURPOSES - {"ADMINISTRATION", "AUDIT"}))
ROLE_SETS = (("officer",),) * 6 + (("analyst",),) * 3 + (("officer", "source_handler"), ("liaison_officer",))
CLEARANCES = ("OFFICIAL", "OFFICIAL", "SECRET", "SECRET", "SECRET", "TOP_SECRET")


def agreements(of_each: int, seed: int = 4) -> list[Agreement]:
    """So many for each agency, or nearly: three to six parties, some purposes, half of them limited in time."""
    rnd = random.Random(seed)
    parties = 4.5
    count = round(of_each * len(NAMES) / parties)
    return [
        Agreement(
            f"agreement-{number:04d}",
            frozenset(rnd.sample(NAMES, rnd.choice((3, 4, 5, 6)))),
            frozenset(rnd.sample(OPERATIONAL, rnd.randrange(2, len(OPERATIONAL)))),
            rnd.choice(("OFFICIAL", "SECRET", "SECRET")),
            0,
            LATER_US,
        )
        for number in range(count)
    ]


def officers(count: int = 5_000, seed: int = 5) -> list[Caller]:
    """Officers of all agencies; the larger ones have more. Each has its agency's country as nationality, mostly."""
    rnd = random.Random(seed)
    found = []
    for number in range(count):
        name = NAMES[min(int(rnd.paretovariate(0.9)) - 1, 59)]
        own = AGENCIES[name].country
        found.append(
            caller(
                name,
                user=f"officer-{number}",
                roles=frozenset(rnd.choice(ROLE_SETS)),
                clearance=rnd.choice(CLEARANCES),
                nationalities=frozenset({own} if rnd.random() < 0.95 else {own, rnd.choice(COUNTRIES)}),
                purposes=frozenset(rnd.sample(OPERATIONAL, rnd.choice((2, 3, 3, 5)))),
            )
        )
    return found


def templates(count: int, seed: int = 6) -> list[MarkSet]:
    """Distinct mark sets as agencies make them that mark by templates: few recipients' lists, few conditions."""
    rnd = random.Random(seed)
    lists = [frozenset(rnd.sample(NAMES, rnd.choice((1, 2, 4)))) for _ in range(200)]
    return _distinct(count, lambda: _marks(rnd, None if rnd.random() < 0.6 else rnd.choice(lists)))


def independent(count: int, seed: int = 7) -> list[MarkSet]:
    """Distinct mark sets as they would be if each mark were chosen by itself."""
    rnd = random.Random(seed)
    return _distinct(count, lambda: _marks(rnd, None if rnd.random() < 0.5 else some(rnd, NAMES)))


def _marks(rnd: random.Random, recipients: frozenset[str] | None) -> MarkSet:
    return MarkSet(
        "report",
        rnd.choice(NAMES),
        classification=rnd.choice(("OFFICIAL", "OFFICIAL", "OFFICIAL", "SECRET", "SECRET", "TOP_SECRET")),
        markings=frozenset({"OFFICIAL_SENSITIVE"} if rnd.random() < 0.3 else ()),
        handling_code=rnd.choice(("P", "P", "C")),
        handling_conditions=some(rnd, CONDITIONS) if rnd.random() < 0.4 else frozenset(),
        europol_handling=some(rnd, EUROPOL) if rnd.random() < 0.2 else frozenset(),
        tlp=rnd.choice(("", "CLEAR", "GREEN", "GREEN", "AMBER", "AMBER", "AMBER_STRICT", "RED")),
        compartments=frozenset({f"op-{rnd.randrange(20)}"} if rnd.random() < 0.08 else ()),
        releasable_to=recipients,
        sanitisation=rnd.choice(("", "", "", "SANITISED", "TEAR_LINE", "SOURCE_PROTECTED")),
        fallback=rnd.choice(("", "", "", "POINTER", "SILENT")),
        reach=rnd.choice(("", "", "", "", "", "REDACTED", "POINTER", "SILENT")),
    )


def _distinct(count: int, make) -> list[MarkSet]:  # type: ignore[no-untyped-def]
    found: dict[MarkSet, None] = {}
    while len(found) < count:
        found[make()] = None
    return list(found)


@dataclass
class World:
    """What the store would say, from memory, so that deciding is measured by itself."""

    sets: list[MarkSet]
    of_each: int
    revision: int = 1
    _agreements: list[Agreement] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._agreements = agreements(self.of_each)

    def facts(self, agency: str) -> AgencyFacts | None:
        """As the store's."""
        ours = tuple(one for one in self._agreements if agency in one.parties)
        return AgencyFacts(AGENCIES[agency], ours, self.revision)

    def mark_sets(self, after: int) -> Sequence[tuple[int, MarkSet]]:
        """As the store's, which numbers them from 1."""
        return [(number + 1, self.sets[number]) for number in range(max(after, 0), len(self.sets))]
