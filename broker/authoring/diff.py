"""What another policy would change: in its text, and for whom.

Guarantees: every module and every value of the data that differs is named; every class that would open or close for any
reader of the population is told, with the purposes and how many of the portions. What is not told did not change for
anybody in the population (`population.py`), which is not everybody there is.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from broker.authoring.population import Kind, Reader, in_words, portions, readers
from broker.decide.answers import AnswerReader
from broker.decide.bundle import PolicyBundle
from broker.decide.embedded import EmbeddedEngine
from broker.decide.engine import PolicyEngine
from broker.decide.evaluation import Evaluation
from broker.decide.marksets import MarkSetIndex
from broker.decide.question import grant_question, method_question
from broker.decide.vocabulary import DECIDED_CLASSES, names
from broker.domain.grant import ClassGrant
from entente.access.v1 import access_pb2

LEVELS = ("withheld", "a pseudonym", "in its coarser form", "in full")
RECORD = "the portion itself"
RECORD_LEVELS = ("nothing", "the originator is told", "a pointer", "seen")


def text_changes(old: PolicyBundle, new: PolicyBundle) -> Iterator[str]:
    """Modules and data that differ, a line each."""
    before, after = dict(old.modules), dict(new.modules)
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after:
            yield f"module {name}: {'added' if name in after else 'removed'}"
        elif before[name] != after[name]:
            lines = list(difflib.unified_diff(before[name].splitlines(), after[name].splitlines(), n=0, lineterm=""))[
                2:
            ]
            came = sum(line.startswith("+") for line in lines)
            yield f"module {name}: {came} lines added, {sum(line.startswith('-') for line in lines)} removed"
    yield from _values("", json.loads(old.data), json.loads(new.data))


def _values(path: str, old: object, new: object) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            yield from _values(f"{path}.{key}" if path else key, old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list):
        for gone in (one for one in old if one not in new):
            yield f"{path}: no longer {gone}"
        for come in (one for one in new if one not in old):
            yield f"{path}: now also {come}"
    elif old != new:
        yield f"{path}: {_told(old)} -> {_told(new)}"


def _told(value: object) -> str:
    if isinstance(value, Mapping):
        return "present"
    return "absent" if value is None else json.dumps(value, ensure_ascii=False)


@dataclass
class Shift:
    """How one class would come out otherwise for one kind of caller. `marks`: portions on which, in words."""

    kind: Kind
    what: str
    now: str
    then: str
    opens: bool
    purposes: set[str] = field(default_factory=set)
    marks: dict[str, None] = field(default_factory=dict)

    def in_words(self) -> str:
        """All but the role."""
        few = list(self.marks)[:3]
        such = f"{'; '.join(few)}{' ...' if len(self.marks) > len(few) else ''}"
        return (
            f"{self.kind.relation}: {self.what}: {self.now} -> {self.then}, for {', '.join(sorted(self.purposes))}; "
            f"on {len(self.marks)} of {len(portions())} kinds of portions ({such})"
        )


def told(found: Iterable[Shift]) -> list[str]:
    """Shifts in lines, roles that would be treated alike in one; what opens first."""
    alike: dict[tuple[bool, str], set[str]] = {}
    for shift in found:
        alike.setdefault((not shift.opens, shift.in_words()), set()).add(shift.kind.role)
    return [
        f"{'-' if closes else '+'} {', '.join(sorted(roles))}: {words}"
        for (closes, words), roles in sorted(alike.items())
    ]


async def shifts(old: PolicyBundle, new: PolicyBundle) -> list[Shift]:
    """What would open (+) or close (-), for whom. Raises UnavailableError where either policy cannot answer."""
    engines = (EmbeddedEngine(old), EmbeddedEngine(new))
    for engine in engines:
        await engine.start()
    index, marks = MarkSetIndex(), portions()
    index.extend(list(enumerate(marks)))
    found: dict[tuple[Kind, str, str, str], Shift] = {}
    asked: set[bytes] = set()
    for reader in readers(old, new):
        question = grant_question(reader.situation, 1)
        if question in asked:
            continue
        asked.add(question)
        reading = method_question(reader.situation, "REPORT_READ", exempt=False)
        if not any([await _allowed(one, bundle, reading) for one, bundle in zip(engines, (old, new), strict=True)]):
            # Whoever may not read under either policy sees nothing under either.
            continue
        now, then = [await _levels(one, bundle, reader, index) for one, bundle in zip(engines, (old, new), strict=True)]
        for what, before in now.items():
            scale = RECORD_LEVELS if what == RECORD else LEVELS
            for number, (was, becomes) in enumerate(zip(before, then[what], strict=True)):
                if was != becomes:
                    key = (reader.kind, what, scale[was], scale[becomes])
                    shift = found.setdefault(key, Shift(*key, opens=becomes > was))
                    shift.purposes.add(reader.situation.purpose)
                    shift.marks[in_words(marks[number])] = None
    return list(found.values())


async def method_changes(old: PolicyBundle, new: PolicyBundle) -> list[str]:
    """Permissions that a role would gain or lose, a line each. Raises UnavailableError."""
    engines = (EmbeddedEngine(old), EmbeddedEngine(new))
    for engine in engines:
        await engine.start()
    found: dict[tuple[str, str, bool], set[str]] = {}
    asked: set[tuple[str, str]] = set()
    for reader in readers(old, new):
        # A method is granted or refused whoever's portions there are.
        if (reader.kind.role, reader.situation.purpose) in asked:
            continue
        asked.add((reader.kind.role, reader.situation.purpose))
        for permission in names(access_pb2.Permission):
            question = method_question(reader.situation, permission, exempt=False)
            was, becomes = [await _allowed(one, of, question) for one, of in zip(engines, (old, new), strict=True)]
            if was != becomes:
                found.setdefault((reader.kind.role, permission, becomes), set()).add(reader.situation.purpose)
    return [
        f"{'+' if gains else '-'} {role} {'may' if gains else 'may no longer'} {permission}: {', '.join(sorted(on))}"
        for (role, permission, gains), on in sorted(found.items())
    ]


async def _allowed(engine: PolicyEngine, bundle: PolicyBundle, question: bytes) -> bool:
    return AnswerReader(bundle.rules, DECIDED_CLASSES).method((await engine.method(question)).document).allow


async def _levels(
    engine: PolicyEngine, bundle: PolicyBundle, reader: Reader, index: MarkSetIndex
) -> dict[str, list[int]]:
    """For each class, and for the portion itself, its level on each of the portions."""
    situation = reader.situation
    answer = AnswerReader(bundle.rules, DECIDED_CLASSES).grant(
        (await engine.grant(grant_question(situation, 1))).document
    )
    agency = situation.facts.agency
    seen = Evaluation(answer, agency.name, agency.compartments, "").extended(index)
    count = index.watermark + 1
    held = (seen.classes or {}).items()
    levels = {name: [_level(grant, number) for number in range(count)] for name, grant in held}
    levels[RECORD] = [
        next((n for n, bits in ((3, seen.rows), (2, seen.pointers), (1, seen.silent)) if bits >> number & 1), 0)
        for number in range(count)
    ]
    return levels


def _level(held: ClassGrant, number: int) -> int:
    forms = ((3, held.full), (2, held.part), (1, held.pseudonym))
    return next((level for level, bits in forms if bits >> number & 1), 0)
