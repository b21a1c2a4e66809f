"""The rules of policy in words, where they are installed beside the broker; otherwise the kind of reason in words."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

MEANINGS = {
    "originator only": "It stays with its originator.",
    "clearance": "The caller's clearance is too low.",
    "compartment": "The caller's agency is not in the compartment.",
    "recipient": "The caller's agency is not among the recipients.",
    "purpose": "Not for the purpose stated.",
    "role": "Not for the caller's role.",
    "handling": "The handling conditions refuse it.",
    "agreement": "No agreement between the two agencies covers it.",
    "not granted": "No rule grants it.",
}


def rules() -> dict[str, Any]:
    """All rules that are at hand: name -> {reason, text, remedy}. Empty where no policies are installed."""
    return dict(policy_table("rules"))


def rule_text(rule: str, reason: str) -> str:
    """A rule in a sentence; `reason` is its kind in words, used where the rule's own text is not at hand."""
    found = policy_table("rules").get(rule)
    text = found.get("text") if isinstance(found, dict) else None
    return str(text) if text else MEANINGS.get(reason, "No text is at hand.")


@cache
def policy_table(name: str) -> dict[str, Any]:
    """One of policy's own tables: `rules`, `legal_bases`, `purposes`. Empty where no policies are installed.

    It is data, found beside the broker's code; none of that code is loaded.
    """
    spec = find_spec("broker")
    if spec is None or spec.origin is None:
        return {}
    package = Path(spec.origin).parent
    for policies in (package / "_policies", package.parent / "policies"):
        path = policies / "data" / f"{name}.json"
        if path.is_file():
            table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return table
    return {}
