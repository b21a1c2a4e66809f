"""Grants and refusals, made of what policy answered: a caller's, and a supposed reader's, in the same way.

Guarantees: each names the policy that decided (engine, bundle, epoch) and holds the canonical input, so that it can be
replayed; a grant ends at the earliest boundary of an agreement of the agency, and says on which ones it rests.
Does not: ask an engine, or keep anything.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from broker.decide.answers import MethodAnswer
from broker.decide.evaluation import Evaluation, Explainer
from broker.decide.marksets import MarkSetIndex
from broker.decide.question import NEVER_US, Situation, counted, valid_until_us
from broker.decide.rollout import PolicyNow
from broker.decide.vocabulary import FIELD_CLASSES
from broker.domain.errors import DecisionError
from broker.domain.exchange import PolicyReference, Refusal
from broker.domain.grant import ClassGrant, Grant


@dataclass(frozen=True, slots=True)
class Asked:
    """What a policy was asked of a method (canonical JSON), on what, and what it answered."""

    policy: PolicyNow
    situation: Situation
    question: bytes
    answer: MethodAnswer


def unmarked_grant(asked: Asked, watermark: int) -> Grant:
    """For a method that is about no record: it opens none."""
    policy_input = _policy_input(b"null", asked)
    return Grant(
        rows=0,
        pointers=0,
        classes=dict.fromkeys(FIELD_CLASSES, ClassGrant()),
        answer_classes=asked.answer.answer_classes,
        watermark=watermark,
        data_revision=asked.situation.facts.revision,
        valid_until_us=NEVER_US,
        policy=_reference(asked, policy_input, secrets.token_hex(16)),
        policy_input=policy_input,
        policy_epoch=asked.policy.epoch,
        explain=lambda *_: ("not_granted", asked.policy.bundle.rules["not_granted"].reason),
        roles=asked.situation.roles,
    )


def marked_grant(asked: Asked, question: bytes, found: Evaluation, index: MarkSetIndex, now_us: int) -> Grant:
    """For a method about records. `question`: the grant's, of which `found` is the answer over this index."""
    policy_input, facts = _policy_input(question, asked), asked.situation.facts
    return Grant(
        rows=found.rows,
        pointers=found.pointers,
        silent=found.silent,
        compartments=facts.agency.compartments,
        classes=found.classes or {},
        answer_classes=asked.answer.answer_classes,
        watermark=max(found.watermark, 0),
        data_revision=facts.revision,
        valid_until_us=valid_until_us(facts.agreements, now_us),
        policy=_reference(asked, policy_input, found.decision_id),
        policy_input=policy_input,
        policy_epoch=asked.policy.epoch,
        explain=Explainer(found.answer, found.agency, found.compartments, index, asked.policy.bundle.rules),
        roles=asked.situation.roles,
        agreements=counted(asked.situation, now_us),
        lineage=found.lineage,
    )


def refusal(asked: Asked) -> DecisionError:
    """Of a call that policy does not allow: by which rule, and what to do."""
    rule = asked.policy.bundle.rules[asked.answer.rule]
    reason = "PURPOSE_NOT_PERMITTED" if rule.reason == "PURPOSE" else "METHOD_NOT_PERMITTED"
    policy_input = _policy_input(b"null", asked)
    reference = _reference(asked, policy_input, secrets.token_hex(16))
    held = Refusal(asked.answer.rule, reference, policy_input)
    return DecisionError(reason, f"{rule.text} {rule.remedy}", refusal=held)


def _policy_input(grant_question: bytes, asked: Asked) -> bytes:
    return b'{"grant":' + grant_question + b',"method":' + asked.question + b"}"


def _reference(asked: Asked, policy_input: bytes, decision_id: str) -> PolicyReference:
    return PolicyReference(
        engine=asked.policy.engine.name,
        bundle=asked.policy.engine.bundle,
        data=asked.situation.facts.revision,
        decision_id=decision_id,
        input_hash=hashlib.sha256(policy_input).hexdigest(),
    )
