"""What a run says in the end: counts by family, what did not hold, the slowest, and the one line that matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.attacks.suite.case import End, Need, Result
from tests.attacks.suite.table import LEAST

MOST_LISTED = 40


@dataclass
class Report:
    """A run's results, and what was found beside them (`faults`: of the process, the ledger, the counts)."""

    results: Sequence[Result]
    left_out: Counter[Need]
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[Result]:
        return [one for one in self.results if not one.held]

    @property
    def accepted_though_bad(self) -> int:
        return sum(one.accepted_though_bad for one in self.results)

    @property
    def crashes(self) -> int:
        return sum(one.observed.end is End.CRASH for one in self.results)

    @property
    def hangs(self) -> int:
        return sum(one.observed.end is End.HANG or one.seconds > one.case.longest for one in self.results)

    @property
    def without_entry(self) -> int:
        return sum(bool(one.entry) for one in self.results)

    @property
    def good(self) -> bool:
        return not self.failed and not self.faults

    def counted(self, family: str) -> int:
        return sum(one.case.family == family for one in self.results)

    def require_counts(self) -> None:
        """Too few cases are a fault; only of a run that had everything it could need."""
        for family, least in LEAST.items():
            if self.counted(family) < least:
                self.faults.append(f"{self.counted(family)} {family}, and {least} are wanted")

    def __str__(self) -> str:
        return "\n".join([*self._families(), *self._figures(), *self._failures(), *self.notes, self._verdict()])

    def _families(self) -> list[str]:
        lines = []
        for family in dict.fromkeys(one.case.family for one in self.results):
            mine = [one for one in self.results if one.case.family == family]
            ends = Counter(one.observed.end.value for one in mine)
            controls = sum(one.case.control for one in mine)
            judged = sum(one.case.in_process for one in mine)
            listed = ", ".join(f"{count} {end}" for end, count in ends.most_common())
            lines.append(f"{family:14} {len(mine):5} cases ({controls} must pass; {judged} in process): {listed}")
        return lines

    def _figures(self) -> list[str]:
        quick = [one for one in self.results if one.case.longest <= 1.0]
        slowest = max(quick or self.results, key=lambda one: one.seconds)
        lines = [
            f"accepted though bad: {self.accepted_though_bad}; crashes: {self.crashes}; hangs: {self.hangs}; "
            f"refusals without a right entry: {self.without_entry}",
            f"slowest case: {slowest.seconds * 1000:.0f} ms ({slowest.case.name})",
        ]
        for one in self.results:
            if one.case.family == "floods":
                lines.append(f"  {one.case.name}: {one.observed.text}")
        for need, count in self.left_out.items():
            lines.append(f"left out: {count} cases, which need {need.value}")
        return lines

    def _failures(self) -> list[str]:
        lines = []
        for one in self.failed[:MOST_LISTED]:
            mark = "ACCEPTED THOUGH BAD" if one.accepted_though_bad else "failed"
            lines.append(
                f"{mark}: {one.case.family}: {one.case.name}: wanted {one.case.expected}; got {one.observed}"
                f"{f'; {one.entry}' if one.entry else ''} ({one.seconds:.2f} s)"
            )
        return [*lines, *(f"fault: {one}" for one in self.faults)]

    def _verdict(self) -> str:
        word = "held" if self.good else "DID NOT HOLD"
        return f"{word}: {len(self.results) - len(self.failed)} of {len(self.results)} cases ended as they must"
