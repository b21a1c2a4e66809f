"""Runs the tests against one mutant, in a process of its own that inherits what is slow to import.

The parent imports the libraries, and never gRPC, which does not survive a fork. While code is judged it does not import
`broker` either: each child imports it, with the mutant's text in the place of its module. Policies are judged after
that, where all has been imported: each child puts the mutant into the bundle that the tests share. A child runs the
tests that concern its mutant, the quickest first, and says by its exit whether one failed.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path

import pytest

from tests.mutants.loading import ROOT, Instead
from tests.mutants.mutant import Mutant
from tests.mutants.relevance import ASKS, OPTIONS, Relevance, UnsoundError, enclosing

SURVIVED, KILLED, UNLOADED, LATE, BROKEN, UNFIT = "survived", "killed", "unloaded", "too slow", "broken", "unfit"
_BY_EXIT = {0: SURVIVED, 1: KILLED, 2: UNLOADED, 9: UNFIT}
# What is given faults, and what imports that: each child's own.
_OWN = {"broker", "certs", "scripts", "tests", "__main__", "__mp_main__"}
_FORKS_NOT = {"grpc", "grpc_status"}


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant, and the first test that noticed."""

    mutant: Mutant
    outcome: str
    by: str
    seconds: float


@dataclass(frozen=True)
class _Running:
    mutant: Mutant
    pid: int
    said: Path
    started: float
    patience_s: float


@dataclass(frozen=True)
class Judge:
    """Judges mutants. `shipped`: the texts; `relevance`: by path, of the tests that must notice."""

    shipped: dict[str, str]
    relevance: dict[str, Relevance]
    at_once: int
    least_patience_s: float
    # By path, the tests that noticed the last mutants: they go first, for neighbours die alike.
    noticed: dict[str, list[str]] = field(default_factory=dict)

    def verdicts(self, mutants: Sequence[Mutant]) -> Iterator[Verdict]:
        """Each mutant's verdict as it comes: code first, then policies."""
        policies = [one for one in mutants if one.path.startswith("policies/")]
        code = [one for one in mutants if not one.path.startswith("policies/")]
        sys.path[:0] = [str(ROOT), str(ROOT / "clients" / "python")]
        with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
            _warm(self._imported(code), without=_OWN)
            yield from self._judged(code, Path(scratch))
            if policies:
                _warm(self._imported(policies), without={"__main__"})
                self._ask_the_naive(policies[0])
            yield from self._judged(policies, Path(scratch))

    def _imported(self, mutants: Sequence[Mutant]) -> set[str]:
        return {name for path in {one.path for one in mutants} for name in self.relevance[path].modules}

    def _ask_the_naive(self, any_policy: Mutant) -> None:
        """Run the tests here, without a fault, so that every child knows what the naive decision says."""
        from tests.mutants.remembered import remember

        remember()
        if _tested(self._tests(any_policy), ()):
            raise UnsoundError("the tests of the policies fail where children inherit from")

    def _judged(self, mutants: Sequence[Mutant], scratch: Path) -> Iterator[Verdict]:
        waiting, running = list(reversed(mutants)), list[_Running]()
        try:
            while waiting or running:
                while waiting and len(running) < self.at_once:
                    mutant = waiting.pop()
                    if tests := self._tests(mutant):
                        running.append(self._start(mutant, tests, scratch))
                    else:
                        yield Verdict(mutant, SURVIVED, "no test calls it", 0.0)
                for verdict in _landed(running):
                    if verdict.by:
                        before = self.noticed.get(verdict.mutant.path, [])
                        self.noticed[verdict.mutant.path] = [verdict.by, *(one for one in before if one != verdict.by)][
                            :4
                        ]
                    yield verdict
        finally:
            for one in running:
                _end(one)

    def _tests(self, mutant: Mutant) -> list[str]:
        function = ASKS
        if mutant.path.endswith(".py"):
            name = enclosing(self.shipped[mutant.path], mutant.line)
            function = name and f"{mutant.path}::{name}"
        found = self.relevance[mutant.path].tests_of(function)
        return sorted(found, key=lambda test: test not in self.noticed.get(mutant.path, ()))

    def _start(self, mutant: Mutant, tests: list[str], scratch: Path) -> _Running:
        usual = sum(self.relevance[mutant.path].seconds[test] for test in tests)
        handle, name = tempfile.mkstemp(dir=scratch, suffix=".txt")
        pid = os.fork()
        if pid == 0:
            _be(mutant, tests, handle, scratch)
        os.close(handle)
        return _Running(mutant, pid, Path(name), time.monotonic(), max(self.least_patience_s, 6 * usual))


def _warm(names: set[str], without: set[str]) -> None:
    """Import what the tests import, but for these packages. Raises RuntimeError where that cannot be inherited."""
    for name in sorted(names):
        if name.split(".")[0] not in without | _FORKS_NOT:
            with suppress(ImportError):
                importlib.import_module(name)
    if inherited := {name.split(".")[0] for name in sys.modules} & (_FORKS_NOT | without & {"broker"}):
        raise RuntimeError(f"{', '.join(inherited)} would be inherited by every child")


def _landed(running: list[_Running]) -> Iterator[Verdict]:
    time.sleep(0.01)
    for one in list(running):
        pid, status = os.waitpid(one.pid, os.WNOHANG)
        seconds = time.monotonic() - one.started
        if pid == 0 and seconds < one.patience_s:
            continue
        running.remove(one)
        if pid == 0:
            _end(one)
            yield Verdict(one.mutant, LATE, "", seconds)
            continue
        outcome = _BY_EXIT.get(os.waitstatus_to_exitcode(status), BROKEN)
        yield Verdict(one.mutant, outcome, _first_failure(one.said), seconds)
        one.said.unlink()


def _end(one: _Running) -> None:
    with suppress(ProcessLookupError):
        os.killpg(one.pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(one.pid, 0)


def _be(mutant: Mutant, tests: list[str], handle: int, scratch: Path) -> None:
    """The whole life of a child; never returns."""
    code = 3
    try:
        os.setsid()
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        folder = Path(tempfile.mkdtemp(dir=scratch))
        code = _run(mutant, tests, folder)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        sys.stdout.flush()
        os._exit(code)


def _run(mutant: Mutant, tests: list[str], folder: Path) -> int:
    os.chdir(ROOT)
    if mutant.path.startswith("policies/"):
        if not _use_policies(mutant, folder):
            return 9
    else:
        sys.meta_path.insert(0, Instead({mutant.path: mutant.text}))
    return _tested(tests, (f"--basetemp={folder / 'tmp'}",))


def _tested(tests: list[str], options: Sequence[str]) -> int:
    files = sorted({test.partition("::")[0] for test in tests})
    quiet = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
    return int(pytest.main([*OPTIONS, *quiet, *options, *files], plugins=[_Chosen(tests)]))


class _Chosen:
    """A plugin of pytest: these tests alone, in this order."""

    def __init__(self, tests: list[str]) -> None:
        self._rank = {test: rank for rank, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        kept = [item for item in items if item.nodeid in self._rank]
        items[:] = sorted(kept, key=lambda item: self._rank[item.nodeid])


def _use_policies(mutant: Mutant, folder: Path) -> bool:
    """Put the mutant into the bundle that the tests share. False where no engine would load it."""
    from broker.decide.bundle import PolicyBundle
    from broker.decide.embedded import EmbeddedEngine
    from tests.mutants.remembered import forget
    from tests.support.questions import BUNDLE

    there = folder / "policies"
    shutil.copytree(ROOT / "policies", there, ignore=shutil.ignore_patterns("cases", "*_test.rego"))
    (folder / mutant.path).write_text(mutant.text, "utf-8")
    loaded = PolicyBundle.load(there)
    try:
        EmbeddedEngine(loaded)._compile()
    except Exception:
        return False
    if mutant.path.endswith(".json"):
        forget()
    for each in fields(BUNDLE):
        object.__setattr__(BUNDLE, each.name, getattr(loaded, each.name))
    return True


def _first_failure(said: Path) -> str:
    lines = said.read_text("utf-8", "replace").splitlines()
    found = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return found[0].partition(" ")[2].partition(" - ")[0] if found else ""
