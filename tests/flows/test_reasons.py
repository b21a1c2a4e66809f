"""Public reasons and the code that gives them are one list."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from broker.domain import errors
from entente.error.v1 import error_pb2
from entente_sdk.advice import ADVICE
from tests.support.live import ROOT

PUBLIC = {name.removeprefix("REASON_") for name in error_pb2.Reason.keys()} - {"UNSPECIFIED"}  # noqa: SIM118
TREE = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.BrokerError)}
# Never given today, and what each is kept for.
RESERVED = {
    "STREAM_EXPIRED": "a stream that is ended by push, before its next look at certificate and token",
    "WRITE_IN_PROGRESS": "workers that share a store: today one process writes, and the same key waits its turn",
}


def sources() -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted((ROOT / "broker").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield path, node


def raised() -> dict[str, str]:
    """Reason -> where it is the first argument of an error of the tree."""
    found: dict[str, str] = {}
    for path, node in sources():
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        first = node.args[0]
        if name in TREE and isinstance(first, ast.Constant):
            found[str(first.value)] = f"{path.relative_to(ROOT)}:{node.lineno}"
    return found


def literals() -> set[str]:
    """Every string literal of the broker: reasons are also defaults and arguments of functions that make errors."""
    return {node.value for _, node in sources() if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_reason_that_is_given_is_public() -> None:
    given = raised()
    assert len(given) > 25
    assert {reason: where for reason, where in given.items() if reason not in PUBLIC} == {}


def test_every_public_reason_is_given_or_kept_for_later() -> None:
    unused = PUBLIC - literals()
    assert unused == set(RESERVED)
    assert all(RESERVED.values())


def test_the_client_has_advice_for_every_public_reason() -> None:
    assert set(ADVICE) >= PUBLIC
