"""`entente policy check|test|build|diff`: for whoever writes the policy. Nothing here needs a broker or a repository.

What is checked against (schemas, vocabulary, the naive decision of the tests) is what came with this version of the
broker. Exit status 1: something is wrong, and it was said; 2: it was asked wrongly.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from broker.authoring import checks, diff
from broker.authoring.case_run import CaseRunner
from broker.authoring.cases import CaseBook, load_cases
from broker.authoring.opa_tool import VERSION, find_opa, serving
from broker.decide.bundle import PolicyBundle, policy_folder
from broker.decide.bundle_signature import SigningKey, VerificationKey
from broker.decide.embedded import EmbeddedEngine
from broker.decide.engine import PolicyEngine
from broker.decide.examination import require_sound
from broker.decide.opa import OpaAddress, OpaEngine
from broker.domain.clock import SystemClock
from broker.domain.errors import UnavailableError

# Not a call that anybody waits for.
PATIENT_S = 20.0

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", exists=True, file_okay=False, help="A folder of policies: *.rego, data/*.json, cases/*.yaml."
    ),
]
WithoutOpa = Annotated[bool, typer.Option("--without-opa", help="Leave the real OPA out, and say so.")]
Policy = Annotated[
    Path, typer.Argument(metavar="OLD", help="A folder of policies or a bundle; `shipped`: the broker's.")
]
Other = Annotated[Path, typer.Argument(metavar="NEW", help="A folder of policies or a bundle.")]
Key = Annotated[
    Path,
    typer.Option(
        exists=True, dir_okay=False, help="The policy authority's private key (P-256, PEM). It stays where it is."
    ),
]
Output = Annotated[Path, typer.Option("-o", "--output", help="The bundle.")]
Public = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Prove bundles by this public key first.")
]


def check(folder: Folder, without_opa: WithoutOpa = False) -> None:
    """Check a folder of policies: names, literals, the portable subset, and OPA's own checks."""
    opa = _opa(without_opa)
    found = list(checks.problems(folder))
    # OPA would say the same once more of what cannot even be read.
    found += checks.ask_opa(opa, folder) if opa is not None and not found else []
    _end(found, "nothing is wrong" if opa is not None else "nothing is wrong as far as can be told without OPA")


def test_(folder: Folder, without_opa: WithoutOpa = False) -> None:  # noqa: PT028 - a command, not a test
    """Run a folder's tests (`opa test`) and its cases, on the embedded engine and on OPA."""
    opa = _opa(without_opa)
    bundle = _folder(folder)
    try:
        book = load_cases(folder / "cases", frozenset(bundle.rules))
    except ValueError as error:
        _fail([str(error)])
    found = [] if opa is None else checks.run_tests(opa, folder)
    found += [f"embedded: {line}" for line in _cases(EmbeddedEngine(bundle), bundle, book)]
    if opa is not None:
        with tempfile.TemporaryDirectory() as place:
            bundle.write(Path(place))
            with serving(opa, ["--bundle", place]) as url:
                engine = OpaEngine(bundle, OpaAddress(url), SystemClock(), deadline_s=PATIENT_S)
                found += [f"opa: {line}" for line in _cases(engine, bundle, book)]
    count = sum(1 for _ in book.all_cases())
    _end(
        found, f"{count} cases hold on {'the embedded engine' if opa is None else 'both engines, and opa test passes'}"
    )


def build(folder: Folder, key: Key, output: Output = Path("bundle.tar.gz")) -> None:
    """Make a signed bundle of a folder of policies. What a broker would refuse is not built."""
    bundle = _folder(folder)
    try:
        require_sound(bundle)
    except ValueError as error:
        _fail([str(error)])
    with _asked_wrongly():
        archive = bundle.to_archive(SigningKey.read(key))
        output.write_bytes(archive)
    typer.echo(f"{output}: revision {bundle.revision}, {len(archive)} bytes")


def diff_(old: Policy, new: Other, verification_key: Public = None) -> None:
    """Tell in words what another policy would open (+) or close (-): its text, methods, and kinds of callers."""
    with _asked_wrongly():
        key = None if verification_key is None else VerificationKey.read(verification_key)
    try:
        with _asked_wrongly((OSError,)):
            before, after = _read(old, key), _read(new, key)
        moved = asyncio.run(_compared(before, after))
    except ValueError as error:
        _fail([str(error)])
    except UnavailableError as error:
        _fail([f"it cannot be evaluated: {error.detail}"])
    typer.echo(f"{before.revision[:16]} -> {after.revision[:16]}")
    for title, lines in zip(("Text and data", "Who may call what", "Who sees what"), moved, strict=True):
        typer.echo(f"\n{title}:")
        for line in lines or ["nothing changes"]:
            typer.echo(f"  {line}")


async def _compared(old: PolicyBundle, new: PolicyBundle) -> tuple[list[str], list[str], list[str]]:
    seen = diff.told(await diff.shifts(old, new))
    return list(diff.text_changes(old, new)), await diff.method_changes(old, new), seen


def _read(source: Path, key: VerificationKey | None) -> PolicyBundle:
    if str(source) == "shipped":
        return PolicyBundle.load(policy_folder())
    if source.is_dir():
        return PolicyBundle.load(source)
    return PolicyBundle.from_archive(source.read_bytes(), key)


def _folder(folder: Path) -> PolicyBundle:
    with _asked_wrongly():
        return PolicyBundle.load(folder)


@contextmanager
def _asked_wrongly(kinds: tuple[type[Exception], ...] = (OSError, RuntimeError, ValueError)) -> Iterator[None]:
    """What cannot be used as it was given ends the command with status 2, and words."""
    try:
        yield
    except kinds as error:
        words = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        typer.echo(words, err=True)
        raise typer.Exit(2) from None


def _opa(without: bool) -> Path | None:
    with _asked_wrongly():
        found = None if without else find_opa()
    if found is None and not without:
        typer.echo(f"OPA {VERSION} is not at hand: set OPA_BIN, or say --without-opa", err=True)
        raise typer.Exit(2)
    return found


def _cases(engine: PolicyEngine, bundle: PolicyBundle, book: CaseBook) -> list[str]:
    async def run() -> list[str]:
        await engine.start()
        try:
            runner = CaseRunner(engine, bundle)
            return [line for case in book.all_cases() for line in await runner.problems(case)]
        finally:
            await engine.close()

    try:
        return asyncio.run(run())
    except UnavailableError as error:
        return [f"it cannot be evaluated: {error.detail}"]


def _end(found: Sequence[str], well: str) -> None:
    if found:
        _fail(found)
    typer.echo(well)


def _fail(problems: Sequence[str]) -> NoReturn:
    for problem in problems:
        typer.echo(problem, err=True)
    raise typer.Exit(1)
