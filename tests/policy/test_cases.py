"""The cases of `policies/cases`, on both engines: who asks what of which portion, sees which classes, and why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.authoring.case_run import CaseRunner
from broker.authoring.case_scene import CaseError
from broker.authoring.cases import Case, Theme, load_cases
from broker.decide.answers import enum_names
from broker.decide.bundle import policy_folder
from broker.decide.engine import PolicyEngine
from broker.decide.vocabulary import PURPOSES
from scripts.render_cases import PAGE, rendered
from tests.support.questions import BUNDLE

FOLDER = policy_folder() / "cases"
RULES = frozenset(BUNDLE.rules)
BOOK = load_cases(FOLDER, RULES)
PAIRS = [(case, twin) for theme in BOOK.themes for case in theme.cases for twin in case.twins]
# The fuller before the coarser, as far as a reader is concerned.
ORDER = {"full": 0, "part": 1, "pseudonym": 1, "withheld": 2}
# A class that is seen is seen at some level: in a twin that mentions another one it may be any.
SEEN = ("part", "")


@pytest.mark.parametrize("theme", BOOK.themes, ids=lambda theme: theme.name)
async def test_every_case_holds(engine: PolicyEngine, theme: Theme) -> None:
    runner = CaseRunner(engine, BUNDLE)
    assert [problem for case in theme.all_cases() for problem in await runner.problems(case)] == []


def test_there_are_enough_and_the_inspections_people_are_in_them() -> None:
    assert sum(1 for _ in BOOK.all_cases()) >= 200
    asked = {case.scene.who for case in BOOK.all_cases()}
    assert asked == BOOK.cast.people.keys()


def test_a_twin_differs_from_its_case_in_one_fact_alone_and_comes_out_otherwise() -> None:
    for case, twin in PAIRS:
        assert len(case.scene.differences(twin.scene)) == 1, twin.title
        assert case.outcome != twin.outcome, twin.title


def refused(case: Case, twin: Case) -> set[str]:
    """The rules that refuse something to one of a pair, which the other is granted."""
    if case.outcome.refused and twin.outcome.allowed is not None:
        return {case.outcome.refused}
    if case.outcome.hidden:
        return {case.outcome.hidden} if not twin.outcome.hidden else set()
    return {
        rule
        for name, (level, rule) in case.outcome.levels.items()
        if name in twin.outcome.levels and ORDER[twin.outcome.levels[name][0]] < ORDER[level]
    }


# These refuse nothing by themselves, or are the broker's own ceiling, behind the same rules of policy.
NEVER_ALONE = {"method_permitted", "own_record", "no_pointer", "not_silent", "not_granted"} | {
    name for name in RULES if name.startswith("ceiling_")
}
# What refuses these is the caller's whole question, which no single fact of a case turns round.
ONLY_REFUSED = {"role_permits", "purpose_for_role", "purpose_in_token"}


def test_every_rule_refuses_alone_in_some_case_and_its_twin_is_granted() -> None:
    alone = {rule for case, twin in PAIRS for rule in refused(case, twin)}
    assert RULES - NEVER_ALONE - alone == set()


def test_every_condition_changes_an_answer_alone() -> None:
    """Of handling, Europol handling, TLP, reach, fallback, sanitisation, purposes: each value is a pair's one fact."""
    turned: set[tuple[str, object]] = set()
    for case, twin in PAIRS:
        [path] = case.scene.differences(twin.scene)
        for one in (case, twin):
            value = one.scene.facts.get(path)
            words = value if isinstance(value, frozenset) else str(value).split()
            turned |= {(path, word) for word in words}
    for path, attr in (
        ("marks.handling", "handling_code"),
        ("marks.handling", "handling_conditions"),
        ("marks.europol_handling", "europol_handling"),
        ("marks.tlp", "tlp"),
        ("marks.reach", "reach"),
        ("marks.fallback", "fallback"),
        ("marks.sanitisation", "sanitisation"),
        ("marks.classification", "classification"),
    ):
        known = (enum_names(attr) or frozenset()) - {"UNSPECIFIED"}
        # REDACTED and the rest are told apart from "as far as policy allows", which is stated nowhere.
        assert {value for value in known if (path, value) not in turned} <= {"TOP_SECRET"}, attr
    assert {purpose for purpose in PURPOSES if ("purpose", purpose) in turned} >= PURPOSES - {"ADMINISTRATION", "AUDIT"}
    assert {"NO_DEATH_PENALTY", "NO_TORTURE", "DATA_PROTECTION"} <= {
        str(word) for path, word in turned if path.endswith(".assurances")
    }
    paths = {path.rpartition(".")[2] for path, _ in turned}
    assert paths >= {"in_force", "date", "legal_basis", "use", "record_types", "classes", "ceiling", "states_case"}
    assert paths >= {"clearance", "nationalities", "compartments", "releasable_to", "authorised", "roles", "level"}


def test_the_page_is_made_from_the_cases() -> None:
    assert PAGE.read_text("utf-8") == rendered(), "run: python scripts/render_cases.py"


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("{who: nobody, full: [HEADER]}", "nobody in the cast"),
        ("{who: detective, full: [HEADRE]}", "HEADRE"),
        ("{who: detective, purpose: INVESTIGATON, full: [HEADER]}", "INVESTIGATON"),
        ("{who: detective, marks: {tpl: RED}, full: [HEADER]}", "tpl"),
        ("{who: detective, marks: {tlp: PINK}, full: [HEADER]}", "PINK"),
        ("{who: detective, marks: {handling: C A9}, full: [HEADER]}", "A9"),
        ("{who: detective, withheld: {IDENTITY: klearance}}", "klearance"),
        ("{who: detective, agreements: {hom: {ceiling: SECRET}}, full: [HEADER]}", "hom"),
        ("{who: detective, agreements: {home: {classes: {A: FULLY}}}, full: [HEADER]}", "FULLY"),
        ("{who: detective, full: [HEADER], withheld: {HEADER: clearance}}", "two ways"),
        ("{who: detective, hiden: clearance}", "hiden"),
        ("{who: detective}", "which rule hides"),
        ("{who: detective, calls: REPORT_REED, allowed: [ENVELOPE]}", "REPORT_REED"),
        ("{who: detective, full: [HEADER], pointer: true}", "hidden"),
    ],
)
def test_a_slip_in_a_case_is_refused_with_its_title(tmp_path: Path, case: str, words: str) -> None:
    (tmp_path / "cast.yaml").write_text((FOLDER / "cast.yaml").read_text())
    body = case.replace("{", "{case: A slip, ", 1)
    (tmp_path / "slips.yaml").write_text(f"title: Slips\nintroduction: None.\ncases:\n- {body}\n")
    with pytest.raises(CaseError, match=f"A slip.*{words}"):
        load_cases(tmp_path, RULES)


async def test_a_case_that_does_not_hold_is_told(engine: PolicyEngine, tmp_path: Path) -> None:
    """Each kind of expectation, turned into its contrary, is found out."""
    (tmp_path / "cast.yaml").write_text((FOLDER / "cast.yaml").read_text())
    (tmp_path / "wrong.yaml").write_text(
        """
title: Wrong
introduction: Nothing here is so.
cases:
- {case: Hidden, who: detective, purpose: INVESTIGATION, hidden: clearance}
- {case: Another rule, who: auditor, purpose: AUDIT, hidden: clearance}
- {case: A pointer, who: auditor, purpose: AUDIT, hidden: reader_role, pointer: true}
- {case: Told, who: auditor, purpose: AUDIT, hidden: reader_role, silent: true}
- {case: Withheld, who: detective, purpose: INVESTIGATION, withheld: {IDENTITY: clearance}}
- {case: By another rule, who: detective, purpose: INVESTIGATION, withheld: {OPERATION: clearance}}
- {case: Allowed, who: auditor, purpose: AUDIT, calls: REPORT_READ, allowed: [ENVELOPE]}
- {case: Refused, who: auditor, purpose: AUDIT, calls: AUDIT_READ, refused: role_permits}
- {case: Other classes, who: auditor, purpose: AUDIT, calls: AUDIT_READ, allowed: [ENVELOPE]}
"""
    )
    runner = CaseRunner(engine, BUNDLE)
    told = [await runner.problems(case) for case in load_cases(tmp_path, RULES).all_cases()]
    assert [len(problems) for problems in told] == [1] * 9, told
