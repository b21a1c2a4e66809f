"""`python -m tests.fuzz TARGET [SECONDS]`: one target, with coverage (atheris), until the time is over or one fails.

An input that fails is left in a file `crash-...` in this folder's `var/fuzz`, which also keeps the corpus.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import atheris

FOLDER = Path(__file__).resolve().parents[2] / "var" / "fuzz"

with atheris.instrument_imports(include=["broker.identify", "broker.domain"]):
    from broker.identify.tls import require_tls13

    require_tls13()
    from tests.fuzz.targets import TARGETS


def main(name: str, seconds: int) -> None:
    """Does not return: the fuzzer ends the process, with a status other than 0 where it found something."""
    # The parser warns of what the profile refuses, for every input again.
    warnings.simplefilter("ignore")
    target = TARGETS[name]
    corpus = FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        "-timeout=5",
        "-max_len=16384",
        f"-artifact_prefix={FOLDER}/",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", str(corpus)], target.one)
    atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz {'|'.join(TARGETS)} [SECONDS]")
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60)
