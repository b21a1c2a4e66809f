"""Agencies, agreements and appointments: the facts about a caller and its agency that policy decides on."""

from __future__ import annotations

from dataclasses import dataclass

EVERY = "*"
FULL = "FULL"


@dataclass(frozen=True, slots=True)
class Agency:
    """An agency on the network. `name` and `parent` are `trust-domain/agency`; `level` as in `AgencyLevel`.

    `inspectorate`: its inspectors see the whole audit log. The directory says so, never the agency's own issuer.
    """

    name: str
    display_name: str
    country: str
    level: str
    parent: str = ""
    contact: str = ""
    compartments: frozenset[str] = frozenset()
    inspectorate: bool = False


@dataclass(frozen=True, slots=True)
class Agreement:
    """Its parties may share, for these purposes, up to this classification, in [valid_from, valid_until) epoch us.

    Args:
        record_types: the types of records that it covers.
        classes: (field class, transform) of what it covers; `EVERY` stands for the classes that are not named. A
            transform is a name of `ClassTransform`, without prefix.
        use, onward: as in `UseLimit` and `OnwardSharing`, without prefix.
        assurances: what the parties have assured each other, as in `Assurance`, without prefix.
        legal_bases: codes of the register (`policies/data/legal_bases.json`), one of which a request must state; none:
            any basis, or none, will do.
    """

    agreement_id: str
    parties: frozenset[str]
    purposes: frozenset[str]
    ceiling: str
    valid_from_us: int
    valid_until_us: int
    record_types: frozenset[str] = frozenset({"report"})
    classes: tuple[tuple[str, str], ...] = ((EVERY, FULL),)
    use: str = "EVIDENTIAL"
    onward: str = "WITH_CONSENT"
    assurances: frozenset[str] = frozenset()
    legal_bases: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Appointment:
    """A person (`user` of `agency`) holds a role that counts only for those who were appointed to it here."""

    agency: str
    user: str
    role: str


@dataclass(frozen=True, slots=True)
class AgencyFacts:
    """What policy may know of a caller's agency, as of one revision of the directory.

    `appointments`: (user, role) of the agency's people who were appointed.
    """

    agency: Agency
    agreements: tuple[Agreement, ...]
    revision: int
    appointments: frozenset[tuple[str, str]] = frozenset()
