"""The policies as one immutable snapshot, the same for every engine.

Guarantees: the hash covers every byte that an engine evaluates (modules and data, by name); whoever answers under that
hash answers from these files. `write` lays the snapshot out as a bundle whose manifest carries the hash as its
revision, so that a real OPA names it in every answer:

    python -m broker.decide.bundle DIR
    opa run --server --addr 127.0.0.1:8181 --bundle DIR

Refuses a folder without policies, a rule without text or with a reason that the wire does not have.
Tests and `decision.rego` (the naive decision that tests compare with) are never part of it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

import broker
from entente.common.v1 import exchange_pb2

METHOD_ENTRY = "entente/method"
GRANT_ENTRY = "entente/grant"
DATA_FILES = ("legal_bases", "purposes", "roles", "rules")
TEST_ONLY = ("decision.rego",)
ROOTS = ("entente", "policy")


@dataclass(frozen=True, slots=True)
class RuleText:
    """A rule as a lawyer reads it. `reason` is a name of `WithheldReason` without prefix."""

    reason: str
    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class PolicyBundle:
    """Modules by file name, data as under `data.policy`, their hash (hex), and what both sides know by name.

    `appointed_roles` are those of the `roles` that count only for persons whom the directory appoints; `legal_bases`
    the codes of the register.
    """

    modules: tuple[tuple[str, str], ...]
    data: bytes
    revision: str
    rules: Mapping[str, RuleText]
    roles: frozenset[str]
    appointed_roles: frozenset[str] = frozenset()
    legal_bases: frozenset[str] = frozenset()

    @classmethod
    def load(cls, folder: Path) -> PolicyBundle:
        """Read a folder of policies. Raises ValueError when something is missing or a rule is unreadable."""
        modules = tuple((path.name, path.read_text("utf-8")) for path in sorted(folder.glob("*.rego")) if _ships(path))
        if not modules:
            raise ValueError(f"no policies (*.rego) in {folder}")
        documents = {name: orjson.loads((folder / "data" / f"{name}.json").read_bytes()) for name in DATA_FILES}
        data = orjson.dumps(documents, option=orjson.OPT_SORT_KEYS)
        return cls(
            modules,
            data,
            _hash(modules, data),
            _rules(documents["rules"]),
            frozenset(documents["roles"]),
            _appointed(documents["roles"]),
            frozenset(documents["legal_bases"]),
        )

    def write(self, folder: Path) -> None:
        """Lay out as an OPA bundle directory."""
        (folder / "policy").mkdir(parents=True, exist_ok=True)
        for name, text in self.modules:
            (folder / name).write_text(text, "utf-8")
        (folder / "policy" / "data.json").write_bytes(self.data)
        (folder / ".manifest").write_bytes(orjson.dumps({"revision": self.revision, "roots": list(ROOTS)}))


def policy_folder() -> Path:
    """The policies that come with the broker: installed beside it, or in the repository."""
    installed = Path(broker.__file__).parent / "_policies"
    return installed if installed.is_dir() else Path(broker.__file__).parent.parent / "policies"


def _ships(path: Path) -> bool:
    return not path.name.endswith("_test.rego") and path.name not in TEST_ONLY


def _hash(modules: tuple[tuple[str, str], ...], data: bytes) -> str:
    digest = hashlib.sha256()
    for name, content in (*((name, text.encode()) for name, text in modules), ("data.json", data)):
        # Lengths first: no two folders run together into the same bytes.
        digest.update(f"{len(name)}:{name}:{len(content)}:".encode() + content)
    return digest.hexdigest()


def _appointed(roles: Mapping[str, Mapping[str, object]]) -> frozenset[str]:
    """Roles that count only for those whom the directory appoints. Raises ValueError where a role does not say."""
    for name, role in roles.items():
        if type(role.get("appointed")) is not bool:
            raise ValueError(f"role {name}: must say whether it counts by appointment alone (appointed: true or false)")
    return frozenset(name for name, role in roles.items() if role["appointed"] is True)


def _rules(documents: Mapping[str, Mapping[str, str]]) -> Mapping[str, RuleText]:
    known = {name.removeprefix("WITHHELD_REASON_") for name in exchange_pb2.WithheldReason.keys()}  # noqa: SIM118 - no mapping
    rules = {name: RuleText(**document) for name, document in documents.items()}
    for name, rule in rules.items():
        if rule.reason not in known or not rule.text or not rule.remedy:
            raise ValueError(f"rule {name}: needs a text, a remedy and a reason of WithheldReason")
    return rules


if __name__ == "__main__":
    PolicyBundle.load(policy_folder()).write(Path(sys.argv[1]))
