"""A store of any size, in minutes: the schema by the broker's own migrations, the rows straight into its tables.

Each record has one version, one name and one phone by which it is found, and a mark set of the given ones: the first
templates are used most. Payloads are small reports that the release stage can read. About 0.9 KB on disk for each.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from broker.domain.marks import MarkSet
from broker.store.mark_sets import _canonical
from broker.store.records import pack
from broker.store.store import Store
from entente.common.v1 import record_pb2
from entente.report.v1 import report_pb2
from tests.support.reports import TickingClock

NAMES_IN_USE = 5_000
BATCH = 20_000
_BLANK = "0" * 32


def fill(path: Path, records: int, sets: Sequence[MarkSet], seed: int = 8) -> Counter[int]:
    """Make the database; how many records each mark set has."""
    Store.open(path, TickingClock()).close()
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("synchronous=OFF", "foreign_keys=OFF", "cache_size=-256000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    numbers = _choices(records, len(sets), random.Random(seed))
    connection.execute("BEGIN")
    marks = [(number, _canonical(one), one.originator) for number, one in enumerate(sets, 1)]
    connection.executemany("INSERT INTO mark_set (id, canonical, originator) VALUES (?, ?, ?)", marks)
    for first in range(0, records, BATCH):
        _add(connection, range(first, min(first + BATCH, records)), numbers, sets)
    counts = Counter(numbers)
    connection.executemany("INSERT INTO mark_set_count (mark_set, records) VALUES (?, ?)", counts.items())
    connection.execute("COMMIT")
    connection.execute("ANALYZE")
    connection.close()
    return counts


def _choices(records: int, sets: int, rnd: random.Random) -> list[int]:
    """A mark set for each record: each is used, the rest go to a tenth of them."""
    often = max(1, sets // 10)
    found = [number + 1 if number < sets else rnd.randrange(often) + 1 for number in range(records)]
    rnd.shuffle(found)
    return found


def _add(connection: sqlite3.Connection, batch: range, numbers: list[int], sets: Sequence[MarkSet]) -> None:
    rows = list(_rows(batch, numbers, sets))
    connection.executemany(
        "INSERT INTO change (seq, record_id, version, kind, exchange_id) VALUES (?, ?, 1, 'CREATED', ?)",
        [(seq, record, _BLANK) for seq, record, *_ in rows],
    )
    connection.executemany(
        "INSERT INTO record (record_id, record_type, originator, version, seq, mark_set, active, updated_us)"
        " VALUES (?, 'report', ?, 1, ?, ?, 1, ?)",
        [(record, whose, seq, marks, seq) for seq, record, whose, marks, _ in rows],
    )
    connection.executemany(
        "INSERT INTO version (seq, record_id, version, mark_set, portion_mark_sets, payload, kind, exchange_id, etag,"
        " time_us) VALUES (?, ?, 1, ?, ?, ?, 'CREATED', ?, 'e', ?)",
        [(seq, record, marks, pack((marks, marks)), payload, _BLANK, seq) for seq, record, _, marks, payload in rows],
    )
    values = [
        (kind, value, seq, field_class, marks, marks)
        for seq, _, _, marks, _ in rows
        for kind, value, field_class in (
            ("NAME", f"name{seq % NAMES_IN_USE}", "IDENTITY"),
            ("PHONE", f"+44770{seq:08d}", "CONTACT"),
        )
    ]
    connection.executemany(
        "INSERT INTO value_index (kind, value, seq, field_class, portion, container) VALUES (?, ?, ?, ?, ?, ?)", values
    )


def _rows(batch: range, numbers: list[int], sets: Sequence[MarkSet]) -> Iterator[tuple[int, str, str, int, bytes]]:
    """(seq, record id, originator, mark set, payload)."""
    blank = _payload()
    for number in batch:
        marks = numbers[number]
        record = f"{number * 2654435761 % 2**32:08x}{number:024x}"
        yield number + 1, record, sets[marks - 1].originator, marks, blank.replace(_BLANK.encode(), record.encode())


def _payload() -> bytes:
    """A report with a line and a person."""
    made = report_pb2.Report(title="Courier movements", tear_line="A courier is active in the north.")
    made.header.CopyFrom(
        record_pb2.RecordHeader(record_id=_BLANK, originator="police.example/unit", version=1, etag="e")
    )
    made.lines.add(key="0a0a0a0a", information="The courier calls at the quay at night and leaves with two crates.")
    made.entities.add(key="0b0b0b0b").person.name = "Ana Lime"
    return made.SerializeToString()
