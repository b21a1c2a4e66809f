"""Check the policies: the subset of Rego that both engines read alike, names that exist, and OPA's own checks.

1. Forbidden everywhere but in tests: builtins that only one engine has or that depend on the outside, template strings,
   metadata, and `p[k] contains v`, which is `{}` in one engine and undefined in the other. `decision.rego` is a test.
2. Every boolean rule of `caller.rego` and `method.rego` has a `default`.
3. Every literal in capitals is a value of an enum of the protos, and every rule's name stands in `data/rules.json`.
4. Purposes in the data are those of the protos, and permissions and purposes of roles exist.
5. Where OPA is at hand: `opa check --strict` with one schema for each entry point, and `opa test`. With `--require-opa`
   it is fetched, as the tests do, and its absence is an error.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POLICIES = ROOT / "policies"
for place in (ROOT, ROOT / "clients" / "python"):
    sys.path.insert(0, str(place))

from broker.decide.bundle import TEST_ONLY, PolicyBundle  # noqa: E402 - found by the lines above
from broker.decide.vocabulary import PURPOSES, names  # noqa: E402
from entente.access.v1 import access_pb2  # noqa: E402
from entente.common.v1 import exchange_pb2, marks_pb2  # noqa: E402
from entente.directory.v1 import directory_pb2  # noqa: E402
from tests.support.opa import find_opa, require_opa  # noqa: E402

FORBIDDEN = {
    r"\bsprintf\b": "sprintf differs between engines",
    r"\btime\.": "no clock in policy: the broker filters what is in force",
    r"\b(?:http|net|crypto|io\.jwt|opa\.runtime|rand|uuid)\b": "nothing from outside",
    r'\$["`]': "no template strings",
    r"\brego\.metadata\b|^# METADATA": "no metadata",
    r"^\s*\w+\[[^\]]*\]\s+contains\b": "p[k] contains v is undefined in one engine where nothing contributes",
    r"\bregex\.|\bglob\.|\bjson\.(?:filter|patch)|\bwalk\(|\bgraph\.": "engines differ in details",
    r"\bnot\s+every\b|\bprint\(|\btrace\(": "engines differ in details",
}
BOOLEAN_RULE = re.compile(r"^([a-z_]+) if \b", re.MULTILINE)
# Two letters are a country; every other literal in capitals is to be a value of an enum.
LITERAL = re.compile(r'"(?![A-Z]{2}")([A-Z][A-Z0-9_]*)"')
RULE_NAME = re.compile(
    r"(?:trees\.(?:eq|within|subset|intersects|has|absent|holds|where)|named|domestic|agreement|owner_only)\(\s*"
    r'"([^"]+)"'
)
ENUMS = (
    *(getattr(access_pb2, name) for name in ("Permission", "FieldClass")),
    *(getattr(exchange_pb2, name) for name in ("Purpose", "WithheldReason")),
    *(
        getattr(marks_pb2, name)
        for name in (
            "Classification",
            "Marking",
            "HandlingCode",
            "HandlingCondition",
            "EuropolHandling",
            "Tlp",
            "Sanitisation",
            "Fallback",
            "Reach",
        )
    ),
    directory_pb2.AgencyLevel,
)
SCHEMAS = {
    "method": ("method.rego",),
    "grant": ("grant.rego", "classes.rego", "portions.rego", "conditions.rego", "caller.rego", "trees.rego"),
}


def problems() -> Iterator[str]:
    """One line for each problem, without asking OPA."""
    known = {"UNSPECIFIED", *(name for enum in ENUMS for name in names(enum))}
    rules = PolicyBundle.load(POLICIES).rules
    for path in sorted(POLICIES.glob("*.rego")):
        text = path.read_text("utf-8")
        code = re.sub(r"(?m)^\s*#(?! METADATA).*$", "", text)
        for literal in sorted(set(LITERAL.findall(code)) - known):
            yield f"{path.name}: {literal} is a value of no enum of the protos"
        if path.name.endswith("_test.rego") or path.name in TEST_ONLY:
            continue
        for pattern, why in FORBIDDEN.items():
            for found in re.finditer(pattern, code, re.MULTILINE):
                yield f"{path.name}: {found.group(0).strip()}: {why}"
        for name in sorted(set(BOOLEAN_RULE.findall(code))):
            if f"default {name} := false" not in code:
                yield f"{path.name}: {name} has no default of false"
        for name in sorted(set(RULE_NAME.findall(code)) - rules.keys()):
            yield f"{path.name}: rule {name} is not in data/rules.json"
    checked = {name for files in SCHEMAS.values() for name in files}
    for name, _ in PolicyBundle.load(POLICIES).modules:
        if name not in checked:
            yield f"{name}: is checked against no schema; add it to SCHEMAS"
    yield from data_problems()


def data_problems() -> Iterator[str]:
    """Names in the policy data that do not exist."""
    purposes = json.loads((POLICIES / "data" / "purposes.json").read_bytes())
    if purposes.keys() != PURPOSES:
        yield f"data/purposes.json: differs from the protos in {sorted(purposes.keys() ^ PURPOSES)}"
    permissions = set(names(access_pb2.Permission))
    for name, role in json.loads((POLICIES / "data" / "roles.json").read_bytes()).items():
        if type(role.get("appointed")) is not bool:
            yield f"data/roles.json: {name} must say whether it counts by appointment alone"
        for unknown in sorted((set(role["permissions"]) - permissions) | (set(role["purposes"]) - PURPOSES)):
            yield f"data/roles.json: {name} has {unknown}, which does not exist"


def ask_opa(opa: Path) -> bool:
    """`opa check` and `opa test`; whether both pass."""
    passed = True
    for entry, files in SCHEMAS.items():
        schema = POLICIES / "schemas" / f"{entry}.json"
        command = [str(opa), "check", "--strict", "-s", str(schema), *(str(POLICIES / name) for name in files)]
        passed &= subprocess.run(command, check=False).returncode == 0
    with tempfile.TemporaryDirectory() as folder:
        PolicyBundle.load(POLICIES).write(Path(folder))
        for test in POLICIES.glob("*_test.rego"):
            (Path(folder) / test.name).write_text(test.read_text("utf-8"), "utf-8")
        passed &= subprocess.run([str(opa), "test", folder], check=False).returncode == 0
    return passed


def main() -> int:
    """0 when nothing is wrong."""
    found = list(problems())
    for problem in found:
        print(problem)
    opa = require_opa() if "--require-opa" in sys.argv else find_opa()
    if opa is None:
        print("OPA is not at hand: its own checks were left out (--require-opa fetches it)")
        return int(bool(found))
    return int(bool(found) or not ask_opa(opa))


if __name__ == "__main__":
    sys.exit(main())
