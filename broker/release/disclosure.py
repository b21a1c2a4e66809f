"""Disclosures: what of a record was released, and what was not and why, for the caller and for the ledger.

MUSTs:
1. A disclosure follows from schema and decision, never from presence: a withheld path is listed whether it is set or
   not, and a portion that is hidden is not listed at all.
2. Each schema path is in exactly one of released, withheld and generalised. An entry with `portions` speaks of those
   portions alone and overrides there what is said of the path in general; a portion is never looser than that.
3. The level is FULL only when nothing is withheld or generalised.

A KEEP field that is granted in part is released as it is, so it counts as released. A pseudonym counts as generalised.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from broker.domain.exchange import DisclosureGroup, Transformed, Withheld
from broker.domain.grant import FULL, PART, PSEUDONYM, WITHHELD
from broker.release.classes import KEEP, VALUE, FieldRule
from broker.release.decisions import NO_GRANT, Decision
from broker.release.errors import ReleaseError
from broker.release.plans import treatment
from broker.release.records import Leaf, RecordType
from entente.access.v1 import access_pb2
from entente.common.v1 import exchange_pb2

# The form of a pseudonym, on the wire and in the ledger.
NAMED = "PSEUDONYM"
TRANSFORMED = frozenset((PART, PSEUDONYM))
LEVEL_FULL, LEVEL_REDACTED, LEVEL_POINTER = "full", "redacted", "pointer"
POINTER_RULE = "pointer"
POINTER_REASON = "ORIGINATOR_ONLY"
_IN_POINTER = frozenset(("header.record_id", "header.originator"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one schema path: released FULL, in PART or as a PSEUDONYM (`form` says how), or WITHHELD."""

    leaf: Leaf
    how: str
    form: str
    rule: str
    reason: str


# Verdicts, each with the keys of the portions that it is limited to; none: all of that type.
Entries = list[tuple[Verdict, tuple[str, ...]]]


@dataclass(frozen=True)
class Outlook:
    """The disclosure of a record whose portions are all released as the record itself is."""

    level: str
    plan: str
    verdicts: tuple[Verdict, ...]

    @cached_property
    def message(self) -> bytes:
        """The serialised Disclosure."""
        return disclosure(self.level, [(verdict, ()) for verdict in self.verdicts])

    @cached_property
    def released(self) -> tuple[str, ...]:
        """The schema paths that are released as they are."""
        return tuple(verdict.leaf.path for verdict in self.verdicts if verdict.how == FULL)


def verdicts(record: RecordType, decision: Decision) -> tuple[Verdict, ...]:
    """What becomes of each schema path of a record under one decision, in the order of the schema."""
    levels = dict(decision.view.levels)
    return tuple(_verdict(leaf, treatment(leaf.rule, levels), decision) for leaf in record.leaves)


def _verdict(leaf: Leaf, how: str, decision: Decision) -> Verdict:
    if how == FULL:
        return Verdict(leaf, how, "", "", "")
    rule, reason = decision.refusals.get(leaf.rule.field_class, NO_GRANT)
    return Verdict(leaf, how, _form(leaf.rule, how), rule, reason)


def _form(rule: FieldRule, how: str) -> str:
    """A value keeps the coarse ones of its parts."""
    if how == PSEUDONYM:
        return NAMED
    if how != PART:
        return ""
    return KEEP if rule.kind == VALUE else rule.generalisation


def outlook(record: RecordType, decision: Decision) -> Outlook:
    """The disclosure when this decision holds for the record and all its portions."""
    found = verdicts(record, decision)
    level = LEVEL_FULL if all(verdict.how == FULL for verdict in found) else LEVEL_REDACTED
    return Outlook(level, plan_name(record, found), found)


def pointer_outlook(record: RecordType) -> Outlook:
    """The disclosure of a pointer: the same for every record, so that it tells nothing of the marks.

    The originator's TLP label travels in the pointer itself.
    """
    found = tuple(
        Verdict(leaf, FULL, "", "", "")
        if leaf.path in _IN_POINTER
        else Verdict(leaf, WITHHELD, "", POINTER_RULE, POINTER_REASON)
        for leaf in record.leaves
    )
    return Outlook(LEVEL_POINTER, f"{record.message.full_name}/{LEVEL_POINTER}", found)


def plan_name(record: RecordType, found: tuple[Verdict, ...]) -> str:
    """A name of what becomes of each path and of nothing else, so that it means the same on every broker."""
    digest = hashlib.sha256(repr([(one.leaf.path, one.how) for one in found]).encode()).hexdigest()
    return f"{record.message.full_name}/{digest[:16]}"


def disclosure(level: str, entries: Entries) -> bytes:
    """The serialised Disclosure of these verdicts, each with the portions that it is limited to."""
    message = exchange_pb2.Disclosure(level=exchange_pb2.DisclosureLevel.Value(f"DISCLOSURE_LEVEL_{level.upper()}"))
    for verdict, keys in entries:
        if verdict.how == WITHHELD:
            message.withheld.add(
                path=verdict.leaf.path,
                field_class=access_pb2.FieldClass.Value(f"FIELD_CLASS_{verdict.leaf.rule.field_class}"),
                rule=verdict.rule,
                reason=_reason(verdict.reason),
                portions=keys,
            )
        elif verdict.how in TRANSFORMED:
            form = access_pb2.Generalisation.Value(f"GENERALISATION_{verdict.form}")
            message.generalised.add(path=verdict.leaf.path, generalisation=form, rule=verdict.rule, portions=keys)
    return message.SerializeToString()


def _reason(name: str) -> exchange_pb2.WithheldReason.ValueType:
    known = exchange_pb2.WithheldReason.DESCRIPTOR.values_by_name.get(f"WITHHELD_REASON_{name}")
    if known is None or known.number == 0:
        raise ReleaseError(f"policy gave the reason {name!r}, which the wire does not know")
    return exchange_pb2.WithheldReason.ValueType(known.number)


def group(level: str, general: Outlook, entries: Entries, records: tuple[tuple[str, int], ...]) -> DisclosureGroup:
    """What the ledger says of records that were disclosed alike."""
    return DisclosureGroup(
        plan=general.plan,
        level=level,
        records=records,
        released=general.released,
        withheld=tuple(
            Withheld(one.leaf.path, one.leaf.rule.field_class, one.rule, one.reason, keys)
            for one, keys in entries
            if one.how == WITHHELD
        ),
        transformed=tuple(
            Transformed(one.leaf.path, one.form, keys) for one, keys in entries if one.how in TRANSFORMED
        ),
    )
