"""A write's transaction: it loads its target through the grant, and leaves version, index, change and outcome together.

Guarantees: all or nothing; the change row is written with the version, so that a crash is resolved by looking for it;
the outcome under an idempotency key is written with the work that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import Connection, String, bindparam, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from broker.domain.caller import Caller
from broker.domain.directory import Agency, AgencyFacts, Agreement, Appointment
from broker.domain.grant import Grant
from broker.domain.marks import MarkSet
from broker.store import directory, mark_sets, records
from broker.store.drafts import NewVersion, Outcome
from broker.store.fresh import require_current, require_fresh, require_not_revoked
from broker.store.prepared import Driver, Prepared, driver_of
from broker.store.records import StoredVersion, pack, unpack
from broker.store.schema import (
    beside_index,
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

_ADDED = ("record_id", "version", "kind", "exchange_id")
_ADD_CHANGE = Prepared(insert(change).values({name: bindparam(name) for name in _ADDED}).returning(change.c.seq))
_ADD_RECORD = Prepared(insert(record))
_ADD_VERSION = Prepared(insert(version))
_ADD_VALUES = Prepared(insert(value_index))
_ADD_WORDS = Prepared(insert(word_index))
_ADD_BESIDE = Prepared(insert(beside_index))
_ADD_REFERENCES = Prepared(insert(external_reference))
_ADD_OUTCOME = Prepared(insert(idempotency))
_wanted = bindparam("wanted", type_=String())
_NOW = Prepared(select(record.c.seq, record.c.mark_set, record.c.version).where(record.c.record_id == _wanted))
_MOVE = Prepared(
    update(record)
    .where(record.c.record_id == _wanted)
    .values({name: bindparam(f"new_{name}") for name in ("version", "seq", "mark_set", "active", "updated_us")})
)
_DROP_VALUES = Prepared(delete(value_index).where(value_index.c.seq == bindparam("old")))
_DROP_WORDS = Prepared(delete(word_index).where(word_index.c.seq == bindparam("old")))
_DROP_BESIDE = Prepared(delete(beside_index).where(beside_index.c.seq == bindparam("old")))
_DROP_REFERENCES = Prepared(delete(external_reference).where(external_reference.c.record_id == _wanted))
_HOLDER = Prepared(
    select(external_reference.c.record_id).where(
        external_reference.c.originator == bindparam("originator"),
        external_reference.c.source == bindparam("source"),
        external_reference.c.reference == bindparam("reference"),
    )
)
_OUTCOME = Prepared(
    select(idempotency.c.digest, idempotency.c.envelope, idempotency.c.record_id, idempotency.c.version).where(
        idempotency.c.agency == bindparam("for_agency"),
        idempotency.c.method == bindparam("for_method"),
        idempotency.c.key == bindparam("for_key"),
    )
)
_PAST = Prepared(
    select(version.c.seq, version.c.mark_set, version.c.portion_mark_sets, version.c.payload).where(
        version.c.record_id == _wanted, version.c.version < bindparam("below")
    )
)
_REBIND = Prepared(
    update(version)
    .where(version.c.seq == bindparam("at"))
    .values(mark_set=bindparam("new_mark_set"), portion_mark_sets=bindparam("new_portions"))
)
_COUNT = upsert(mark_set_count)
_ADD_COUNT = Prepared(
    _COUNT.on_conflict_do_update(
        index_elements=["mark_set"], set_={"records": mark_set_count.c.records + _COUNT.excluded.records}
    )
)


class WriteTransaction:
    """What a write may do. Made by `Store.write` for one function, on the writer's thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._driver = driver_of(connection)
        self.changed = False

    @property
    def driver(self) -> Driver:
        """This transaction, for the store's functions on the registry (`enrolments`, `certificates`, `directory`)."""
        return self._driver

    def require_fresh(self, grant: Grant) -> None:
        """Raises StaleGrantError; call it before this transaction interns anything."""
        require_fresh(self._driver, grant)

    def require_current(self, grant: Grant) -> None:
        """For what has no marks: raises StaleGrantError where the directory has moved on."""
        require_current(self._driver, grant)

    def require_not_revoked(self, caller: Caller) -> None:
        """For what changes the registry: raises StaleGrantError where the caller was revoked on the way here."""
        require_not_revoked(self._driver, caller)

    def find(self, grant: Grant, record_id: str, *, agency: str) -> StoredVersion | None:
        """The latest version as far as the grant goes (`records.find`)."""
        return records.find(self._driver, grant, record_id, agency=agency)

    def facts(self, agency: str) -> AgencyFacts | None:
        """The agency's facts, as of this transaction."""
        return directory.facts(self._connection, agency)

    def load_directory(
        self,
        agencies: Iterable[Agency],
        agreements: Iterable[Agreement],
        appointments: Iterable[Appointment],
        documents: Mapping[str, str],
        time_us: int,
    ) -> int:
        """Replace what the operator's file says of the directory (`directory.load`)."""
        return directory.load(self._connection, agencies, agreements, appointments, documents, time_us)

    def intern(self, wanted: Iterable[MarkSet]) -> Mapping[MarkSet, int]:
        """The ids of mark sets, new ones included."""
        return mark_sets.intern(self._connection, wanted)

    def marks(self, numbers: Iterable[int]) -> Mapping[int, MarkSet]:
        """The mark sets with these ids."""
        return mark_sets.by_id(self._connection, numbers)

    def reference_holder(self, grant: Grant, originator: str, source: str, reference: str) -> tuple[bool, str]:
        """(taken?, the record that holds it if the grant shows it, else "") for one of the originator's references."""
        values = {"originator": originator, "source": source, "reference": reference}
        row = _HOLDER.first(self._driver, values)
        if row is None:
            return False, ""
        seen = self.find(grant, row[0], agency=originator)
        return True, "" if seen is None or seen.as_pointer else seen.record_id

    def recall(self, agency: str, method: str, key: str) -> Outcome | None:
        """What was answered under this key, or None."""
        values = {"for_agency": agency, "for_method": method, "for_key": key}
        row = _OUTCOME.first(self._driver, values)
        return None if row is None else Outcome(*row)

    def remember(self, agency: str, method: str, key: str, outcome: Outcome, time_us: int) -> None:
        """Keep the answer under its key."""
        _ADD_OUTCOME.run(
            self._driver,
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
        _ADD_VERSION.run(
            self._driver,
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
        _ADD_COUNT.run(self._driver, {"mark_set": new.mark_set, "records": 1})
        self.changed = True

    def rebind(self, record_id: str, below: int, decide: Rebind) -> None:
        """Give earlier versions other mark sets: `decide(mark set, portions' mark sets, payload)` returns the new ones.

        Nothing that is read here is returned: this is how a restriction reaches a record's past.
        """
        for seq, mark_set, portions, payload in _PAST.all(self._driver, {"wanted": record_id, "below": below}):
            before = mark_set, unpack(portions)
            after = decide(*before, payload)
            if after != before:
                values = {"at": seq, "new_mark_set": after[0], "new_portions": pack(after[1])}
                _REBIND.run(self._driver, values)

    def _add_change(self, new: NewVersion) -> int:
        row = _ADD_CHANGE.first(self._driver, {name: getattr(new, name) for name in _ADDED})
        assert row is not None
        return int(row[0])

    def _add_record(self, new: NewVersion, seq: int) -> None:
        _ADD_RECORD.run(
            self._driver,
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
        row = _NOW.first(self._driver, {"wanted": new.record_id})
        if row is None or row[2] != new.version - 1:
            raise ValueError("a version follows the latest one")
        old_seq, old_mark_set, _ = row
        for drop in (_DROP_VALUES, _DROP_WORDS, _DROP_BESIDE):
            drop.run(self._driver, {"old": old_seq})
        _DROP_REFERENCES.run(self._driver, {"wanted": new.record_id})
        _ADD_COUNT.run(self._driver, {"mark_set": old_mark_set, "records": -1})
        _MOVE.run(
            self._driver,
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
        """Index rows in the order of their tables' columns."""
        _ADD_VALUES.many(
            self._driver,
            [(v.kind, v.value, seq, v.field_class, v.portion, v.container) for v in dict.fromkeys(new.values)],
        )
        _ADD_WORDS.many(
            self._driver, [(w.word, seq, w.field_class, w.portion, w.container) for w in dict.fromkeys(new.words)]
        )
        _ADD_BESIDE.many(
            self._driver, [(b.term, seq, b.portion, b.container, b.pointed) for b in dict.fromkeys(new.beside)]
        )
        _ADD_REFERENCES.many(
            self._driver, [(new.originator, source, reference, new.record_id) for source, reference in new.references]
        )
