"""`entente policy check|test|build|diff` as an author runs them, on a copy of the shipped policies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker.authoring import commands
from broker.authoring.diff import method_changes, shifts, text_changes, told
from broker.authoring.opa_tool import VERSION
from broker.decide.bundle import PolicyBundle, policy_folder
from broker.decide.bundle_signature import SigningKey, VerificationKey
from certs import policy_key
from entente_sdk.cli import application
from tests.support.opa import require_opa
from tests.support.policies import edited, remarked, stricter
from tests.support.questions import BUNDLE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what an author finds in the installed package."""
    return Path(shutil.copytree(policy_folder(), tmp_path / "policies"))


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(application(), ["policy", *words], env={"OPA_BIN": str(require_opa())})
    return done.exit_code, done.output


def test_the_shipped_policies_are_in_order(folder: Path) -> None:
    assert run("check", str(folder)) == (0, "nothing is wrong\n")


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("caller.rego", "purpose.investigative == true", "time.now_ns() > 0", "no clock in policy"),
        ("data/roles.json", "REGISTRY_WRITE", "REGISTRY_RIGHT", "REGISTRY_RIGHT, which does not exist"),
        ("data/rules.json", '"tlp_red"', '"tlp_redd"', "no rule of data/rules.json"),
        ("method.rego", "package entente", "package elsewhere", "in the package entente"),
        ("classes.rego", "conditions.a2", "conditions.a9", "the package entente.conditions has no rule a9"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, file: str, old: str, new: str, said: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    status, output = run("check", "--without-opa", str(folder))
    assert status == 1
    assert said in output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "nowhere"], "nowhere"),
        (["build", "policies", "--key", "nowhere.key"], "nowhere.key"),
        (["build", "policies", "--key", "junk"], "junk: holds no private key in PEM"),
        (["build", "policies", "--key", "policy.key", "-o", "nowhere/bundle"], "nowhere/bundle: No such file"),
        (["diff", "shipped", "nowhere"], "nowhere: No such file"),
        (["diff", "shipped", "shipped", "--verification-key", "junk"], "junk: holds no public key in PEM"),
    ],
)
def test_what_is_asked_wrongly_ends_with_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(folder.parent)
    policy_key.create(Path())
    Path("junk").write_text("junk")
    status, output = run(*words)
    assert (status, said in " ".join(output.split())) == (2, True), output


@pytest.mark.parametrize("other", ["/bin/true", "/nowhere/opa"])
def test_another_opa_than_the_pinned_one_is_refused_in_words(folder: Path, other: str) -> None:
    done = CliRunner().invoke(application(), ["policy", "check", str(folder)], env={"OPA_BIN": other})
    assert (done.exit_code, f"OPA_BIN is not OPA {VERSION}: {other}" in done.output) == (2, True), done.output


def test_a_case_that_does_not_hold_is_named_on_both_engines(folder: Path) -> None:
    # One theme is enough to be told of; the whole book is run elsewhere.
    for path in sorted((folder / "cases").glob("*.yaml"))[1:]:
        if path.name != "cast.yaml":
            path.unlink()
    purposes = folder / "data" / "purposes.json"
    changed = json.loads(purposes.read_text())
    changed["INVESTIGATION"]["investigative"] = False
    purposes.write_text(json.dumps(changed))
    status, output = run("test", str(folder))
    assert status == 1
    assert "embedded: " in output
    assert "opa: " in output


def test_a_bundle_is_built_and_proven(folder: Path, tmp_path: Path) -> None:
    public = policy_key.create(tmp_path)
    made = tmp_path / "bundle.tar.gz"
    status, output = run("build", str(folder), "--key", str(tmp_path / policy_key.PRIVATE), "-o", str(made))
    assert (status, BUNDLE.revision in output) == (0, True)
    assert PolicyBundle.from_archive(made.read_bytes(), VerificationKey.read(public)) == BUNDLE
    status, output = run("diff", "shipped", str(made), "--verification-key", str(public))
    assert (status, output.count("nothing changes")) == (0, 3)
    made.write_bytes(BUNDLE.to_archive(SigningKey.generate()))
    assert run("diff", "shipped", str(made), "--verification-key", str(public))[0] == 1


async def test_a_difference_is_told_for_whom_and_on_what() -> None:
    other = stricter()
    assert list(text_changes(BUNDLE, other)) == ["purposes.INVESTIGATION.investigative: true -> false"]
    lines = told(await shifts(BUNDLE, other))
    assert all(line.startswith("- ") for line in lines), "nothing opens"
    assert any("IDENTITY: in full -> in its coarser form, for INVESTIGATION" in line for line in lines)


async def test_a_remark_changes_nothing_for_anybody() -> None:
    other = remarked("for the record")
    assert [line.split(":")[0] for line in text_changes(BUNDLE, other)] == ["module trees.rego"]
    assert await method_changes(BUNDLE, other) == []


async def test_permissions_that_come_and_go_are_told() -> None:
    def edit(_modules: dict[str, str], data: dict[str, dict[str, dict[str, list[str]]]]) -> None:
        data["roles"]["analyst"]["permissions"].remove("REPORT_WRITE")

    lines = await method_changes(BUNDLE, edited(edit))
    assert lines
    assert all(line.startswith("- analyst may no longer REPORT_WRITE: ") for line in lines)


def test_the_commands_are_those_that_the_client_announces() -> None:
    from entente_sdk.cli.policy import AUTHORING

    ours: dict[str, Callable[..., object]] = {
        "build": commands.build,
        "check": commands.check,
        "diff": commands.diff_,
        "test": commands.test_,
    }
    assert {name: one.__doc__ is not None for name, one in ours.items()} == dict.fromkeys(AUTHORING, True)
