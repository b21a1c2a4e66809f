"""What a bundle's markings ask: the strictest TLP label, and the statements (copyright, licence) that must be carried.

MUSTs:
1. an object whose marking is not understood is not imported: too loose is worse than not at all;
2. of several labels the strictest holds, also of granular ones: they bind the whole object;
3. a label is never loosened by the importer's own choice of label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from entente.common.v1 import marks_pb2
from entente_sdk.stix.bundle import Bundle
from entente_sdk.stix.objects import ObjectError, StixObject

Tlp: TypeAlias = marks_pb2.Tlp.ValueType

_LABELS: dict[str, Tlp] = {
    "white": marks_pb2.TLP_CLEAR,
    "clear": marks_pb2.TLP_CLEAR,
    "green": marks_pb2.TLP_GREEN,
    "amber": marks_pb2.TLP_AMBER,
    "amber+strict": marks_pb2.TLP_AMBER_STRICT,
    "red": marks_pb2.TLP_RED,
}
# Fixed by STIX 2.1, section 7.2.1.4 (TLP 1.0), and by the OASIS extension for TLP 2.0: they need not be in the bundle.
_KNOWN: dict[str, str] = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": "white",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "green",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": "amber",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "red",
    "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487": "clear",
    "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb": "green",
    "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421": "amber",
    "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003": "amber+strict",
    "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1": "red",
}
_TLP_2_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"


@dataclass(frozen=True, slots=True)
class Markings:
    """The strictest label (unspecified: none) and (marking's id, statement) of each statement."""

    tlp: Tlp = marks_pb2.TLP_UNSPECIFIED
    statements: tuple[tuple[str, str], ...] = ()


def markings_of(bundle: Bundle, thing: StixObject) -> Markings:
    """What binds an object. Raises ObjectError for a marking that is not understood."""
    references = list(thing.texts("object_marking_refs"))
    for granular in thing.tables("granular_markings"):
        if "lang" in granular and "marking_ref" not in granular:
            continue
        references.append(_string(granular, "marking_ref"))
    tlp: Tlp = marks_pb2.TLP_UNSPECIFIED
    statements: list[tuple[str, str]] = []
    for reference in dict.fromkeys(references):
        label, statement = _read(bundle, reference)
        tlp = max(tlp, label)
        if statement:
            statements.append((reference, statement))
    return Markings(tlp, tuple(statements))


def _read(bundle: Bundle, reference: str) -> tuple[Tlp, str]:
    """(label, statement) of one marking."""
    if reference in _KNOWN:
        return _LABELS[_KNOWN[reference]], ""
    definition = bundle.objects.get(reference)
    if definition is None or definition.type != "marking-definition":
        raise ObjectError(f"its marking {reference} is not in the bundle")
    extension = _table(definition.content.get("extensions")).get(_TLP_2_EXTENSION)
    if extension is not None:
        return _label(_table(extension).get("tlp_2_0")), ""
    kind, content = definition.text("definition_type"), _table(definition.content.get("definition"))
    if kind == "tlp":
        return _label(content.get("tlp")), ""
    if kind == "statement":
        return marks_pb2.TLP_UNSPECIFIED, _string(content, "statement")
    raise ObjectError(f"its marking {reference} is of a kind that is not understood")


def _label(value: Any) -> Tlp:
    label = _LABELS.get(value.lower()) if isinstance(value, str) else None
    if label is None:
        raise ObjectError("its TLP marking is not one of TLP")
    return label


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _string(table: Any, name: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value:
        raise ObjectError(f"{name} of a marking is missing")
    return value
