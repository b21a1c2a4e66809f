"""The attacked process, as its machine sees it: alive, with how much memory and how many open files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

# What a few thousand refusals may leave behind: caches that fill once and stay.
MOST_GROWTH_BYTES = 160 << 20
MOST_NEW_FILES = 32


@dataclass(frozen=True)
class Health:
    """A moment's look at one process and its children."""

    processes: int
    files: int
    resident: int

    def __str__(self) -> str:
        return f"{self.processes} process(es), {self.files} open files, {self.resident >> 20} MiB"


def look(pid: int) -> Health:
    """Of the process and its children; zero where it is gone."""
    pids = [one for one in (pid, *_children(pid)) if Path(f"/proc/{one}/fd").exists()]
    page = os.sysconf("SC_PAGE_SIZE")
    files = sum(len(list(Path(f"/proc/{one}/fd").iterdir())) for one in pids)
    resident = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) * page for one in pids)
    return Health(len(pids), files, resident)


def fault(before: Health, after: Health) -> str:
    """What is wrong with the difference; empty where nothing is."""
    if after.processes < before.processes:
        return "a process is gone"
    if after.files > before.files + MOST_NEW_FILES:
        return f"{after.files - before.files} files were left open"
    if after.resident > before.resident + MOST_GROWTH_BYTES:
        return f"memory grew by {(after.resident - before.resident) >> 20} MiB"
    return ""


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(one) for one in listed.read_text().split()] if listed.exists() else []
