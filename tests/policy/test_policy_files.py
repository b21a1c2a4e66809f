"""The policies' own check is clean and bites, and the guide to them leaves no rule, class, role or purpose out."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from broker.authoring import checks
from broker.decide.bundle import REMEDY_KINDS, policy_folder
from broker.decide.vocabulary import DECIDED_CLASSES
from scripts.check_policies import ask_opa, ask_regal, problems
from tests.support.opa import require_opa
from tests.support.questions import BUNDLE
from tests.support.regal import require_regal

GUIDE = (policy_folder().parent / "docs" / "policy.md").read_text()


def test_policies_keep_to_the_portable_subset_and_to_names_that_exist() -> None:
    assert list(problems()) == []


def test_opa_checks_and_tests_pass_and_reach_what_ships() -> None:
    assert ask_opa(require_opa()) == []


def test_the_guide_names_every_rule_class_and_remedy() -> None:
    named = (*BUNDLE.rules, *DECIDED_CLASSES)
    assert [name for name in named if f"`{name}`" not in GUIDE] == []
    assert [kind for kind in REMEDY_KINDS if f"\n| {kind} |" not in GUIDE] == []


def test_the_guides_purposes_are_those_of_the_data() -> None:
    keys = ("operational", "crime", "investigative", "direct_action", "court", "money", "contacts", "objects")
    table = [f"| {' | '.join(cells)} |" for cells in _cells(keys)]
    assert [line for line in table if line.replace("  ", " ") not in GUIDE.replace("  ", " ")] == []


def test_the_guides_roles_are_those_of_the_data() -> None:
    rows = [line for line in GUIDE.partition("### Roles")[2].splitlines() if line.startswith("| ")][1:]
    told = {name.strip(): row for row in rows for name in re.sub(r"\(.*?\)", "", row.split("|")[1]).split(",")}
    roles = json.loads(BUNDLE.data)["roles"]
    assert told.keys() >= roles.keys()
    first = told["officer"]
    for name, role in roles.items():
        row = told[name].replace("the same", first.split("|")[2])
        said = set(re.findall(r"\b(?:SELF|[A-Z]+_[A-Z]+(?:_[A-Z]+)*|REVOKE)\b", row.split("|")[2]))
        assert said == set(role["permissions"]), name
        assert ("by appointment" in row) == role["appointed"], name
        assert ("weighs provenance" in row, "handles sources" in row) == (
            role["weighs_provenance"],
            role["handles_sources"],
        ), name


def _cells(keys: tuple[str, ...]) -> list[list[str]]:
    purposes = json.loads(BUNDLE.data)["purposes"]
    return [[name, *("yes" if facts[key] else "" for key in keys)] for name, facts in purposes.items()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(policy_folder(), tmp_path / "policies")


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text, f"{path.name} holds no {before}"
    path.write_text(text.replace(before, after, 1))


@pytest.mark.parametrize(
    ("file", "before", "after", "told"),
    [
        ("portions.rego", '"AMBER", "RED"', '"AMBR", "RED"', "AMBR"),
        ("conditions.rego", '"A1", "A2"', '"A7", "A2"', "A7"),
        ("classes.rego", '"NO_TORTURE"', '"NO_TORTUR"', "NO_TORTUR"),
        ("agreements.rego", '"WITHHOLD"', '"WITHOLD"', "WITHOLD"),
        ("portions.rego", 'within("clearance"', 'within("klearance"', "klearance"),
        ("classes.rego", 'released(class, ["FULL"])', 'released(class, ["FUL"])', "FUL"),
        ("portions.rego", '"releasable_to"', '"releasable"', "releasable"),
        ("agreements.rego", '"record_type"', '"record_typ"', "record_typ"),
        ("caller.rego", "default operational := false", "", "operational has no default"),
        ("caller.rego", "default states_case := false", "default states_case := true", "states_case has no default"),
        ("method.rego", "default method_allowed := false", "default method_allowed := true", "has nothing"),
        ("trees.rego", "everything := ", "now := time.now_ns()\n\neverything := ", "no clock"),
        ("trees.rego", "everything := ", 'name := sprintf("%s", ["a"])\n\neverything := ', "sprintf"),
        ("caller.rego", "rank := {", "p[k] contains v if {\n\tsome k, v in rank\n}\n\nrank := {", "undefined in one"),
        ("data/roles.json", '"AUDIT_READ"', '"AUDIT_REED"', "AUDIT_REED"),
        ("data/roles.json", '["AUDIT"]', '["AUDITS"]', "AUDITS"),
        ("data/purposes.json", '"FRAUD"', '"FRAUDS"', "FRAUD"),
        ("data/rules.json", '"remedy_kind": "NONE"', '"remedy_kind": "SOMETHING"', "method_permitted"),
        ("data/rules.json", '"agreement_scope"', '"agreement_skope"', "agreement_scope"),
        ("classes.rego", '"EVENT": whole', '"EVENTS": whole', "EVENTS"),
        (
            "portions.rego",
            "rows := trees.all_of(array.concat(house,",
            "rows := trees.all_of(array.concat([],",
            "nothing",
        ),
    ],
)
def test_a_slip_in_the_policies_is_found(folder: Path, file: str, before: str, after: str, told: str) -> None:
    change(folder / file, before, after)
    found = list(checks.problems(folder))
    assert found, "nothing was found"
    assert any(told in problem for problem in found), found


@pytest.mark.parametrize(
    ("file", "before", "after", "told"),
    [
        ("caller.rego", "input.case_stated", "input.case_statd", "case_statd"),
        ("method.rego", "input.purpose in input.purposes", "input.purpse in input.purposes", "purpse"),
        ("agreements.rego", "in agreement.purposes", "in agreement.purpose", "purpose"),
        ("agreements.rego", "\tcaller.leads_to_no_court\n", "\tinput.purpose\n", "FAIL"),
        (
            "trees.rego",
            "everything := ",
            "".join(f"unused_{n} := {n} if input.roles[0] == {n}\n\n" for n in range(60)) + "everything := ",
            "opa test reaches",
        ),
    ],
)
def test_what_opa_finds_is_told(folder: Path, file: str, before: str, after: str, told: str) -> None:
    change(folder / file, before, after)
    found = checks.ask_opa(require_opa(), folder)
    assert any(told in problem for problem in found), found


def test_what_regal_finds_is_told_and_is_nothing_else(folder: Path) -> None:
    change(folder / "trees.rego", "everything := ", "plus(value) := value\n\neverything := ")
    [found] = ask_regal(require_regal(), folder)
    assert "rule-shadows-builtin" in found
    assert "1 violation found" in found
