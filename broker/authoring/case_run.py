"""Asks an engine about a case, as the broker would, and says where the answer is another than the case expects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from broker.authoring.cases import Case
from broker.decide.answers import AnswerReader, GrantAnswer
from broker.decide.bundle import PolicyBundle
from broker.decide.engine import PolicyEngine
from broker.decide.evaluation import ROWS, Evaluation, Explainer
from broker.decide.marksets import MarkSetIndex
from broker.decide.question import grant_question, method_question
from broker.decide.vocabulary import DECIDED_CLASSES
from broker.domain.grant import ClassGrant


@dataclass
class CaseRunner:
    """Runs cases on one engine that has started. Each grant is asked for once, however many cases share it."""

    engine: PolicyEngine
    bundle: PolicyBundle
    _answers: dict[bytes, GrantAnswer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._reader = AnswerReader(self.bundle.rules, DECIDED_CLASSES)

    async def problems(self, case: Case) -> list[str]:
        """What comes out otherwise than the case says; empty: the case holds. Raises UnavailableError."""
        found = await (self._method(case) if case.scene.calls else self._portion(case))
        return [f"{case.title}: {problem}" for problem in found]

    async def _method(self, case: Case) -> list[str]:
        situation = case.scene.situation(self.bundle.roles)
        question = method_question(situation, case.scene.calls, exempt=case.scene.facts["exempt"])
        answer = self._reader.method((await self.engine.method(question)).document)
        expected = case.outcome
        if expected.refused:
            refused = not answer.allow and answer.rule == expected.refused
            return [] if refused else [f"is {'allowed' if answer.allow else f'refused by {answer.rule}'}"]
        if not answer.allow:
            return [f"is refused by {answer.rule}"]
        differ = answer.answer_classes != expected.allowed
        return [f"answers with {', '.join(sorted(answer.answer_classes))}"] if differ else []

    async def _portion(self, case: Case) -> list[str]:
        situation = case.scene.situation(self.bundle.roles)
        answer = await self._grant(grant_question(situation, case.scene.now_us()))
        agency = situation.facts.agency
        index = MarkSetIndex()
        index.extend([(0, case.scene.mark_set())])
        evaluation = Evaluation(answer, agency.name, agency.compartments, "").extended(index)
        explain = Explainer(answer, agency.name, agency.compartments, index, self.bundle.rules)
        return list(_differences(case, evaluation, explain))

    async def _grant(self, question: bytes) -> GrantAnswer:
        answer = self._answers.get(question)
        if answer is None:
            answer = self._reader.grant((await self.engine.grant(question)).document)
            self._answers[question] = answer
        return answer


def level(held: ClassGrant, number: int = 0) -> str:
    """How a class is released on one mark set."""
    forms = (("full", held.full), ("part", held.part), ("pseudonym", held.pseudonym))
    return next((name for name, bits in forms if bits >> number & 1), "withheld")


def _differences(case: Case, evaluation: Evaluation, explain: Explainer) -> Iterator[str]:
    expected = case.outcome
    hidden = "" if evaluation.rows else explain(ROWS, 0, True)[0]
    if hidden != expected.hidden:
        yield f"is hidden by {hidden}" if hidden else "is seen"
        return
    for what, bits, wanted in (
        ("a pointer is given", evaluation.pointers, expected.pointer),
        ("the originator is told", evaluation.silent, expected.silent),
    ):
        if bool(bits) != wanted:
            yield what if bits else f"not so: {what}"
    for name, (wanted_level, rule) in expected.levels.items():
        found = level((evaluation.classes or {})[name])
        if found != wanted_level:
            yield f"{name} is {found}"
        elif rule and (named := explain(name, 0, found != "withheld")[0]) != rule:
            yield f"{name} is {found} by {named}, not {rule}"
