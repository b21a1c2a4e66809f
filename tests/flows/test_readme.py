"""What the README shows works: its commands, its SDK example, its example report."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from certs import network
from tests.support.live import ROOT, LiveBroker, free_port

README = (ROOT / "README.md").read_text(encoding="utf-8")
ENTENTE = str(Path(sys.executable).parent / "entente")


def block(language: str) -> str:
    """The README's one block in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


def commands() -> list[list[str]]:
    """The `entente` commands of the exchange by hand, but the one that serves."""
    lines = [line.strip().split("  #")[0] for line in README.splitlines() if line.startswith("    entente ")]
    return [shlex.split(line)[1:] for line in lines if not line.startswith("entente serve")]


def test_the_exchange_by_hand_and_the_sdk_example(tmp_path: Path) -> None:
    net = network.create(tmp_path / "net", f"127.0.0.1:{free_port()}")
    broker = LiveBroker(net).start()
    environment = {**os.environ, "ENTENTE_CONFIG": str(net.client_config)}

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        record_id = exchange_id = ""
        shown: list[str] = []
        for words in commands():
            if words[:2] == ["audit", "verify"]:
                continue
            named = {"RECORD_ID": record_id, "EXCHANGE": exchange_id}
            shown.append(run(ENTENTE, *(named.get(word, word) for word in words)))
            told = re.search(r"entente explain ([0-9a-f]{32})", shown[-1])
            exchange_id = exchange_id or (told[1] if told else "")
            found = re.search(r"\b[0-9a-f]{32}\b", shown[-1])
            record_id = record_id or (found.group() if found and words[:2] == ["report", "submit"] else "")
        assert len(shown) == 8
        assert "withheld (source_stays" in shown[3]
        assert "None: sources are not shared." in shown[4]
        assert "liaison.mara.dune" in shown[5]
        assert "justitie.example/haven-police: INVESTIGATION" in shown[6]
        assert "Would see less: justitie.example/haven-police" in shown[7]
        example = run(sys.executable, "-c", block("python"))
        assert "withheld by source_stays" in example
    finally:
        broker.stop()
    verified = run(ENTENTE, "audit", "verify", str(net.ledger), "--key", net.log_key)
    assert "Verified" in verified


def test_the_first_commands_are_targets() -> None:
    """The README's first command runs the main job and its second the tests."""
    targets = re.findall(r"^    make (\w+)", README, re.MULTILINE)[:2]
    assert targets == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
