"""Read a STIX bundle and check its shape, before anything is made of it.

Guarantees: a file that is no bundle is refused as a whole (`BundleError`); an object that is unusable is a failed row,
and the others stand. Bounded in bytes and objects. Strings are kept exactly.
Refuses: keys given twice, numbers that are none, text that is not Unicode, versions other than 2.0 and 2.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entente_sdk.errors import RequestError
from entente_sdk.stix.objects import ObjectError, StixObject, moment
from entente_sdk.stix.rows import Outcome, Row

MAX_BYTES = 128 << 20
MAX_OBJECTS = 200_000
SPEC_VERSIONS = ("2.0", "2.1")
COLLECTION = "x-mitre-collection"
_ID = re.compile(
    r"(?P<type>[a-z0-9][a-z0-9-]{1,248}[a-z0-9])--[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    re.ASCII,
)


class BundleError(RequestError):
    """The file is not a STIX bundle that can be read; nothing of it was imported."""

    default_advice = "Give a STIX 2.0 or 2.1 bundle as JSON; nothing of this file was imported."


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle's usable objects by id, and the rows of those that are not."""

    name: str
    id: str
    objects: Mapping[str, StixObject]
    rejected: tuple[Row, ...] = ()

    @property
    def collection(self) -> StixObject | None:
        """The collection that says which domain this is a release of; None where there is none, or several."""
        found = [one for one in self.objects.values() if one.type == COLLECTION]
        return found[0] if len(found) == 1 else None


def find_bundles(paths: Iterable[Path]) -> list[Path]:
    """The files themselves, and of folders their `*.json` in order of name. Raises BundleError for none."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not inside:
            raise BundleError("BUNDLE_UNREADABLE", f"{path} holds no .json file")
        found += inside
    return list(dict.fromkeys(found))


def read_bundle(path: Path, *, max_bytes: int = MAX_BYTES) -> Bundle:
    """A bundle from a file. Raises BundleError."""
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except OSError as error:
        raise BundleError("BUNDLE_UNREADABLE", f"{path} cannot be read: {error.strerror or error}") from error
    if len(raw) > max_bytes:
        raise BundleError("BUNDLE_TOO_LARGE", f"{path} is over {max_bytes >> 20} MiB; split the bundle")
    return parse_bundle(raw, str(path))


def parse_bundle(raw: bytes, name: str) -> Bundle:
    """A bundle from JSON text in UTF-8. `name` is for messages. Raises BundleError."""
    try:
        content = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError("BUNDLE_UNREADABLE", f"{name} is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("type") != "bundle":
        raise BundleError("BUNDLE_INVALID", f'{name} is not a STIX bundle: its type is not "bundle"')
    version = content.get("spec_version")
    if version is not None and version not in SPEC_VERSIONS:
        raise BundleError("BUNDLE_INVALID", f"{name} is of STIX {version!r}; 2.0 and 2.1 are read")
    members = content.get("objects", [])
    if not isinstance(members, list):
        raise BundleError("BUNDLE_INVALID", f"{name}: objects is not a list")
    if len(members) > MAX_OBJECTS:
        raise BundleError("BUNDLE_TOO_LARGE", f"{name} has {len(members)} objects; at most {MAX_OBJECTS} are read")
    return _gather(members, name, str(content.get("id", "")))


def _gather(members: list[Any], name: str, bundle_id: str) -> Bundle:
    objects: dict[str, StixObject] = {}
    rejected: list[Row] = []
    disputed: set[str] = set()
    for number, member in enumerate(members):
        try:
            found = _checked(member)
            other = objects.get(found.id)
            if other is not None:
                found, row = _newer(other, found)
                rejected.append(row)
            objects[found.id] = found
        except ObjectError as error:
            row = _rejected(member, number, str(error))
            disputed.add(row.stix_id)
            rejected.append(row)
    for twice in disputed & objects.keys():
        other = objects.pop(twice)
        rejected.append(Row(other.id, other.type, other.name, Outcome.FAILED, "its id is given twice"))
    return Bundle(name, bundle_id, objects, tuple(rejected))


def _checked(member: Any) -> StixObject:
    if not isinstance(member, dict):
        raise ObjectError("it is not a JSON object")
    stix_id, kind = member.get("id"), member.get("type")
    matched = _ID.fullmatch(stix_id) if isinstance(stix_id, str) else None
    if matched is None:
        raise ObjectError("id is missing, or is not a STIX id (type--uuid)")
    if kind != matched["type"]:
        raise ObjectError("type is missing, or is not that of its id")
    version = member.get("spec_version", SPEC_VERSIONS[0])
    if version not in SPEC_VERSIONS:
        raise ObjectError(f"spec_version is {version!r}; 2.0 and 2.1 are read")
    try:
        json.dumps(member, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ObjectError("a text of it holds a lone surrogate, which is no Unicode character") from error
    return StixObject(matched[0], matched["type"], member)


def _newer(one: StixObject, other: StixObject) -> tuple[StixObject, Row]:
    """Of two versions the newer, and a row for the other. Raises ObjectError where neither is."""
    if one.content == other.content:
        return one, Row(one.id, one.type, one.name, Outcome.NOT_MAPPED, "the bundle holds the same object twice")
    first, second = moment(one.modified, "modified"), moment(other.modified, "modified")
    if first == second:
        raise ObjectError("the bundle holds two objects with this id and the same modified")
    newer, older = (one, other) if first > second else (other, one)
    return newer, Row(older.id, older.type, older.name, Outcome.NOT_MAPPED, "an older version in the same bundle")


def _rejected(member: Any, number: int, reason: str) -> Row:
    def given(name: str) -> str:
        value = member.get(name) if isinstance(member, dict) else None
        return value.encode("utf-8", "backslashreplace").decode()[:256] if isinstance(value, str) else ""

    return Row(given("id") or f"objects[{number}]", given("type"), given("name"), Outcome.FAILED, reason)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} is given twice in one object")
    return made


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")
