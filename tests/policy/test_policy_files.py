"""The policies' own check is clean, and the guide to them leaves no rule out."""

from __future__ import annotations

from broker.decide.bundle import policy_folder
from broker.decide.vocabulary import DECIDED_CLASSES
from scripts.check_policies import ask_opa, problems
from tests.support.opa import require_opa
from tests.support.questions import BUNDLE

GUIDE = (policy_folder().parent / "docs" / "policy.md").read_text()


def test_policies_keep_to_the_portable_subset_and_to_names_that_exist() -> None:
    assert list(problems()) == []


def test_opa_checks_and_tests_pass() -> None:
    assert ask_opa(require_opa())


def test_the_guide_names_every_rule_and_every_class() -> None:
    unnamed = [name for name in (*BUNDLE.rules, *DECIDED_CLASSES) if f"`{name}`" not in GUIDE]
    assert unnamed == []
