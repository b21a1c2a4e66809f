"""Agreements on file: those of the operator's file and those that two registrars let in, and which were withdrawn.

Guarantees: what was withdrawn counts for nobody from that transaction on, whatever the operator's file goes on naming,
and its id never comes back; it stays on file for those who may read it.
Does not: look at signatures, or decide who may conclude and withdraw; put a change into the journal
(`registry.add_change`).
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, or_, select

from broker.domain.agreement import AgreementOnFile, SignedAgreement, Withdrawal
from broker.domain.directory import Agreement
from broker.domain.enrolment import Person
from broker.store.prepared import Driver, Prepared
from broker.store.schema import agreement, agreement_withdrawal

_SETS = ("parties", "purposes", "record_types", "assurances", "legal_bases")
_TERMS = tuple(column for column in agreement.c if column.name not in ("document", "enrolled"))
_OF = agreement.outerjoin(agreement_withdrawal, agreement_withdrawal.c.agreement_id == agreement.c.agreement_id)
_STANDS = agreement_withdrawal.c.agreement_id.is_(None)
# Underscores stand for any character here, so this finds too many: whoever asks compares names.
_NAMES_PARTY = agreement.c.parties.like(bindparam("party_pattern"))
_IN_FORCE = select(*_TERMS).select_from(_OF).where(_STANDS, _NAMES_PARTY).order_by(agreement.c.agreement_id)
_LOADED = (
    select(*_TERMS, agreement.c.document).where(agreement.c.enrolled.is_(False)).order_by(agreement.c.agreement_id)
)
_ON_FILE = (
    *_TERMS,
    agreement.c.document,
    agreement.c.enrolled,
    agreement_withdrawal.c.agency,
    agreement_withdrawal.c.user,
    agreement_withdrawal.c.reason,
    agreement_withdrawal.c.time_us,
)
_FIND = Prepared(select(*_ON_FILE).select_from(_OF).where(agreement.c.agreement_id == bindparam("wanted")))
_KNOWN = Prepared(
    select(agreement.c.agreement_id)
    .where(agreement.c.agreement_id == bindparam("wanted"))
    .union(
        select(agreement_withdrawal.c.agreement_id).where(agreement_withdrawal.c.agreement_id == bindparam("wanted"))
    )
)
_PAGE = Prepared(
    select(*_ON_FILE)
    .select_from(_OF)
    .where(agreement.c.agreement_id > bindparam("after"), or_(bindparam("all_of_them"), _NAMES_PARTY))
    .order_by(agreement.c.agreement_id)
    .limit(bindparam("most"))
)
_ADD = Prepared(insert(agreement))
_WITHDRAW = Prepared(insert(agreement_withdrawal))


def loaded(connection: Connection) -> list[dict[str, object]]:
    """What the operator's file said when it was last loaded, in the form of rows."""
    return [dict(row._mapping) for row in connection.execute(_LOADED)]


def replace_loaded(connection: Connection, rows: list[dict[str, object]]) -> None:
    """Put the rows of the operator's file in place of its former ones, and of approved ones that it names too."""
    named = [row["agreement_id"] for row in rows]
    connection.execute(
        delete(agreement).where(or_(agreement.c.enrolled.is_(False), agreement.c.agreement_id.in_(named)))
    )
    if rows:
        connection.execute(insert(agreement), rows)


def of_party(connection: Connection, name: str) -> tuple[Agreement, ...]:
    """The agreements of an agency that were not withdrawn, whether in force or not, by their ids."""
    rows = connection.execute(_IN_FORCE, {"party_pattern": _pattern(name)})
    return tuple(one for one in map(_agreement, rows) if name in one.parties)


def is_known(driver: Driver, agreement_id: str) -> bool:
    """Whether an agreement has or had this id."""
    return _KNOWN.first(driver, {"wanted": agreement_id}) is not None


def add(driver: Driver, new: SignedAgreement) -> None:
    """Put an agreement that was approved on file. The caller has seen that its id is not known."""
    _ADD.run(driver, {**row_of(new.agreement, new.document), "enrolled": True})


def find(driver: Driver, agreement_id: str) -> AgreementOnFile | None:
    """An agreement by its id, or None."""
    row = _FIND.first(driver, {"wanted": agreement_id})
    return None if row is None else _on_file(row)


def page(driver: Driver, after: str, most: int, *, party: str) -> list[AgreementOnFile]:
    """Agreements whose ids sort above one; with `party`, only those of this agency."""
    found: list[AgreementOnFile] = []
    while len(found) < most:
        values = {"after": after, "most": most, "all_of_them": not party, "party_pattern": _pattern(party)}
        rows = [_on_file(row) for row in _PAGE.all(driver, values)]
        found += [one for one in rows if not party or party in one.signed.agreement.parties]
        if len(rows) < most:
            break
        after = rows[-1].signed.agreement.agreement_id
    return found[:most]


def withdraw(driver: Driver, agreement_id: str, withdrawal: Withdrawal) -> None:
    """It has ended. The caller has seen that it was not withdrawn before."""
    _WITHDRAW.run(
        driver,
        {
            "agreement_id": agreement_id,
            "agency": withdrawal.by.agency,
            "user": withdrawal.by.user,
            "reason": withdrawal.reason,
            "time_us": withdrawal.time_us,
        },
    )


def row_of(one: Agreement, document: str) -> dict[str, object]:
    """An agreement of the operator's file, as a row."""
    return {
        "agreement_id": one.agreement_id,
        **{name: json.dumps(sorted(getattr(one, name))) for name in _SETS},
        "ceiling": one.ceiling,
        "valid_from_us": one.valid_from_us,
        "valid_until_us": one.valid_until_us,
        "classes": json.dumps(sorted(one.classes)),
        "use": one.use,
        "onward": one.onward,
        "document": document,
    }


def _pattern(party: str) -> str:
    return f'%"{party}"%'


def _on_file(row: tuple[Any, ...]) -> AgreementOnFile:
    terms, (document, enrolled, agency, user, reason, time_us) = row[: len(_TERMS)], row[len(_TERMS) :]
    withdrawal = None if time_us is None else Withdrawal(Person(agency, user), time_us, reason)
    return AgreementOnFile(SignedAgreement(_agreement(terms), document), bool(enrolled), withdrawal)


def _agreement(row: Row[Any] | tuple[Any, ...]) -> Agreement:
    kept: dict[str, Any] = dict(zip((column.name for column in _TERMS), row, strict=True))
    kept |= {name: frozenset(json.loads(kept[name])) for name in _SETS}
    kept["classes"] = tuple((name, transform) for name, transform in json.loads(kept["classes"]))
    return Agreement(**kept)
