"""The policy's prose as a decision: of one reader, one portion, one class at a time. Slow, plain, and its own.

Each function is a paragraph of docs/policy.md; its heading stands in the docstring. The tables are read from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tests.reference import prose
from tests.reference.facts import LEVELS, Agreement, Marks, Reader, home, stated

FULL, COARSER, PSEUDONYM, WITHHELD = "full", "coarser", "pseudonym", "withheld"
PERSONAL = ("IDENTITY", "CONTACT", "FINANCIAL", "OBJECT")
UNDER_REDACTED = ("HEADER", "MARKING", "SUMMARY", "TEAR_LINE", "GRADING")
HANDLING = ("A1", "A2", "A3", "S1", "S2")
EUROPOL = ("H0", "H1", "H2", "H3")


def may_call(reader: Reader, permission: str) -> bool:
    """Calling a method."""
    able = reader.roles & prose.roles_with(permission)
    return (
        reader.level in ("LOCAL", "REGIONAL", "NATIONAL", "INTERNATIONAL")
        and bool(able)
        and reader.purpose in reader.token_purposes
        and any(reader.purpose in prose.purposes_of(role) for role in able)
    )


# Agreements


def counts(agreement: Agreement, reader: Reader) -> bool:
    """An agreement counts for a request."""
    named = agreement.legal_bases
    in_court = reader.purpose in prose.purposes("ends in court")
    return (
        reader.purpose in agreement.purposes
        and (not named or reader.legal_basis in named)
        and (agreement.use == "EVIDENTIAL" or (agreement.use == "INTELLIGENCE_ONLY" and not in_court))
    )


def covering(reader: Reader, marks: Marks) -> Iterator[Agreement]:
    """An agreement covers a portion."""
    for agreement in reader.agreements:
        if (
            counts(agreement, reader)
            and marks.originator in agreement.partners
            and marks.classification in LEVELS[: LEVELS.index(agreement.ceiling) + 1]
            and marks.record_type in agreement.record_types
        ):
            yield agreement


def carries(agreement: Agreement, field_class: str) -> str:
    """It carries a transform for each class."""
    return agreement.transforms.get(field_class, agreement.transforms.get("*", "WITHHOLD"))


def is_open(marks: Marks) -> bool:
    """What rests on an agreement and what is open."""
    return marks.tlp in ("CLEAR", "GREEN")


def abroad(reader: Reader, marks: Marks) -> bool:
    """In another trust domain."""
    return home(reader.agency) != home(marks.originator)


# Seeing a portion


def reads(reader: Reader) -> bool:
    """A role that reads reports and an operational purpose."""
    return bool(reader.roles & prose.roles_with("REPORT_READ")) and reader.purpose in prose.purposes("operational")


def cleared(reader: Reader, marks: Marks) -> bool:
    """`clearance`"""
    if reader.clearance not in LEVELS or marks.classification not in LEVELS:
        return False
    high_enough = LEVELS.index(marks.classification) <= LEVELS.index(reader.clearance)
    return high_enough and (marks.classification != "TOP_SECRET" or reader.country in reader.nationalities)


def hides(reader: Reader, marks: Marks) -> bool:
    """The table of others' portions, all but `reach`."""
    named = marks.releasable_to is not None and reader.agency in marks.releasable_to
    against_crime = reader.purpose in prose.purposes("against crime")
    return (
        (marks.releasable_to is not None and not named)
        or marks.sanitisation == "SOURCE_PROTECTED"
        or (marks.tlp == "RED" and not named)
        or (marks.tlp == "AMBER_STRICT" and abroad(reader, marks))
        or not (is_open(marks) or any(covering(reader, marks)))
        or marks.handling_code not in ("P", "C")
        or not marks.conditions <= set(HANDLING)
        or not marks.europol <= set(EUROPOL)
        or ("H0" in marks.europol and not against_crime)
        or ("H2" in marks.europol and not named)
        or ("H3" in marks.europol and not stated(reader.authoriser))
    )


def seen_but_for_reach(reader: Reader, marks: Marks) -> bool:
    """Seeing a portion, as if its reach were not stated."""
    everybody = reads(reader) and cleared(reader, marks) and marks.compartments <= reader.compartments
    return everybody and (marks.originator == reader.agency or not hides(reader, marks))


def sees(reader: Reader, marks: Marks) -> bool:
    """Seeing a portion, by its own marks alone."""
    reaches = marks.reach in ("", "REDACTED") or marks.originator == reader.agency
    return seen_but_for_reach(reader, marks) and reaches


def pointed_at(reader: Reader, marks: Marks) -> bool:
    """Pointers."""
    in_place = marks.reach == "POINTER" and seen_but_for_reach(reader, marks)
    fallback = marks.fallback == "POINTER" and marks.reach in ("", "REDACTED", "POINTER")
    known = not abroad(reader, marks) or any(
        counts(one, reader) and marks.originator in one.partners and marks.record_type in one.record_types
        for one in reader.agreements
    )
    return (
        not sees(reader, marks)
        and (in_place or fallback)
        and reads(reader)
        and marks.compartments <= reader.compartments
        and known
        and marks.tlp != "RED"
    )


# Seeing its fields


def against(condition: str, reader: Reader, marks: Marks) -> bool:
    """Handling conditions."""
    if condition not in marks.conditions | marks.europol:
        return False
    return {
        "A1": reader.purpose in prose.purposes("direct action"),
        "A2": reader.purpose not in prose.purposes("investigative"),
        "A3": not stated(reader.authoriser),
        "S1": abroad(reader, marks),
        "S2": True,
        "H1": reader.purpose in prose.purposes("ends in court"),
    }[condition]


def released_by_agreement(reader: Reader, marks: Marks, field_class: str, enough: Sequence[str]) -> bool:
    """Released by agreement: open, or covered."""
    return is_open(marks) or covered(reader, marks, field_class, enough)


def covered(reader: Reader, marks: Marks, field_class: str, enough: Sequence[str]) -> bool:
    """Covered by agreement."""
    return any(carries(agreement, field_class) in enough for agreement in covering(reader, marks))


def text_released(reader: Reader, marks: Marks, field_class: str) -> bool:
    """Text released."""
    cleaned = marks.sanitisation in ("SANITISED", "TEAR_LINE")
    return (is_open(marks) and cleaned) or covered(reader, marks, field_class, ["FULL"])


def assured(reader: Reader, marks: Marks, field_class: str) -> bool:
    """Assured abroad."""
    asked = {"NO_DEATH_PENALTY", "NO_TORTURE"} | ({"DATA_PROTECTION"} if field_class == "BIOGRAPHIC" else set())
    return not abroad(reader, marks) or any(
        carries(one, field_class) == "FULL" and asked <= one.assurances for one in covering(reader, marks)
    )


Phrase = Callable[[Reader, Marks, str, Sequence[str]], bool]
PHRASES: dict[str, Phrase] = {
    "always": lambda r, m, c, e: True,
    "released by agreement": released_by_agreement,
    "covered by agreement": covered,
    "text released": lambda r, m, c, e: text_released(r, m, c),
    "assured abroad": lambda r, m, c, e: assured(r, m, c),
    "assured abroad, unless sanitised or a tear-line": lambda r, m, c, e: (
        m.sanitisation in ("SANITISED", "TEAR_LINE") or assured(r, m, c)
    ),
    "a role that weighs provenance: officers and analysts": lambda r, m, c, e: bool(
        r.roles & prose.roles_besides("weighs provenance")
    ),
    "a regional, national or international agency": lambda r, m, c, e: (
        r.level in ("REGIONAL", "NATIONAL", "INTERNATIONAL")
    ),
    "a regional or national agency": lambda r, m, c, e: r.level in ("REGIONAL", "NATIONAL"),
    "investigative purposes": lambda r, m, c, e: r.purpose in prose.purposes("investigative"),
    "investigative purpose": lambda r, m, c, e: r.purpose in prose.purposes("investigative"),
    "purposes that follow contacts": lambda r, m, c, e: r.purpose in prose.purposes("contacts"),
    "purposes that follow money": lambda r, m, c, e: r.purpose in prose.purposes("money"),
    "purposes that check objects": lambda r, m, c, e: r.purpose in prose.purposes("objects"),
    "same trust domain": lambda r, m, c, e: not abroad(r, m),
}


def holds(phrase: str, reader: Reader, marks: Marks, field_class: str, enough: Sequence[str]) -> bool:
    """Whether a condition of the table holds. KeyError: a phrase that the reference has to be taught."""
    if phrase.startswith("not against "):
        named = phrase.removeprefix("not against ").split(", ")
        return not any(against(condition, reader, marks) for condition in named)
    return PHRASES[phrase](reader, marks, field_class, enough)


def _all_hold(field_class: str, heading: str, reader: Reader, marks: Marks, enough: Sequence[str]) -> bool:
    phrases = prose.column(field_class, heading)
    return bool(phrases) and all(holds(phrase, reader, marks, field_class, enough) for phrase in phrases)


def released(reader: Reader, marks: Marks, field_class: str) -> str:
    """How a class is released on a portion that is seen, by its own marks alone."""
    if marks.originator == reader.agency:
        handles = bool(reader.roles & prose.roles_besides("handles sources"))
        return FULL if field_class != "SOURCE" or handles else WITHHELD
    redacted = marks.reach == "REDACTED" and field_class not in UNDER_REDACTED
    if not redacted and _all_hold(field_class, "in full", reader, marks, ["FULL"]):
        return FULL
    if _all_hold(field_class, "in its coarser form", reader, marks, ["FULL", "GENERALISE"]):
        return COARSER
    return PSEUDONYM if named_by_pseudonym(reader, marks, field_class) else WITHHELD


def named_by_pseudonym(reader: Reader, marks: Marks, field_class: str) -> bool:
    """As a pseudonym."""
    if field_class not in PERSONAL or not covered(reader, marks, field_class, ["PSEUDONYM"]):
        return False
    handling = [phrase for phrase in prose.column(field_class, "in its coarser form") if phrase.startswith("not ")]
    return stated(reader.case) and all(holds(phrase, reader, marks, field_class, ()) for phrase in handling)


# A portion in its container


def visible(reader: Reader, portion: Marks, container: Marks) -> bool:
    """It is seen only if its own marks and its container's allow it."""
    return sees(reader, portion) and sees(reader, container)


_INCLUDES = {FULL: (FULL, COARSER, PSEUDONYM), COARSER: (COARSER,), PSEUDONYM: (PSEUDONYM,), WITHHELD: ()}


def form(reader: Reader, portion: Marks, container: Marks, field_class: str) -> str:
    """How a class is released on a portion in its container: in the fullest form that both allow.

    FULL allows every form; a coarser form and a pseudonym allow nothing but themselves.
    """
    allowed = [_INCLUDES[released(reader, marks, field_class)] for marks in (portion, container)]
    return next((how for how in (FULL, COARSER, PSEUDONYM) if all(how in one for one in allowed)), WITHHELD)


# Which rule is named

RULES = {
    "released by agreement": "agreement_class",
    "covered by agreement": "personal_agreement",
    "text released": "text_agreement",
    "assured abroad": "assurance",
    "assured abroad, unless sanitised or a tear-line": "assurance",
    "a role that weighs provenance: officers and analysts": "provenance_role",
    "a regional, national or international agency": "provenance_level",
    "a regional or national agency": "regional_or_national",
    "investigative purposes": "investigative_purpose",
    "investigative purpose": "investigative_purpose",
    "purposes that follow contacts": "contact_purpose",
    "purposes that follow money": "financial_purpose",
    "purposes that check objects": "object_purpose",
    "same trust domain": "domestic_only",
}


def rule(reader: Reader, portion: Marks, container: Marks, field_class: str) -> str:
    """The rule for which a class is not released in full on a portion that is seen; "" where it is, or is both ways.

    The portion's own marks are blamed before its container's.
    """
    how = form(reader, portion, container, field_class)
    if how == FULL:
        return ""
    for marks in (portion, container):
        alone = released(reader, marks, field_class)
        if alone == WITHHELD or (how != WITHHELD and alone != FULL):
            return first_refusing(reader, marks, field_class, how)
    return ""


def first_refusing(reader: Reader, marks: Marks, field_class: str, how: str) -> str:
    """Why a class goes no further than so, by these marks."""
    if marks.originator == reader.agency:
        return "source_handler"
    stays = prose.never(field_class)
    if stays:
        return stays
    if how == WITHHELD and field_class in PERSONAL:
        found = list(_pseudonym_conditions(reader, marks, field_class))
    elif how == WITHHELD and prose.column(field_class, "in its coarser form"):
        found = list(_conditions(reader, marks, field_class, "in its coarser form", ["FULL", "GENERALISE"]))
    else:
        redacted = marks.reach == "REDACTED" and field_class not in UNDER_REDACTED
        found = [("redacted", not redacted), *_conditions(reader, marks, field_class, "in full", ["FULL"])]
    return next(name for name, met in found if not met)


def _conditions(
    reader: Reader, marks: Marks, field_class: str, heading: str, enough: Sequence[str]
) -> Iterator[tuple[str, bool]]:
    """(rule, whether it is met) of each condition of a column, from left to right."""
    for phrase in prose.column(field_class, heading):
        if phrase.startswith("not against "):
            for condition in phrase.removeprefix("not against ").split(", "):
                yield prose.rule_of_condition(condition), not against(condition, reader, marks)
        elif phrase != "always":
            yield RULES[phrase], holds(phrase, reader, marks, field_class, enough)


def _pseudonym_conditions(reader: Reader, marks: Marks, field_class: str) -> Iterator[tuple[str, bool]]:
    coarser = _conditions(reader, marks, field_class, "in its coarser form", ["FULL", "GENERALISE"])
    yield from ((name, met) for name, met in coarser if name != RULES["released by agreement"])
    yield RULES["released by agreement"], covered(reader, marks, field_class, ["PSEUDONYM"])
    yield "case_reference", stated(reader.case)
