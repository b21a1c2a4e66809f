"""Runs tests once on what ships: which of them call which function, how long each takes, and what they import.

In a process of its own (`python -m tests.mutants.relevance OUT TEST... -- PATH...`), with the files that are given
faults as the faults are written (parsed and printed), so that what only the printing breaks is not taken for a fault.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import CodeType, FrameType

import pytest

from tests.mutants.loading import ROOT, Instead

OPTIONS = ("-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist")
# A test of OPA starts a server; OPA answers alike (test_engines_agree).
NO_OPA = ("-k", "not opa")
# What every test of the policies calls.
ASKING = "broker/decide/embedded.py"
ASKS = f"{ASKING}::EmbeddedEngine._ask"


class UnsoundError(Exception):
    """Tests fail on what ships, so they can judge nothing."""


@dataclass
class Relevance:
    """By test: its seconds, and the functions (`path::qualified name`) that it calls."""

    seconds: dict[str, float] = field(default_factory=dict)
    calls: dict[str, list[str]] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)

    def tests_of(self, function: str) -> list[str]:
        """Those that call it, the quickest first; without a function: all."""
        found = [test for test, called in self.calls.items() if not function or function in called]
        return sorted(found, key=self.seconds.__getitem__)


def learn(tests: Sequence[str], paths: Sequence[str], scratch: Path) -> Relevance:
    """Run these tests on these files as they ship. Raises UnsoundError."""
    out = scratch / "relevance.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", __name__, str(out), *tests, "--", *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnsoundError(f"without any fault {', '.join(tests)} fail:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return Relevance(**json.loads(out.read_text("utf-8")))


def enclosing(text: str, line: int) -> str:
    """The qualified name of the function in whose body the line is; empty: the line runs when it is imported."""

    def search(node: ast.AST, prefix: str) -> str:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if child.body[0].lineno <= line <= (child.end_lineno or 0):
                name = f"{prefix}{child.name}"
                if isinstance(child, ast.ClassDef):
                    return search(child, f"{name}.")
                return search(child, f"{name}.<locals>.") or name
        return ""

    return search(ast.parse(text), "")


class _Recorder:
    """A plugin of pytest that notes what runs during each test."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.learnt = Relevance()
        self._paths = {str(ROOT / path): path for path in paths}
        self._running: dict[int, CodeType] = {}

    def __call__(self, frame: FrameType, _event: str, _argument: object) -> None:
        self._running[id(frame.f_code)] = frame.f_code

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._running = {}
        started = time.monotonic()
        result = yield
        self.learnt.seconds[item.nodeid] = time.monotonic() - started
        # A copy: what runs here is noted too.
        codes = [code for code in list(self._running.values()) if code.co_filename in self._paths]
        named = {f"{self._paths[code.co_filename]}::{code.co_qualname}" for code in codes}
        self.learnt.calls[item.nodeid] = sorted(named)
        return result


def main() -> int:
    """Run and record."""
    out, *rest = sys.argv[1:]
    tests, paths = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
    sys.path[:0] = [str(ROOT), str(ROOT / "clients" / "python")]
    sys.meta_path.insert(0, Instead({path: ast.unparse(ast.parse((ROOT / path).read_text("utf-8"))) for path in paths}))
    recorder = _Recorder([*paths, ASKING])
    threading.settrace(recorder)
    sys.settrace(recorder)
    code = pytest.main([*OPTIONS, *NO_OPA, *tests], plugins=[recorder])
    sys.settrace(None)
    recorder.learnt.modules = list(sys.modules)
    Path(out).write_text(json.dumps(asdict(recorder.learnt)), "utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
