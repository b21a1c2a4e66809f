"""The fourteen rules of the pipeline (docs/architecture.md): each is named by a test, `pipeline rule N: ...`."""

from __future__ import annotations

import ast
import re
from collections import defaultdict

from tests.support.live import ROOT

NAMED = re.compile(r"pipeline rule (\d+): \S")


def named_by_tests() -> dict[int, set[str]]:
    """Rule -> the tests whose docstrings name it."""
    found: dict[int, set[str]] = defaultdict(set)
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
                continue
            match = NAMED.match(ast.get_docstring(node) or "")
            if match:
                found[int(match[1])].add(node.name)
    return found


def test_every_rule_is_named_by_a_test() -> None:
    named = named_by_tests()
    assert sorted(named) == list(range(1, 15))
    assert all(len(tests) >= 2 for tests in named.values()), dict(named)
