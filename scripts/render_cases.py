"""Write `docs/policy-cases.md` from `policies/cases`. `make check` refuses one that is not up to date."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
for place in (ROOT, ROOT / "clients" / "python"):
    sys.path.insert(0, str(place))

from broker.authoring.case_page import page  # noqa: E402 - found by the lines above
from broker.authoring.cases import load_cases  # noqa: E402
from broker.decide.bundle import PolicyBundle  # noqa: E402

PAGE = ROOT / "docs" / "policy-cases.md"


def rendered() -> str:
    """The page as it should be. Raises ValueError where the policies or the cases cannot be read."""
    folder = ROOT / "policies"
    return page(load_cases(folder / "cases", frozenset(PolicyBundle.load(folder).rules)))


def up_to_date() -> bool:
    """Whether the page is what the cases make. Raises ValueError where they cannot be read."""
    return PAGE.is_file() and PAGE.read_text("utf-8") == rendered()


def main() -> int:
    """Writes the page."""
    PAGE.write_text(rendered(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
