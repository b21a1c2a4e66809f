"""A write's transaction: it loads its target through the grant, and leaves version, index, change and outcome together.

Guarantees: all or nothing; the change row is written with the version, so that a crash is resolved by looking for it;
the outcome under an idempotency key is written with the work that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from broker.domain.directory import Agency, AgencyFacts, Agreement
from broker.domain.grant import Grant
from broker.domain.marks import MarkSet
from broker.store import directory, mark_sets, records
from broker.store.drafts import IndexedValue, IndexedWord, NewVersion, Outcome
from broker.store.fresh import require_fresh
from broker.store.prepared import driver_of
from broker.store.records import StoredVersion, pack, unpack
from broker.store.schema import (
    change,
    external_reference,
    idempotency,
    mark_set_count,
    record,
    value_index,
    version,
    word_index,
)

Rebind = Callable[[int, tuple[int, ...], bytes], tuple[int, tuple[int, ...]]]

_ADD_CHANGE = insert(change).returning(change.c.seq)
_ADD_RECORD = insert(record)
_ADD_VERSION = insert(version)
_ADD_VALUES = insert(value_index)
_ADD_WORDS = insert(word_index)
_ADD_REFERENCES = insert(external_reference)
_ADD_OUTCOME = insert(idempotency)
_NOW = select(record.c.seq, record.c.mark_set, record.c.version).where(record.c.record_id == bindparam("wanted"))
_MOVE = (
    update(record)
    .where(record.c.record_id == bindparam("wanted"))
    .values(
        version=bindparam("new_version"),
        seq=bindparam("new_seq"),
        mark_set=bindparam("new_mark_set"),
        active=bindparam("new_active"),
        updated_us=bindparam("new_updated_us"),
    )
)
_DROP_VALUES = delete(value_index).where(value_index.c.seq == bindparam("old"))
_DROP_WORDS = delete(word_index).where(word_index.c.seq == bindparam("old"))
_DROP_REFERENCES = delete(external_reference).where(external_reference.c.record_id == bindparam("wanted"))
_HOLDER = select(external_reference.c.record_id).where(
    external_reference.c.originator == bindparam("originator"),
    external_reference.c.source == bindparam("source"),
    external_reference.c.reference == bindparam("reference"),
)
_OUTCOME = select(idempotency).where(
    idempotency.c.agency == bindparam("for_agency"),
    idempotency.c.method == bindparam("for_method"),
    idempotency.c.key == bindparam("for_key"),
)
_PAST = select(version.c.seq, version.c.mark_set, version.c.portion_mark_sets, version.c.payload).where(
    version.c.record_id == bindparam("wanted"), version.c.version < bindparam("below")
)
_REBIND = (
    update(version)
    .where(version.c.seq == bindparam("at"))
    .values(mark_set=bindparam("new_mark_set"), portion_mark_sets=bindparam("new_portions"))
)
_COUNT = upsert(mark_set_count)
_COUNT = _COUNT.on_conflict_do_update(
    index_elements=["mark_set"], set_={"records": mark_set_count.c.records + _COUNT.excluded.records}
)


class WriteTransaction:
    """What a write may do. Made by `Store.write` for one function, on the writer's thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._driver = driver_of(connection)
        self.changed = False

    def require_fresh(self, grant: Grant) -> None:
        """Raises StaleGrantError; call it before this transaction interns anything."""
        require_fresh(self._driver, grant)

    def find(self, grant: Grant, record_id: str, *, agency: str) -> StoredVersion | None:
        """The latest version as far as the grant goes (`records.find`)."""
        return records.find(self._driver, grant, record_id, agency=agency)

    def facts(self, agency: str) -> AgencyFacts | None:
        """The agency's facts, as of this transaction."""
        return directory.facts(self._connection, agency)

    def load_directory(self, agencies: Iterable[Agency], agreements: Iterable[Agreement]) -> int:
        """Replace the directory's content (`directory.load`)."""
        return directory.load(self._connection, agencies, agreements)

    def intern(self, wanted: Iterable[MarkSet]) -> Mapping[MarkSet, int]:
        """The ids of mark sets, new ones included."""
        return mark_sets.intern(self._connection, wanted)

    def marks(self, numbers: Iterable[int]) -> Mapping[int, MarkSet]:
        """The mark sets with these ids."""
        return mark_sets.by_id(self._connection, numbers)

    def reference_holder(self, grant: Grant, originator: str, source: str, reference: str) -> tuple[bool, str]:
        """(taken?, the record that holds it if the grant shows it, else "") for one of the originator's references."""
        values = {"originator": originator, "source": source, "reference": reference}
        holder = self._connection.execute(_HOLDER, values).scalar()
        if holder is None:
            return False, ""
        seen = self.find(grant, holder, agency=originator)
        return True, "" if seen is None or seen.as_pointer else holder

    def recall(self, agency: str, method: str, key: str) -> Outcome | None:
        """What was answered under this key, or None."""
        values = {"for_agency": agency, "for_method": method, "for_key": key}
        row = self._connection.execute(_OUTCOME, values).first()
        return None if row is None else Outcome(row.digest, row.envelope, row.record_id, row.version)

    def remember(self, agency: str, method: str, key: str, outcome: Outcome, time_us: int) -> None:
        """Keep the answer under its key."""
        self._connection.execute(
            _ADD_OUTCOME,
            {
                "agency": agency,
                "method": method,
                "key": key,
                "digest": outcome.digest,
                "envelope": outcome.envelope,
                "record_id": outcome.record_id,
                "version": outcome.version,
                "time_us": time_us,
            },
        )

    def add(self, new: NewVersion) -> None:
        """Add a version: change row, record row, payload, index rows, references and counts."""
        seq = self._add_change(new)
        if new.version == 1:
            self._add_record(new, seq)
        else:
            self._supersede(new, seq)
        self._connection.execute(
            _ADD_VERSION,
            {
                "seq": seq,
                "record_id": new.record_id,
                "version": new.version,
                "mark_set": new.mark_set,
                "portion_mark_sets": pack(new.portion_mark_sets),
                "payload": new.payload,
                "kind": new.kind,
                "exchange_id": new.exchange_id,
                "etag": new.etag,
                "time_us": new.time_us,
            },
        )
        self._index(new, seq)
        self._connection.execute(_COUNT, {"mark_set": new.mark_set, "records": 1})
        self.changed = True

    def rebind(self, record_id: str, below: int, decide: Rebind) -> None:
        """Give earlier versions other mark sets: `decide(mark set, portions' mark sets, payload)` returns the new ones.

        Nothing that is read here is returned: this is how a restriction reaches a record's past.
        """
        for row in self._connection.execute(_PAST, {"wanted": record_id, "below": below}).all():
            before = row.mark_set, unpack(row.portion_mark_sets)
            after = decide(*before, row.payload)
            if after != before:
                self._connection.execute(
                    _REBIND, {"at": row.seq, "new_mark_set": after[0], "new_portions": pack(after[1])}
                )

    def _add_change(self, new: NewVersion) -> int:
        values = {
            "record_id": new.record_id,
            "version": new.version,
            "kind": new.kind,
            "exchange_id": new.exchange_id,
        }
        seq: int = self._connection.execute(_ADD_CHANGE, values).scalar_one()
        return seq

    def _add_record(self, new: NewVersion, seq: int) -> None:
        self._connection.execute(
            _ADD_RECORD,
            {
                "record_id": new.record_id,
                "record_type": new.record_type,
                "originator": new.originator,
                "version": new.version,
                "seq": seq,
                "mark_set": new.mark_set,
                "active": new.active,
                "updated_us": new.time_us,
            },
        )

    def _supersede(self, new: NewVersion, seq: int) -> None:
        old = self._connection.execute(_NOW, {"wanted": new.record_id}).one()
        if old.version != new.version - 1:
            raise ValueError("a version follows the latest one")
        for drop in (_DROP_VALUES, _DROP_WORDS):
            self._connection.execute(drop, {"old": old.seq})
        self._connection.execute(_DROP_REFERENCES, {"wanted": new.record_id})
        self._connection.execute(_COUNT, {"mark_set": old.mark_set, "records": -1})
        self._connection.execute(
            _MOVE,
            {
                "wanted": new.record_id,
                "new_version": new.version,
                "new_seq": seq,
                "new_mark_set": new.mark_set,
                "new_active": new.active,
                "new_updated_us": new.time_us,
            },
        )

    def _index(self, new: NewVersion, seq: int) -> None:
        values = [{**_row(one), "seq": seq} for one in dict.fromkeys(new.values)]
        words = [{**_row(one), "seq": seq} for one in dict.fromkeys(new.words)]
        references = [
            {"originator": new.originator, "source": source, "reference": reference, "record_id": new.record_id}
            for source, reference in new.references
        ]
        for statement, rows in ((_ADD_VALUES, values), (_ADD_WORDS, words), (_ADD_REFERENCES, references)):
            if rows:
                self._connection.execute(statement, rows)


def _row(one: IndexedValue | IndexedWord) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__dataclass_fields__}
