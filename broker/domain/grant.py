"""A grant: what one caller may see, as bitmaps over mark sets. The only authority of every read.

Bit k of a bitmap stands for mark set k. Get, Search, count, page, stream and preview test bits in the same
bitmaps, so they are equal by construction. A portion is visible only if its own bit and its container's allow it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from broker.domain.directory import Agreement
from broker.domain.exchange import PolicyReference

FULL = "full"
PART = "part"
PSEUDONYM = "pseudonym"
WITHHELD = ""

# Of one grant. Those that are met at once, far above a page's.
_MOST_VIEWS = 1_024


class StaleGrantError(Exception):
    """Directory, mark sets or policy moved on since the grant was made: decide again. Never reaches a caller."""


@dataclass(frozen=True, slots=True)
class ClassGrant:
    """The mark sets on which a class is released in full, in its coarser form, as a pseudonym: never two of them."""

    full: int = 0
    part: int = 0
    pseudonym: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """How each class is released for one pair of portion and container: `FULL`, `PART`, `PSEUDONYM` or `WITHHELD`.

    `levels` is sorted by class name and holds every class of the catalogue, so that equal views compare equal and
    a release plan can be interned by (message type, view).
    """

    levels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """One caller's grant for one purpose.

    Args:
        rows: mark sets whose portions are visible at all.
        pointers: mark sets of records of which the caller may know that they exist, beside `rows`.
        silent: mark sets of records of which the caller learns nothing, and whose originator learns that it asked.
        classes: per field class (name without prefix) the mark sets on which it is released, and how.
        answer_classes: classes released in the unmarked parts of an answer (envelope, directory, audit).
        watermark: the highest mark-set id that was evaluated; above it nothing is visible.
        data_revision: the directory's revision that was decided on.
        policy_epoch: the epoch of the policy that decided; under another one nothing is visible.
        valid_until_us: end of the grant, exclusive: the earliest boundary of any agreement that it rests on.
        policy: what decided, for the audit entry; `policy_input` its canonical JSON, to be sealed.
        roles: the caller's roles that count: known to policy, and appointed to where the role asks for it.
        agreements: those that it rests on: in force, for this purpose, and on the legal basis that they ask for.
        compartments: those that the caller's agency is a member of, as the directory said when it was decided.
        explain: (class or "ROWS", mark-set id, full?) -> (rule, reason) of the refusal, read from the condition trees.
        lineage: the same for a grant and for what extends it over new mark sets: what is found out of one, of mark sets
            up to its watermark, holds for the other.
    """

    rows: int
    pointers: int
    classes: Mapping[str, ClassGrant]
    answer_classes: frozenset[str]
    watermark: int
    data_revision: int
    valid_until_us: int
    policy: PolicyReference
    policy_input: bytes
    explain: Callable[[str, int, bool], tuple[str, str]]
    roles: frozenset[str] = frozenset()
    silent: int = 0
    compartments: frozenset[str] = frozenset()
    policy_epoch: int = 0
    agreements: tuple[Agreement, ...] = ()
    lineage: object = field(default_factory=object, compare=False, repr=False)
    _views: dict[tuple[int, int], View] = field(default_factory=dict, init=False, compare=False, repr=False)
    _packed: dict[int, tuple[int, bytes]] = field(default_factory=dict, init=False, compare=False, repr=False)

    def sees(self, portion: int, container: int) -> bool:
        """Whether a portion with these two mark sets is visible."""
        return self._on_both(self.rows, portion, container)

    def view(self, portion: int, container: int) -> View:
        """How each class is released on this pair. Memoised: about as many pairs as templates of marks."""
        found = self._views.get((portion, container))
        if found is None:
            found = View(tuple((name, self._level(name, portion, container)) for name in sorted(self.classes)))
            if len(self._views) >= _MOST_VIEWS:
                self._views.clear()
            self._views[portion, container] = found
        return found

    def _level(self, name: str, portion: int, container: int) -> str:
        held = self.classes[name]
        if self._on_both(held.full, portion, container):
            return FULL
        if self._either(held.full, held.part, portion, container):
            return PART
        # A coarser form beside a pseudonym would help to undo it: both must be pseudonyms, or one in full.
        if self._either(held.full, held.pseudonym, portion, container):
            return PSEUDONYM
        return WITHHELD

    def _on_both(self, bitmap: int, portion: int, container: int) -> bool:
        return self._on(bitmap, portion) and (portion == container or self._on(bitmap, container))

    def _either(self, one: int, other: int, portion: int, container: int) -> bool:
        return all(self._on(one, number) or self._on(other, number) for number in (portion, container))

    def _on(self, bitmap: int, number: int) -> bool:
        """A bit of one of this grant's bitmaps. Shifting an integer of 235,000 bits would copy it for each bit."""
        if number < 0:
            raise ValueError("there is no mark set below 0")
        # Kept with its bitmap, so that the id stays its own.
        found = self._packed.get(id(bitmap))
        if found is None:
            found = self._packed[id(bitmap)] = bitmap, bitmap.to_bytes(bitmap.bit_length() // 8 + 1, "little")
        packed, place = found[1], number >> 3
        return place < len(packed) and bool(packed[place] >> (number & 7) & 1)

    def refusal(self, name: str, portion: int, container: int, *, full: bool) -> tuple[str, str]:
        """(rule, reason) for which the class is not released (`full`: not in full) on this pair."""
        held = self.classes[name]
        allowed = self._on(held.full, portion) or (not full and self._on(held.part, portion))
        blamed = container if allowed else portion
        return self.explain(name, blamed, full)
