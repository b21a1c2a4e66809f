"""sslyze as an outside judge of the broker's TLS: an environment of its own, its own code, its own modern profile.

What it judges: versions, cipher suites, curves, compression, early data, known attacks, and the certificate, against
Mozilla's "modern" profile as sslyze ships it. Exceptions, each exact: see `EXCEPTIONS`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.attacks.suite.target import Target

VERSION = "6.3.1"
FOLDER = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "entente" / f"sslyze-{VERSION}"
INSTALL_SECONDS = 300
SCAN_SECONDS = 180

# What sslyze finds against its profile, word for word, and why it stands. A line that is no longer found fails as well.
EXCEPTIONS = {
    "tls_curves": (
        "TLS curves {'secp521r1'} are supported, but should be rejected.",
        "gRPC's Python interface names no groups; P-521 is stronger than the P-384 that the profile allows",
    )
}


class JudgeMissingError(Exception):
    """sslyze could not be installed or run; the text says why."""


@dataclass(frozen=True)
class Judgement:
    """What sslyze said: the issues by subject, and what it saw."""

    issues: dict[str, str]
    seen: str

    def __str__(self) -> str:
        listed = [
            f"{text} Stands, because {EXCEPTIONS.get(key, ('', 'nobody knows why'))[1]}"
            for key, text in self.issues.items()
        ]
        found = "; ".join(listed) or "nothing against it"
        return f"sslyze {VERSION}, Mozilla's modern profile: {found} ({self.seen})"

    @property
    def unexpected(self) -> list[str]:
        """Issues without an exception, and exceptions without their issue."""
        known = {subject: text for subject, (text, _) in EXCEPTIONS.items()}
        new = [f"{subject}: {text}" for subject, text in self.issues.items() if known.get(subject) != text]
        return new + [f"no longer found: {subject}" for subject in EXCEPTIONS if subject not in self.issues]


def installed() -> Path:
    """sslyze's Python, in its own environment, which is made when it is not there. Raises JudgeMissingError."""
    python = FOLDER / "bin" / "python"
    marker = FOLDER / ".ready"
    if marker.exists():
        return python
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    for command in (
        [sys.executable, "-m", "venv", str(FOLDER)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"sslyze=={VERSION}"],
    ):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except (subprocess.SubprocessError, OSError) as error:
            told = getattr(error, "stderr", "") or str(error)
            raise JudgeMissingError(f"sslyze {VERSION} cannot be installed: {str(told)[-300:]}") from error
    marker.touch()
    return python


def judge(target: Target) -> Judgement:
    """Scan the target as its client. Raises JudgeMissingError."""
    python = installed()
    with tempfile.TemporaryDirectory() as folder:
        files = {"ca.pem": target.roots, "cert.pem": target.identity.certificate, "key.pem": target.identity.key}
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        command = [str(python), str(Path(__file__).with_name("sslyze_scan.py")), target.address, folder]
        run = subprocess.run(command, capture_output=True, text=True, timeout=SCAN_SECONDS, check=False)
    if run.returncode != 0:
        raise JudgeMissingError(f"sslyze ended with {run.returncode}: {run.stderr[-500:]}")
    said = json.loads(run.stdout.splitlines()[-1])
    return Judgement(said["issues"], said["seen"])


async def judged_by_sslyze(target: Target) -> tuple[list[str], list[str]]:
    """(notes, faults) for a report."""
    try:
        found = await asyncio.to_thread(judge, target)
    except JudgeMissingError as missing:
        return [], [str(missing)]
    return [str(found)], [f"sslyze: {one}" for one in found.unexpected]
