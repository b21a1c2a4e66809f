"""The policies as one immutable snapshot, the same for every engine.

Guarantees: the hash covers every byte that an engine evaluates (modules and data, by name); whoever answers under that
hash answers from these files. A bundle's manifest carries the hash as its revision, so that a real OPA names it in
every answer. A folder (`load`) is code that was installed; an archive (`from_archive`) came from elsewhere, is read as
strictly as anything else from outside, and says by its signature who made it. Both refuse the same.

Refuses a folder without policies, a module outside the package `entente`, a rule without text or with a reason that the
wire does not have, and of an archive whatever its manifest does not say.
Tests and `decision.rego` (the naive decision that tests compare with) are never part of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

import broker
from broker.decide.bundle_archive import DATA, MANIFEST, SIGNATURES, pack, unpack
from broker.decide.bundle_signature import SigningKey, VerificationKey, require_signed, sign
from entente.common.v1 import exchange_pb2

METHOD_ENTRY = "entente/method"
GRANT_ENTRY = "entente/grant"
DATA_FILES = ("legal_bases", "purposes", "roles", "rules")
TEST_ONLY = ("decision.rego",)
ROOTS = ("entente", "policy")
REMEDY_KINDS = (
    "NONE",
    "ASK_ORIGINATOR",
    "OTHER_PURPOSE",
    "OTHER_ROLE",
    "STATE_CASE",
    "STATE_LEGAL_BASIS",
    "NAME_AUTHORISER",
    "AGREEMENT_NEEDED",
)
# The first statement, after remarks and empty lines: what stands in a text further down is no package.
_PACKAGE = re.compile(r"(?:[ \t\r]*(?:#[^\n]*)?\n)*package entente(\.[a-z_]+)*[ \t\r]*(?:\n|$)")


@dataclass(frozen=True, slots=True)
class RuleText:
    """A rule as a lawyer reads it. `reason` is a name of `WithheldReason` without prefix.

    `remedy_kind`: one of `REMEDY_KINDS`, the remedy in a word; the policy guide says what each means.
    """

    reason: str
    text: str
    remedy: str
    remedy_kind: str


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
        modules = {path.name: path.read_text("utf-8") for path in folder.glob("*.rego") if ships(path.name)}
        if not modules:
            raise ValueError(f"no policies (*.rego) in {folder}")
        try:
            documents = {name: orjson.loads((folder / "data" / f"{name}.json").read_bytes()) for name in DATA_FILES}
        except OSError as error:
            raise ValueError(f"{error.filename}: cannot be read: {error.strerror}") from None
        return cls._of(modules, documents)

    @classmethod
    def from_archive(cls, archive: bytes, verified_by: VerificationKey | None) -> PolicyBundle:
        """Read a bundle that `to_archive` wrote, and prove that this key has signed it.

        `verified_by`: None takes a bundle whoever made it: one that the broker itself has kept, or to look at.

        Raises:
            SignatureError: it is not signed, or by another key.
            ValueError: it is no bundle, or one that `load` would refuse.
        """
        files = unpack(archive)
        if verified_by is not None:
            require_signed(files, verified_by)
        files.pop(SIGNATURES, None)
        if missing := {MANIFEST, DATA} - files.keys():
            raise ValueError(f"the bundle has no {sorted(missing)[0]}")
        modules = {name: content.decode("utf-8") for name, content in files.items() if name.endswith(".rego")}
        if not modules or not all(map(ships, modules)):
            raise ValueError("a bundle holds modules (*.rego), and neither tests nor decision.rego")
        documents = orjson.loads(files[DATA])
        if type(documents) is not dict or documents.keys() != set(DATA_FILES):
            raise ValueError(f"{DATA} holds {', '.join(DATA_FILES)}, and nothing else")
        bundle = cls._of(modules, documents)
        if bundle.files() != files:
            raise ValueError(
                "the bundle's manifest or data are not in the agreed form; build it with entente policy build"
            )
        return bundle

    @classmethod
    def _of(cls, modules: Mapping[str, str], documents: Mapping[str, Any]) -> PolicyBundle:
        for name, text in modules.items():
            if not _PACKAGE.match(text):
                raise ValueError(f"{name}: a module of a bundle is in the package entente, or below it")
        ordered = tuple(sorted(modules.items()))
        data = orjson.dumps(documents, option=orjson.OPT_SORT_KEYS)
        try:
            return cls(
                ordered,
                data,
                _hash(ordered, data),
                _rules(documents["rules"]),
                frozenset(documents["roles"]),
                _appointed(documents["roles"]),
                frozenset(documents["legal_bases"]),
            )
        except (TypeError, AttributeError) as error:
            raise ValueError(f"the policy data are not in the agreed form: {error}") from None

    def files(self) -> dict[str, bytes]:
        """The files of a bundle as OPA reads it, by name, without a signature."""
        manifest = orjson.dumps({"revision": self.revision, "roots": list(ROOTS)})
        return {**{name: text.encode() for name, text in self.modules}, DATA: self.data, MANIFEST: manifest}

    def to_archive(self, key: SigningKey | None) -> bytes:
        """As one file (tar, gzip), signed by this key. Raises ValueError when it would be too large to be read.

        `key`: None leaves the signature out: for what the broker itself keeps, and for an OPA on the same machine.
        """
        files = self.files()
        archive = pack(files if key is None else {**files, SIGNATURES: sign(files, key)})
        unpack(archive)
        return archive

    def write(self, folder: Path) -> None:
        """Lay out as an OPA bundle directory, unsigned."""
        for name, content in self.files().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def policy_folder() -> Path:
    """The policies that come with the broker: installed beside it, or in the repository."""
    installed = Path(broker.__file__).parent / "_policies"
    return installed if installed.is_dir() else Path(broker.__file__).parent.parent / "policies"


def ships(name: str) -> bool:
    """Whether a module is part of the bundle: tests and the naive decision are not."""
    return not name.endswith("_test.rego") and name not in TEST_ONLY


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
        if rule.remedy_kind not in REMEDY_KINDS:
            raise ValueError(f"rule {name}: its remedy_kind must be one of {', '.join(REMEDY_KINDS)}")
    return rules
