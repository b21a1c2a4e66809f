"""`entente demo`, as a newcomer runs it: one command, nothing set up, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner

from entente_sdk.cli import application
from entente_sdk.demo import play, world
from entente_sdk.demo.checks import DemoError, FirstAnswers, expect, step_named
from entente_sdk.demo.table import fitted
from entente_sdk.rules import rule_text
from entente_tlog.verify import verify_directory

COMMAND = [sys.executable, "-m", "entente_sdk", "demo"]
SECONDS = 120
MARK = "DEMO_TEST_MARK"


class Newcomer:
    """A clean environment: an empty home, no configuration, no terminal; its processes can be told by a mark."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.temporary = home / "tmp"
        self.temporary.mkdir()
        self._mark = uuid.uuid4().hex
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(self.temporary),
            MARK: self._mark,
        }

    def start(self, *options: str) -> subprocess.Popen[str]:
        # A shell that runs the tests in the background has Ctrl-C ignored, and children inherit that; what has a
        # handler here is at its default there. (Code between fork and exec would run into gRPC's fork handlers.)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(
                [*COMMAND, *options],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def run(self, *options: str) -> tuple[int, str]:
        process = self.start(*options)
        output, _ = process.communicate(timeout=SECONDS)
        return process.returncode, output

    def processes(self) -> list[str]:
        """Command lines of processes that this newcomer's commands have left running."""
        found = []
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self._mark}".encode() in (directory / "environ").read_bytes():
                    found.append((directory / "cmdline").read_text())
            except OSError:
                continue
        return found


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    return Newcomer(tmp_path)


def rows_of(output: str, field: str) -> list[str]:
    """The table's line or lines that begin with this field."""
    return [line.rstrip() for line in output.splitlines() if line.startswith(field)]


def test_it_tells_the_whole_story_and_leaves_nothing_behind(newcomer: Newcomer) -> None:
    code, output = newcomer.run()
    assert code == 0, output
    assert "\x1b" not in output
    assert max(len(line) for line in output.splitlines()) <= 100

    text = rows_of(output, "lines[1].provenance.")
    assert text[1].split()[-4:] == ["withheld:", "withheld:", "withheld:", "refused"]
    assert "Patrol 118" in text[1]
    below = next(line for line in output.splitlines() if line.startswith("source_reference"))
    assert below.split() == ["source_reference", *["source_stays"] * 3]
    assert "source_stays           Who or what the source is stays with the originator." in output
    assert rows_of(output, "header.derived_from")[0].split()[1:3] == ["-", "-"]
    assert "Source HERON" in output
    assert "(generalised:" in output
    assert "0 reports, as if there were none." in output
    assert "national alone is told: justitie.example/haven-police looked" in output

    damaged = re.search(r"NOT verified: the first damaged entry is (\d+)\.", output)
    changed = re.search(r"Entry (\d+), what the liaison officer was given", output)
    assert damaged is not None
    assert changed is not None
    assert damaged[1] == changed[1]
    assert "The original is as it was, and verifies." in output
    for which in ("granted", "denied"):
        found = re.search(rf"First {which} answer: ([\d.]+) s", output)
        assert found is not None
        assert float(found[1]) < 60

    assert newcomer.processes() == []
    assert list(newcomer.temporary.iterdir()) == []
    assert [path for path in newcomer.home.iterdir() if path != newcomer.temporary] == []


def test_what_is_kept_can_be_gone_on_with(newcomer: Newcomer) -> None:
    kept = newcomer.home / "a network"
    code, output = newcomer.run("--keep", str(kept))
    assert code == 0, output
    assert f"entente serve --config '{kept}'/broker.toml" in output
    key = (kept / "data" / "log.vkey").read_text().strip()
    assert verify_directory(kept / "data" / "ledger", key).ok
    assert not verify_directory(kept / "changed-copy", key).ok
    assert "serving on" in (kept / "broker.log").read_text()
    assert newcomer.processes() == []

    again, refusal = newcomer.run("--keep", str(kept))
    assert again == 1
    assert "is not empty" in refusal


@pytest.mark.parametrize(
    ("name", "moment"),
    [(signal.SIGINT, "submits a street report"), (signal.SIGTERM, "submits a street report"), (signal.SIGHUP, "real")],
    ids=["Ctrl-C in the story", "SIGTERM in the story", "SIGHUP in the set-up"],
)
def test_interrupted_it_stops_its_broker(newcomer: Newcomer, name: signal.Signals, moment: str) -> None:
    process = newcomer.start()
    assert process.stdout is not None
    for line in process.stdout:
        if moment in line:
            break
    process.send_signal(name)
    rest = process.stdout.read()
    assert process.wait(timeout=SECONDS) == 130
    assert "Traceback" not in rest
    process.stdout.close()
    assert newcomer.processes() == []
    assert list(newcomer.temporary.iterdir()) == []


def test_a_reader_that_hangs_up_leaves_no_broker(newcomer: Newcomer) -> None:
    process = newcomer.start()
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=SECONDS) != 0
    assert newcomer.processes() == []


def test_a_broker_that_does_not_start_shows_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instead = tmp_path / "python"
    instead.write_text("#!/bin/sh\necho 'the disk is full'\nexit 3\n")
    instead.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(instead))
    with (
        pytest.raises(DemoError, match=r"(?s)did not start.*with status 3.*the disk is full"),
        world.running_broker(tmp_path / "network"),
    ):
        pass


def test_a_step_that_goes_otherwise_ends_it_with_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(keep: Path | None) -> None:
        with step_named("The regional unit searches"):
            expect(keep is not None, "one report is found")

    monkeypatch.setattr(play, "play", broken)
    result = CliRunner().invoke(application(), ["demo"])
    assert result.exit_code == 1
    assert "at the step 'The regional unit searches': expected, but not so: one report is found" in result.output


def test_a_late_first_answer_fails_the_demo() -> None:
    times = FirstAnswers()
    times.note_granted()
    times.note_denied()
    assert times.within_limit() == (times.granted, times.denied)
    late = FirstAnswers(started=time.monotonic() - 61)
    late.note_granted()
    late.note_denied()
    with pytest.raises(DemoError, match="within 60 s"):
        late.within_limit()


def test_long_words_break_where_they_read_well() -> None:
    assert fitted("withheld: investigative_purpose", 15) == "withheld:\ninvestigative_\npurpose"
    assert fitted("lines[1].provenance.text", 22) == "lines[1].provenance.\ntext"
    assert fitted("two words", 15) == "two words"


def test_a_rule_without_a_text_is_told_by_its_kind_of_reason() -> None:
    assert rule_text("no_such_rule", "handling") == "The handling conditions refuse it."
    assert rule_text("no_such_rule", "new kind") == "No text is at hand."
