"""An agreement as a document: its members, their form, and the one canonical spelling that is signed.

MUSTs:
1. A document has exactly the members of `Document`, under these names; whatever else is there is refused, not ignored.
2. What is signed is its canonical JSON (RFC 8785): read and written again it is the same bytes, else it is refused.
3. Lists are sorted and hold nothing twice: two documents that say the same are the same bytes.
4. `classes` says in so many words what happens to the classes that it does not name (`*`).
5. Texts are printable: nothing in them breaks a line, turns its direction or is not seen.
Does not: know which words policy knows (`contradictions`), or who signed (`jws`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from entente_agreement.errors import AgreementError
from entente_agreement.strict import read_object

VERSION = 1
REST = "*"
LARGEST_DOCUMENT = 32 * 1024
MOST_PARTIES = 16
MOST_VALUES = 64
MOST_NOTES = 32
LONGEST_TITLE = 200
LONGEST_NOTE = 1000
_MOST_CONTAINERS = 16

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_PARTY = re.compile(r"[a-z0-9._-]{1,128}/[a-z0-9._-]{1,64}", re.ASCII)
_RECORD_TYPE = re.compile(r"[a-z_]{1,32}", re.ASCII)
_WORD = re.compile(r"[A-Z][A-Z0-9_]{0,63}", re.ASCII)
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Document:
    """An agreement. Words are those of the protos' enums without prefix.

    Args:
        agreement_id: 1 to 64 of `a-z 0-9 . _ -`; never used twice on a network.
        title: what it is called, one line.
        notes: paragraphs for people; no rule reads them.
        parties: two or more agencies, as `trust-domain/agency`.
        purposes: what may be asked for under it.
        record_types: types of records that it covers.
        classes: field class -> transform; `*` for the classes that are not named.
        ceiling: the highest classification that it covers.
        use: `EVIDENTIAL` or `INTELLIGENCE_ONLY`.
        onward: `NONE`, `WITH_CONSENT` or `TRUST_DOMAIN`.
        assurances: what the parties assure each other.
        legal_bases: codes of the register, one of which a request must state; none: any, or none, will do.
        valid_from, valid_until: epoch seconds; the end is exclusive.
    """

    agreement_id: str
    title: str
    notes: tuple[str, ...]
    parties: tuple[str, ...]
    purposes: tuple[str, ...]
    record_types: tuple[str, ...]
    classes: tuple[tuple[str, str], ...]
    ceiling: str
    use: str
    onward: str
    assurances: tuple[str, ...]
    legal_bases: tuple[str, ...]
    valid_from: int
    valid_until: int

    @classmethod
    def from_members(cls, members: Mapping[str, object]) -> Document:
        """From a document's members, as JSON has them. Raises AgreementError."""
        known = [one.name for one in fields(cls)]
        for name in members:
            if name not in (*known, "version"):
                raise AgreementError(str(name)[:64], f"an agreement has no such member; it has {', '.join(known)}")
        for name in (*known, "version"):
            if name not in members:
                raise AgreementError(name, "it is missing; an agreement says everything in so many words")
        if members["version"] != VERSION or isinstance(members["version"], bool):
            raise AgreementError("version", f"this software knows version {VERSION}")
        made = cls(
            agreement_id=_text(members, "agreement_id", _ID, "1 to 64 of a-z, 0-9, dot, underscore, hyphen"),
            title=_line(members["title"], "title", LONGEST_TITLE),
            notes=_notes(members["notes"]),
            parties=_list(members, "parties", _PARTY, "trust-domain/agency", least=2, most=MOST_PARTIES),
            purposes=_list(members, "purposes", _WORD, "a purpose", least=1),
            record_types=_list(members, "record_types", _RECORD_TYPE, "a type of record", least=1),
            classes=_classes(members["classes"]),
            ceiling=_text(members, "ceiling", _WORD, "a classification: OFFICIAL, SECRET or TOP_SECRET"),
            use=_text(members, "use", _WORD, "EVIDENTIAL or INTELLIGENCE_ONLY"),
            onward=_text(members, "onward", _WORD, "NONE, WITH_CONSENT or TRUST_DOMAIN"),
            assurances=_list(members, "assurances", _WORD, "an assurance"),
            legal_bases=_list(members, "legal_bases", _WORD, "a code of the register of legal bases"),
            valid_from=_time(members, "valid_from"),
            valid_until=_time(members, "valid_until"),
        )
        if made.valid_until <= made.valid_from:
            raise AgreementError("valid_until", "it must be after valid_from")
        return made

    @classmethod
    def from_canonical(cls, content: bytes) -> Document:
        """From the bytes that are signed. Raises AgreementError, also where they are another spelling of the same."""
        members = read_object(content, "payload", largest=LARGEST_DOCUMENT, most_containers=_MOST_CONTAINERS)
        made = cls.from_members(members)
        if made.canonical() != content:
            raise AgreementError("payload", "it is not in canonical form (RFC 8785); draft it with `entente agreement`")
        return made

    def members(self) -> dict[str, object]:
        """As JSON has them."""
        return {
            "version": VERSION,
            **{one.name: getattr(self, one.name) for one in fields(self)},
            "classes": dict(self.classes),
            "valid_from": time_text(self.valid_from),
            "valid_until": time_text(self.valid_until),
        }

    def canonical(self) -> bytes:
        """What is signed: canonical JSON (RFC 8785). Names are ASCII and numbers small, so that sorting by code points
        and the plain form of integers are what the standard asks for."""
        text = json.dumps(self.members(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return text.encode("utf-8")


def time_text(seconds: int) -> str:
    """RFC 3339, in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_TIME)


def _time(members: Mapping[str, object], name: str) -> int:
    value = members[name]
    try:
        moment = datetime.strptime(value if isinstance(value, str) else "", _TIME).replace(tzinfo=UTC)
        seconds = int(moment.timestamp())
    except ValueError:
        raise AgreementError(name, "a time in UTC, as in 2027-01-01T00:00:00Z") from None
    if time_text(seconds) != value or not 1970 <= moment.year <= 9000:
        raise AgreementError(name, "a time in UTC, as in 2027-01-01T00:00:00Z")
    return seconds


def _text(members: Mapping[str, object], name: str, form: re.Pattern[str], what: str) -> str:
    value = members[name]
    if not isinstance(value, str) or not form.fullmatch(value):
        raise AgreementError(name, f"it must be {what}")
    return value


def _list(
    members: Mapping[str, object],
    name: str,
    form: re.Pattern[str],
    what: str,
    *,
    least: int = 0,
    most: int = MOST_VALUES,
) -> tuple[str, ...]:
    value = members[name]
    if not isinstance(value, list | tuple) or not least <= len(value) <= most:
        raise AgreementError(name, f"it must be a list of {least} to {most}")
    for one in value:
        if not isinstance(one, str) or not form.fullmatch(one):
            raise AgreementError(name, f"each must be {what}")
    if list(value) != sorted(set(value)):
        raise AgreementError(name, "it must be sorted, and hold nothing twice")
    return tuple(value)


def _classes(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not 1 <= len(value) <= MOST_VALUES:
        raise AgreementError("classes", "it must say a transform for field classes, and for `*`, the rest")
    for name, transform in value.items():
        if name != REST and not _WORD.fullmatch(name):
            raise AgreementError("classes", "each name must be a field class, or `*`")
        if not isinstance(transform, str) or not _WORD.fullmatch(transform):
            raise AgreementError(f"classes.{name}", "it must be FULL, GENERALISE, PSEUDONYM or WITHHOLD")
    if REST not in value:
        raise AgreementError("classes", "say what happens to the classes that are not named: `*`, such as WITHHOLD")
    return tuple(sorted(value.items()))


def _notes(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > MOST_NOTES:
        raise AgreementError("notes", f"it must be a list of at most {MOST_NOTES} paragraphs")
    return tuple(_line(one, "notes", LONGEST_NOTE) for one in value)


def _line(value: object, name: str, longest: int) -> str:
    printable = isinstance(value, str) and value.isprintable() and value == value.strip()
    if not isinstance(value, str) or not printable or not 0 < len(value) <= longest:
        raise AgreementError(name, f"1 to {longest} characters that can be printed, on one line")
    return value
