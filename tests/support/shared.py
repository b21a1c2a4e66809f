"""The public test data that lies beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def shared_data(name: str) -> Path:
    """The folder `../shared/data/<name>`. Absent: the test is skipped, but fails where CI=true."""
    folder = _DATA / name
    if folder.is_dir():
        return folder
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{folder} is absent, and CI must not skip it")
    pytest.skip(f"{folder} is absent: the shared data is not beside this checkout")
