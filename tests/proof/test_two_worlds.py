"""No oracle: worlds that differ only in what the reference says is hidden answer their observer byte for byte alike.

Random populations, marks and observers; `tests/proof/worlds.py` says what differs, what is asked, and what is declared
to differ. `make proof` asks for more than 10,000 pairs of answers.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.proof.worlds import compare

SCALE = int(os.environ.get("PROOF_SCALE", "1"))


@pytest.mark.parametrize("seed", range(2, 3 if SCALE == 1 else 40))
async def test_worlds_that_differ_in_what_is_hidden_answer_alike(tmp_path: Path, seed: int) -> None:
    compared = await compare(tmp_path, seed, reports=16)
    print(f"\n{compared.answers} pairs of answers, {compared.changed} reports differ between the worlds")
    assert not compared.found, f"{len(compared.found)} of {compared.answers} differ, the first: {compared.found[0]}"
