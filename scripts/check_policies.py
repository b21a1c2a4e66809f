"""Check the house's own policies, as `entente policy check` checks any folder (`broker/authoring/checks.py`).

And three things more: Regal, with `.regal/config.yaml`; that each of the policies' own files is in OPA's form; and
that `docs/policy-cases.md` is made from the cases. Where OPA and Regal are not at hand they are left out; with
`--require-opa` they are fetched, as the tests do, and their absence is an error.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POLICIES = ROOT / "policies"
for place in (ROOT, ROOT / "clients" / "python"):
    sys.path.insert(0, str(place))

from broker.authoring import checks  # noqa: E402 - found by the lines above
from scripts import render_cases  # noqa: E402
from tests.support.opa import find_opa, require_opa  # noqa: E402
from tests.support.regal import find_regal, require_regal  # noqa: E402


def problems() -> Iterator[str]:
    """One line for each problem, without asking OPA."""
    return checks.problems(POLICIES)


def ask_opa(opa: Path) -> list[str]:
    """What `opa check --strict`, `opa test` with its coverage, and `opa fmt` complain of; empty: nothing."""
    untidy = subprocess.run(
        [str(opa), "fmt", "--list", *map(str, POLICIES.glob("*.rego"))], check=True, capture_output=True, text=True
    ).stdout.split()
    return checks.ask_opa(opa, POLICIES) + [f"{path}: not in OPA's form; run: opa fmt -w policies" for path in untidy]


def ask_regal(regal: Path, folder: Path = POLICIES) -> list[str]:
    """What Regal complains of; empty: nothing."""
    config = ROOT / ".regal" / "config.yaml"
    command = [str(regal), "lint", "--no-color", "--config-file", str(config), str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def main() -> int:
    """0 when nothing is wrong."""
    fetch = "--require-opa" in sys.argv
    opa, regal = (require_opa(), require_regal()) if fetch else (find_opa(), find_regal())
    found = list(problems())
    for tool, name, ask in ((opa, "OPA", ask_opa), (regal, "Regal", ask_regal)):
        if tool is None:
            print(f"{name} is not at hand: its own checks were left out (--require-opa fetches it)")
        else:
            found += ask(tool)
    if not render_cases.up_to_date():
        found.append("docs/policy-cases.md is not up to date; run: python scripts/render_cases.py")
    print(*found, sep="\n", end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
