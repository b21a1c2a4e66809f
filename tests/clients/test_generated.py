"""The blocking colour is what its source gives, and both say the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import entente_sdk

ROOT = Path(__file__).resolve().parents[2]


def test_the_blocking_colour_equals_its_source() -> None:
    script = ROOT / "scripts" / "unasync_sdk.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_asynchronous_is_left_in_the_blocking_colour() -> None:
    folder = ROOT / "clients" / "python" / "entente_sdk" / "_sync"
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "asyncio" not in text, path
        assert "await " not in text, path
        assert "Async" not in text, path


def test_exported_names_exist() -> None:
    for name in entente_sdk.__all__:
        assert getattr(entente_sdk, name) is not None
    assert sorted(entente_sdk.__all__) == entente_sdk.__all__


def test_the_sdk_does_not_import_the_broker() -> None:
    code = (
        "import entente_sdk.cli, sys; entente_sdk.cli.application(); print([m for m in sys.modules if m == 'broker'])"
    )
    path = f"{ROOT / 'clients' / 'python'}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": path}, cwd="/", check=True
    )
    assert done.stdout.strip() == "[]"
