"""Small STIX bundles, made for a test: every id is fixed by its name."""

from __future__ import annotations

import json
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from entente_sdk.stix.bundle import Bundle, parse_bundle

FIRST, SECOND, THIRD = "2024-01-01T00:00:00.000Z", "2024-02-01T00:00:00.000Z", "2024-03-01T00:00:00.000Z"
COLLECTION = f"x-mitre-collection--{uuid5(NAMESPACE_URL, 'collection')}"


def stix_id(kind: str, name: str) -> str:
    """The id of a named object."""
    return f"{kind}--{uuid5(NAMESPACE_URL, name)}"


def thing(kind: str, name: str, modified: str = FIRST, **properties: Any) -> dict[str, Any]:
    """An object of STIX 2.1."""
    return {
        "type": kind,
        "spec_version": "2.1",
        "id": stix_id(kind, name),
        "created": FIRST,
        "modified": modified,
        "name": name,
        **properties,
    }


def group(name: str, modified: str = FIRST, **properties: Any) -> dict[str, Any]:
    """An intrusion-set."""
    return thing("intrusion-set", name, modified, **properties)


def joined(
    source: dict[str, Any], kind: str, target: dict[str, Any], modified: str = FIRST, **properties: Any
) -> dict[str, Any]:
    """A relationship."""
    made = thing("relationship", f"{source['id']} {kind} {target['id']}", modified, **properties)
    del made["name"]
    return {**made, "relationship_type": kind, "source_ref": source["id"], "target_ref": target["id"]}


def collection() -> dict[str, Any]:
    """What makes a bundle a release of a domain."""
    return {**thing("x-mitre-collection", "Test domain"), "id": COLLECTION}


def raw_bundle(*objects: Any) -> bytes:
    """A bundle's JSON."""
    return json.dumps({"type": "bundle", "id": stix_id("bundle", "test"), "objects": list(objects)}).encode()


def bundle(*objects: Any) -> Bundle:
    """A bundle, read."""
    return parse_bundle(raw_bundle(*objects), "test.json")
