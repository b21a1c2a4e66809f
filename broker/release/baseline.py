"""The committed classes: what was reviewed. Any change against them is a build failure until it is written down again.

A looser class, a dropped `value` or another permission changes who sees what without a line of code; so `--write` is
the one way, and its difference is read by a reviewer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

from broker.release.classes import field_rules, is_portion, is_value, messages_of
from broker.release.schema import methods_of, released_messages
from entente.access.v1 import access_pb2

Sections = Mapping[str, Mapping[str, str]]
SECTIONS = ("messages", "fields", "methods")
COMMAND = "python -m broker.release.classes --baseline proto/classes.json --write"


def snapshot(files: Iterable[FileDescriptor]) -> Sections:
    """The present schema: messages (value, portion, plain), fields (class, other forms), methods (rule)."""
    files = tuple(files)
    released = released_messages(files)
    messages: dict[str, str] = {}
    fields: dict[str, str] = {}
    for message in (m for file in files for m in messages_of(file) if m.full_name in released):
        kind = "value" if is_value(message) else "portion" if is_portion(message) else "plain"
        messages[message.full_name] = kind
        for rule in field_rules(message):
            held = "-" if kind == "value" else rule.field_class
            coarser = "-" if rule.generalisation == "UNSPECIFIED" else rule.generalisation
            named = f" pseudonym {rule.pseudonym}" if rule.pseudonym else ""
            fields[rule.descriptor.full_name] = f"{held} {coarser}{named}"
    methods = {method.full_name: _rule(method) for method in methods_of(files)}
    return {"messages": messages, "fields": fields, "methods": methods}


def _rule(method: MethodDescriptor) -> str:
    rule = method.GetOptions().Extensions[access_pb2.method]
    words = [access_pb2.Permission.Name(rule.permission), access_pb2.EntryType.Name(rule.entry_type)]
    words += ["justification_exempt"] if rule.justification_exempt else []
    words += ["write"] if rule.write else []
    return " ".join(words)


def read(path: Path) -> Sections:
    """The baseline; an absent file is an empty one, so that every line of the schema is new."""
    if not path.exists():
        return {section: {} for section in SECTIONS}
    loaded = json.loads(path.read_text(encoding="utf-8"))
    return {section: dict(loaded.get(section, {})) for section in SECTIONS}


def write(path: Path, present: Sections) -> None:
    """Make the present schema the baseline: sorted, one line each, so that a difference reads well."""
    path.write_text(json.dumps(present, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def differences(baseline: Sections, present: Sections) -> list[str]:
    """One line for each change, and one with what to do; empty when nothing changed."""
    found: list[str] = []
    for section in SECTIONS:
        was, now = baseline[section], present[section]
        for name in sorted(was.keys() | now.keys()):
            if name not in was:
                found.append(f"{name}: new ({now[name]}); record it")
            elif name not in now:
                found.append(f"{name}: was {was[name]} and is gone")
            elif was[name] != now[name]:
                found.append(
                    f"{name}: was {was[name]}, is {now[name]}: this changes who sees it; undo it or have it reviewed"
                )
    return [*found, f"to record what is meant: {COMMAND}"] if found else []
