"""Reports from what people write: a dictionary, YAML or JSON, in protobuf's JSON names.

    title: Two vehicles at the lock-up
    header: {marks: {classification: OFFICIAL, handling_code: P}}
    lines:
      - key: a
        information: Seen loading at 05:40.
        grading: {grading_3x5x2: {source: RELIABLE, assessment: KNOWN_DIRECTLY}}

Enum values may omit their prefix. YAML is read by its core schema: `NO` is Norway and `05:40` a text, not a number.
Guarantees: an unknown field is refused and named; no tag builds an object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from entente.report.v1 import report_pb2
from entente_sdk.errors import RequestError

MAX_BYTES = 1 << 20


class _CoreLoader(yaml.SafeLoader):
    """YAML 1.2 core schema, and no date type."""


_CoreLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
):
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def load_report(path: Path) -> report_pb2.Report:
    """A report from a YAML or JSON file. Raises RequestError that says what is wrong, and where."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RequestError("REQUEST_TOO_LARGE", f"{path} is over 1 MiB; split the report")
        return read_report(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError("REQUEST_MALFORMED", f"{path} cannot be read: {error}") from error


def read_report(text: str) -> report_pb2.Report:
    """A report from YAML or JSON text. Raises RequestError."""
    try:
        content = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _CoreLoader)  # noqa: S506
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise RequestError("REQUEST_MALFORMED", f"neither YAML nor JSON: {error}") from error
    return parse_report(content)


def parse_report(content: Any) -> report_pb2.Report:
    """A report from a dictionary. Raises RequestError."""
    if not isinstance(content, Mapping) or not content:
        raise RequestError("REQUEST_MALFORMED", "a report is a table of fields, such as title, header and lines")
    report = report_pb2.Report()
    try:
        json_format.ParseDict(_full_names(content, report_pb2.Report.DESCRIPTOR), report)
    except json_format.ParseError as error:
        raise RequestError("REQUEST_INVALID", f"this is not a report: {error}") from error
    return report


def enum_prefix(enum: EnumDescriptor) -> str:
    """What the names of an enum share: `HANDLING_CODE_` of HandlingCode."""
    zero = enum.values_by_number[0].name
    return zero.removesuffix("UNSPECIFIED")


def _full_names(content: Any, kind: Descriptor) -> Any:
    """The same with every enum value's full name. What does not fit is left for the parser to name."""
    if not isinstance(content, Mapping):
        return content
    fields = {**kind.fields_by_name, **kind.fields_by_camelcase_name}
    return {name: _full_name(value, fields.get(name)) for name, value in content.items()}


def _full_name(value: Any, field: FieldDescriptor | None) -> Any:
    if field is None:
        return value
    if isinstance(value, list):
        return [_full_name(one, field) for one in value]
    if field.message_type is not None:
        return _full_names(value, field.message_type)
    if field.enum_type is not None and isinstance(value, str):
        name = value.strip().upper().replace("-", "_").replace(" ", "_")
        prefixed = enum_prefix(field.enum_type) + name
        return prefixed if prefixed in field.enum_type.values_by_name else name
    return value
