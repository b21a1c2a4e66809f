"""`make mutants`: deliberate faults in the policies and in the code of authorisation, and how many tests notice.

A sample by a fixed seed, the same share of each file; `N=0` takes all of them. The mutants that live are printed; why
each of them may is argued in docs/mutants.md. Exits with 1 where fewer than 95 in 100 are killed.

A mutant that no engine would load is unfit, and not counted. One with which the tests cannot be imported counts as
killed, and its number is printed. One that is too slow for the tests, or ends them otherwise, counts as alive.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.mutants import python_faults, rego_faults
from tests.mutants.judge import BROKEN, KILLED, LATE, SURVIVED, UNFIT, UNLOADED, Judge, Verdict
from tests.mutants.loading import ROOT
from tests.mutants.mutant import Mutant
from tests.mutants.relevance import Relevance, UnsoundError, learn
from tests.mutants.targets import POLICY, PYTHON

GOAL = 0.95
DEAD = (KILLED, UNLOADED)


def texts(only: Sequence[str]) -> dict[str, str]:
    """What is given faults, by path; `only`: parts of paths."""
    found = rego_faults.policy_texts(ROOT / "policies")
    found |= {path: (ROOT / path).read_text("utf-8") for path in PYTHON}
    return {path: text for path, text in found.items() if not only or any(part in path for part in only)}


def every_mutant(shipped: Mapping[str, str]) -> list[Mutant]:
    """All of them, file by file."""
    return [
        one
        for path, text in shipped.items()
        for one in (python_faults if path.endswith(".py") else rego_faults).faults(path, text)
    ]


def sample(mutants: list[Mutant], most: int, seed: int) -> list[Mutant]:
    """About so many, the same share of each file; 0: all."""
    if not most or most >= len(mutants):
        return mutants
    chance, by_path = random.Random(seed), defaultdict[str, list[Mutant]](list)
    for one in mutants:
        by_path[one.path].append(one)
    share = most / len(mutants)
    return [one for held in by_path.values() for one in chance.sample(held, max(1, round(share * len(held))))]


def relevance(paths: Sequence[str]) -> dict[str, Relevance]:
    """By path, what its tests do on what ships; each list of tests is run once. Raises UnsoundError."""
    judged_by = defaultdict[tuple[str, ...], list[str]](list)
    for path in paths:
        judged_by[PYTHON.get(path, POLICY)].append(path)
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        return {
            path: learnt
            for tests, concerned in judged_by.items()
            for learnt in [learn(tests, [path for path in concerned if path.endswith(".py")], Path(scratch))]
            for path in concerned
        }


def parsed() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="make mutants")
    parser.add_argument("--most", type=int, default=400)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--only", nargs="*", default=[], help="parts of paths")
    parser.add_argument("--again", type=Path, help="only those that this file names, one a line as they are printed")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--patience", type=float, default=60.0, help="seconds for one mutant, at the least")
    parser.add_argument("--list", action="store_true", help="print the mutants and judge none")
    parser.add_argument("--verbose", action="store_true", help="print each verdict")
    return parser.parse_args()


def main() -> int:
    """Choose, judge, print."""
    arguments = parsed()
    shipped = texts(arguments.only)
    mutants = every_mutant(shipped)
    chosen = sample(mutants, arguments.most, arguments.seed)
    if arguments.again:
        named = arguments.again.read_text("utf-8")
        chosen = [one for one in mutants if f"{one}  " in named]
    print(f"{len(chosen)} of {len(mutants)} mutants (seed {arguments.seed})", flush=True)
    if arguments.list:
        print(*chosen, sep="\n")
        return 0
    try:
        judge = Judge(shipped, relevance([*shipped]), arguments.at_once, arguments.patience)
    except UnsoundError as error:
        print(error)
        return 2
    verdicts: list[Verdict] = []
    for verdict in judge.verdicts(chosen):
        verdicts.append(verdict)
        if verdict.outcome in (SURVIVED, LATE, BROKEN) or arguments.verbose:
            print(f"{verdict.outcome:8} {verdict.seconds:5.1f}s {verdict.mutant}  {verdict.by}", flush=True)
    return report(verdicts)


def report(verdicts: Sequence[Verdict]) -> int:
    """A line for each file, each kind of file, and for all; 1 where too many live."""
    counted = [one for one in verdicts if one.outcome != UNFIT]
    dead = [one for one in counted if one.outcome in DEAD]
    for names in (lambda path: path, lambda path: f"all {Path(path).suffix}", lambda _: "all"):
        of, killed = (Counter(names(one.mutant.path) for one in group) for group in (counted, dead))
        for name, number in of.items():
            print(f"{name:40} {killed[name]:4} of {number:4} killed: {killed[name] / number:.1%}")
    outcomes = Counter(one.outcome for one in verdicts)
    print(*(f"{outcome} {number}" for outcome, number in outcomes.most_common()), sep=", ")
    return int(len(dead) < GOAL * len(counted))


if __name__ == "__main__":
    sys.exit(main())
