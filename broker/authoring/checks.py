"""What can be wrong with a folder of policies before anybody runs it.

1. The portable subset, and a default for every boolean rule (`broker/decide/portable.py`).
2. What a module takes from another one is there: to an engine a misspelt rule is merely undefined.
3. Every literal in capitals is a value of an enum of the protos; every other word is a mark, an operator, a key of the
   question, or a rule that stands in `data/rules.json`.
4. Purposes in the data are those of the protos; permissions and purposes of roles exist.
5. It compiles, answers, and could be replaced (`broker/decide/examination.py`).
6. With OPA at hand: `opa check --strict` with the schema of each entry point, and `opa test`, which reaches at least
   95 of 100 lines of what ships.
The schemas are the broker's own, whatever folder is checked: they say what it asks.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from broker.decide.bundle import PolicyBundle, policy_folder, ships
from broker.decide.examination import require_sound
from broker.decide.portable import code_of, unportable
from broker.decide.trees import ABSENT, CONSTANT_OPS, SCALAR_ATTRS, SCALAR_OPS, SET_ATTRS, SET_OPS
from broker.decide.vocabulary import PURPOSES, UNSPECIFIED, names
from entente.access.v1 import access_pb2
from entente.common.v1 import exchange_pb2, marks_pb2
from entente.directory.v1 import agreement_pb2, directory_pb2

# Two letters are a country; every other literal in capitals is to be a value of an enum.
LITERAL = re.compile(r'"(?![A-Z]{2}")([A-Z][A-Z0-9_]*)"')
# A key of an object is its author's own.
WORD = re.compile(r'"([a-z][a-z0-9_]*)"(?!\s*:)')
PACKAGE = re.compile(r"(?m)^package entente\.(\w+)$")
IMPORT = re.compile(r"(?m)^import data\.entente\.(\w+)$")
RULE = re.compile(r"(?m)^(?:default )?([a-z_]\w*)")
COVERAGE = 95.0
WORDS = frozenset(
    {UNSPECIFIED}.union(
        *(
            names(getattr(module, enum))
            for module in (access_pb2, agreement_pb2, directory_pb2, exchange_pb2, marks_pb2)
            for enum in module.DESCRIPTOR.enum_types_by_name
        )
    )
)
METHOD_MODULES = ("method.rego",)


def problems(folder: Path) -> Iterator[str]:
    """One line for each problem, without asking OPA."""
    try:
        bundle = PolicyBundle.load(folder)
    except (OSError, ValueError) as error:
        yield str(error)
        return
    for path in sorted(folder.glob("*.rego")):
        for literal in sorted(set(LITERAL.findall(code_of(path.read_text("utf-8")))) - WORDS - bundle.legal_bases):
            yield f"{path.name}: {literal} is no word that policy is asked in"
    for name, text in bundle.modules:
        for word in sorted(set(WORD.findall(code_of(text))) - bundle.rules.keys() - _plain_words()):
            yield f"{name}: {word} is neither a mark nor an operator, and no rule of data/rules.json"
    yield from _dangling(bundle.modules)
    yield from unportable(bundle.modules)
    yield from _data_problems(json.loads(bundle.data))
    try:
        require_sound(bundle)
    except ValueError as error:
        yield str(error)


def ask_opa(opa: Path, folder: Path) -> list[str]:
    """`opa check --strict` and `opa test`: what they complain of; empty: both pass."""
    shipped = sorted(path for path in folder.glob("*.rego") if ships(path.name))
    entries = {
        "method": [path for path in shipped if path.name in METHOD_MODULES],
        "grant": [path for path in shipped if path.name not in METHOD_MODULES],
    }
    complaints: list[str] = []
    for entry, files in entries.items():
        schema = policy_folder() / "schemas" / f"{entry}.json"
        complaints += _run([str(opa), "check", "--strict", "-s", str(schema), *map(str, files)])
    return complaints + run_tests(opa, folder)


def run_tests(opa: Path, folder: Path) -> list[str]:
    """`opa test` over the bundle and the folder's tests: what it complains of, and what they do not reach."""
    with tempfile.TemporaryDirectory() as place:
        bundle = PolicyBundle.load(folder)
        bundle.write(Path(place))
        for test in folder.glob("*_test.rego"):
            (Path(place) / test.name).write_text(test.read_text("utf-8"), "utf-8")
        return _run([str(opa), "test", place]) or list(_uncovered(opa, Path(place), bundle))


def _uncovered(opa: Path, place: Path, bundle: PolicyBundle) -> Iterator[str]:
    """Lines of shipped modules that no test reaches, where they are too many. The tests' own lines do not count."""
    done = subprocess.run([str(opa), "test", "--coverage", str(place)], check=False, capture_output=True, timeout=120)
    files = json.loads(done.stdout)["files"]
    reports = {name: files.get(str(place / name), {}) for name, _ in bundle.modules}
    keys = ("covered_lines", "not_covered_lines")
    reached, missed = (sum(one.get(key, 0) for one in reports.values()) for key in keys)
    if reached < COVERAGE / 100 * (reached + missed):
        yield f"opa test reaches {reached} of {reached + missed} lines; {COVERAGE:.0f} of 100 are wanted"
        for name, one in reports.items():
            yield from (f"{name}:{part['start']['row']}: no test reaches it" for part in one.get("not_covered", ()))


def _dangling(modules: Iterable[tuple[str, str]]) -> Iterator[str]:
    """What is taken from a module of the house that does not define it."""
    code = {name: code_of(text) for name, text in modules}
    defined = {package[1]: set(RULE.findall(text)) for text in code.values() if (package := PACKAGE.search(text))}
    for name, text in code.items():
        for other in IMPORT.findall(text):
            for rule in sorted(set(re.findall(rf"(?<![.\w]){other}\.(\w+)", text)) - defined.get(other, set())):
                yield f"{name}: {other}.{rule}: the package entente.{other} has no rule {rule}"


def _plain_words() -> set[str]:
    """Marks, operators, and the keys of what is asked: from the schemas, at any depth."""
    schemas = [json.loads(path.read_bytes()) for path in (policy_folder() / "schemas").glob("*.json")]
    return {*SCALAR_ATTRS, *SET_ATTRS, *SCALAR_OPS, *SET_OPS, *CONSTANT_OPS, ABSENT}.union(*map(_keys, schemas))


def _keys(schema: Mapping[str, Any]) -> set[str]:
    properties = schema.get("properties", {})
    below = [*properties.values(), *([schema["items"]] if "items" in schema else [])]
    return set(properties).union(*map(_keys, below))


def _run(command: list[str]) -> list[str]:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    return [] if done.returncode == 0 else [(done.stdout + done.stderr).strip() or f"{command[1]} failed"]


def _data_problems(data: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if data["purposes"].keys() != PURPOSES:
        yield f"data/purposes.json: differs from the protos in {sorted(data['purposes'].keys() ^ PURPOSES)}"
    permissions = set(names(access_pb2.Permission))
    for name, role in data["roles"].items():
        for unknown in sorted((set(role["permissions"]) - permissions) | (set(role["purposes"]) - PURPOSES)):
            yield f"data/roles.json: {name} has {unknown}, which does not exist"
