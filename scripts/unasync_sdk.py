"""Generate the SDK's blocking colour, `_sync/`, from its source, `_async/`.

The generated files are committed so that a clone works without a generator; `--check` writes nothing and fails when
they differ from what the source gives.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import unasync

SDK = Path(__file__).resolve().parent.parent / "clients" / "python" / "entente_sdk"
NOTICE = "# Generated from `_async/` by scripts/unasync_sdk.py: do not edit.\n"
REPLACEMENTS = {
    "_async": "_sync",
    "_runtime_async": "_runtime_sync",
    **{
        f"Async{name}": name
        for name in (
            *(
                "Entente",
                "Calls",
                "Reports",
                "Hits",
                "Agreements",
                "Directory",
                "Audit",
                "Revocations",
                "Enrolment",
                "Pages",
                "Subscription",
                "Batch",
            ),
            *("Connection", "Line"),
        )
    },
}


def generate(target: Path) -> dict[str, str]:
    """Name -> text of every generated module; `target` is a scratch folder."""
    source = SDK / "_async"
    rule = unasync.Rule(f"{source}/", f"{target}/", additional_replacements=REPLACEMENTS)
    unasync.unasync_files([str(path) for path in sorted(source.glob("*.py"))], [rule])
    return {path.name: NOTICE + path.read_text(encoding="utf-8") for path in sorted(target.glob("*.py"))}


def main() -> None:
    """Write the modules, or with `--check` compare them."""
    with tempfile.TemporaryDirectory() as scratch:
        wanted = generate(Path(scratch))
    folder = SDK / "_sync"
    folder.mkdir(exist_ok=True)
    present = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
    if "--check" in sys.argv[1:]:
        differing = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
        if differing:
            raise SystemExit("_sync differs from _async: run scripts/unasync_sdk.py\n" + "\n".join(differing))
        return
    for name in present.keys() - wanted.keys():
        (folder / name).unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
