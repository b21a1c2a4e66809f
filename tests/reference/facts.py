"""What the policy's prose speaks of (docs/policy.md, "The facts"), as plain values. The words are those of the prose.

The reference decision shares nothing with the broker: it imports neither `broker` nor an engine, and reads no Rego.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

LEVELS = ("OFFICIAL", "SECRET", "TOP_SECRET")


@dataclass(frozen=True)
class Agreement:
    """An agreement in force between the reader's agency and `partners`."""

    partners: frozenset[str]
    purposes: frozenset[str]
    ceiling: str
    record_types: frozenset[str] = frozenset({"report"})
    transforms: Mapping[str, str] = field(default_factory=lambda: {"*": "FULL"})
    use: str = "EVIDENTIAL"
    legal_bases: frozenset[str] = frozenset()
    assurances: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Reader:
    """Somebody who asks. `agency` is `trust-domain/agency`; `authoriser` and `case` are what the request says."""

    agency: str
    country: str
    level: str
    compartments: frozenset[str]
    roles: frozenset[str]
    clearance: str
    nationalities: frozenset[str]
    token_purposes: frozenset[str]
    purpose: str
    legal_basis: str = ""
    authoriser: str = ""
    case: str = ""
    agreements: tuple[Agreement, ...] = ()


@dataclass(frozen=True)
class Marks:
    """A portion's marks. `releasable_to` None: no list of recipients."""

    originator: str
    classification: str = ""
    handling_code: str = ""
    conditions: frozenset[str] = frozenset()
    europol: frozenset[str] = frozenset()
    tlp: str = ""
    compartments: frozenset[str] = frozenset()
    releasable_to: frozenset[str] | None = None
    sanitisation: str = ""
    reach: str = ""
    fallback: str = ""
    record_type: str = "report"

    def within(self, container: Marks) -> Marks:
        """With what a portion leaves unsaid taken from its container (marks.proto: absent is the container's).

        Sanitisation and fallback speak of one portion alone.
        """
        inherits_handling = not self.handling_code
        return replace(
            self,
            classification=self.classification or container.classification,
            handling_code=self.handling_code or container.handling_code,
            conditions=container.conditions if inherits_handling else self.conditions,
            europol=self.europol or container.europol,
            tlp=self.tlp or container.tlp,
            compartments=self.compartments or container.compartments,
            releasable_to=container.releasable_to if self.releasable_to is None else self.releasable_to,
            reach=self.reach or container.reach,
        )


def home(agency: str) -> str:
    """The trust domain of an agency: its country."""
    return agency.split("/")[0]


def stated(text: str) -> bool:
    """A text counts as stated if it holds a letter or a digit."""
    return any(character.isalnum() for character in text)
