"""Explanations and simulations in sentences: nothing that matters is left out of them."""

from __future__ import annotations

from entente.access.v1 import access_pb2
from entente.audit.v1 import explanation_service_pb2 as explanation
from entente.common.v1 import exchange_pb2
from entente.policy.v1 import simulation_service_pb2 as simulation
from entente_sdk.cli import explain, whatif
from entente_sdk.cli.values import words
from entente_sdk.rules import MEANINGS


def told(**changes: object) -> str:
    made = explanation.Explanation(agency="a.example/b", user="u", method="x.Reports/Get", outcome="allowed")
    made.MergeFrom(explanation.Explanation(**changes))  # type: ignore[arg-type]
    return "\n".join(text for text, _ in explain.sentences(made))


def test_each_withheld_path_comes_with_its_rule_and_what_may_be_done() -> None:
    rule = explanation.RuleTold(rule="clearance", text="It is above.", remedy="Ask a colleague.")
    withheld = explanation.WithheldTold(
        rule="clearance", reason=exchange_pb2.WITHHELD_REASON_CLEARANCE, paths=["lines.information"], in_some=True
    )
    coarser = explanation.CoarserTold(form=access_pb2.GENERALISATION_KEEP, paths=["entities.person.birth_date"])
    release = explanation.ReleaseTold(records=2, level=2, released=["title"], withheld=[withheld], coarser=[coarser])
    text = told(releases=[release], rules=[rule])
    assert "2 records, redacted: 1 field released as they are." in text
    assert "Withheld by clearance (clearance) in some portions: lines.information" in text
    assert "It is above." in text
    assert "What may be done: Ask a colleague." in text
    assert "In another form (coarse parts only): entities.person.birth_date" in text


def test_a_refusal_is_told_with_its_rule_or_else_with_advice() -> None:
    rule = explanation.RuleTold(rule="purpose_in_token", text="Not allowed.", remedy="State another.")
    assert "by the rule purpose_in_token" in told(outcome="denied", reason="PURPOSE_NOT_PERMITTED", refused_by=rule)
    assert "gives this same answer" in told(outcome="denied", reason="NOT_FOUND")
    assert "has not kept the text" in told(outcome="denied", reason="X", refused_by=explanation.RuleTold(rule="r"))


def simulated(**changes: object) -> str:
    made = simulation.Simulation(present_revision="a" * 64, candidate_revision="b" * 64)
    made.MergeFrom(simulation.Simulation(**changes))  # type: ignore[arg-type]
    return "\n".join(text for text, _ in whatif.sentences(made))


def test_who_would_see_more_and_who_less() -> None:
    more = simulation.AudienceShift(agency="a.example/more", now=1, then=6)
    less = simulation.AudienceShift(agency="a.example/less", now=6, then=5)
    text = simulated(shifts=[more, less], calls=[simulation.CallShift(allowed_then=False, calls=3)])
    assert "Would see more: a.example/more" in text
    assert "Would see less: a.example/less" in text
    assert "3 would be refused, and 0 allowed" in text
    assert "Nobody would gain or lose anything." in simulated()


def test_what_may_not_be_relied_on_is_said() -> None:
    text = simulated(not_reproduced=1, shortened=True)
    assert "stop, and tell" in text
    assert "may change too" in text


def test_classes_that_shift_alike_are_one_line() -> None:
    one = simulation.AudienceShift(agency="a", now=1, then=6, records=2)
    other = simulation.AudienceShift(agency="a", now=1, then=6, records=2, field_class=access_pb2.FIELD_CLASS_IDENTITY)
    another = simulation.AudienceShift(agency="a", now=1, then=5, records=2, field_class=access_pb2.FIELD_CLASS_PLACE)
    assert [len(group) for group in whatif.alike([one, other, another])] == [2, 1]


def test_every_kind_of_reason_has_words_where_no_policies_are_installed() -> None:
    kinds = exchange_pb2.WithheldReason.DESCRIPTOR.values
    assert {words(exchange_pb2.WithheldReason.DESCRIPTOR, one.number) for one in kinds if one.number} == MEANINGS.keys()
