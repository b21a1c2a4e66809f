"""A grant: what one caller may see, as bitmaps over mark sets. The only authority of every read.

Bit k of a bitmap stands for mark set k. Get, Search, count, page, stream and preview test bits in the same
bitmaps, so they are equal by construction. A portion is visible only if its own bit and its container's allow it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from broker.domain.exchange import PolicyReference

FULL = "full"
PART = "part"
PSEUDONYM = "pseudonym"
WITHHELD = ""


class StaleGrantError(Exception):
    """The directory or the mark sets moved on since the grant was made: decide again. Never reaches a caller."""


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
        valid_until_us: end of the grant, exclusive: the earliest boundary of any agreement that it rests on.
        policy: what decided, for the audit entry; `policy_input` its canonical JSON, to be sealed.
        roles: the caller's roles that count: known to policy, and appointed to where the role asks for it.
        explain: (class or "ROWS", mark-set id, full?) -> (rule, reason) of the refusal, read from the condition trees.
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
    _views: dict[tuple[int, int], View] = field(default_factory=dict, compare=False, repr=False)

    def sees(self, portion: int, container: int) -> bool:
        """Whether a portion with these two mark sets is visible."""
        return bool(self.rows >> portion & 1 and self.rows >> container & 1)

    def view(self, portion: int, container: int) -> View:
        """How each class is released on this pair. Memoised: about as many pairs as templates of marks."""
        found = self._views.get((portion, container))
        if found is None:
            found = View(tuple((name, self._level(name, portion, container)) for name in sorted(self.classes)))
            self._views[portion, container] = found
        return found

    def _level(self, name: str, portion: int, container: int) -> str:
        held = self.classes[name]
        if held.full >> portion & 1 and held.full >> container & 1:
            return FULL
        either = held.full | held.part
        if either >> portion & 1 and either >> container & 1:
            return PART
        # A coarser form beside a pseudonym would help to undo it: both must be pseudonyms, or one in full.
        named = held.full | held.pseudonym
        if named >> portion & 1 and named >> container & 1:
            return PSEUDONYM
        return WITHHELD

    def refusal(self, name: str, portion: int, container: int, *, full: bool) -> tuple[str, str]:
        """(rule, reason) for which the class is not released (`full`: not in full) on this pair."""
        held = self.classes[name]
        allowed = held.full if full else held.full | held.part
        blamed = portion if not allowed >> portion & 1 else container
        return self.explain(name, blamed, full)
