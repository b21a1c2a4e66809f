"""The directory: agencies, agreements and appointments, with a revision that grows with each change.

Guarantees: the operator's file is replaced as a whole; what came by an approved proposal (`enrolled`) stays, unless the
file names the same thing: then the file is right. A change of either kind is in the registry's journal, so that every
worker learns of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from sqlalchemy import (
    Connection,
    Delete,
    Row,
    Table,
    and_,
    bindparam,
    delete,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from broker.domain.directory import Agency, AgencyFacts, Agreement, Appointment
from broker.store import agreements as agreements_on_file
from broker.store import registry
from broker.store.prepared import Driver, Prepared, driver_of
from broker.store.schema import agency, appointment, directory_revision

# The kind of the journal's row for a changed file; it belongs to no exchange.
DIRECTORY_FILE = "DIRECTORY_FILE"

_REVISION = select(directory_revision.c.revision)
_BUMP = Prepared(update(directory_revision).values(revision=directory_revision.c.revision + 1))
_ONE = select(agency).where(agency.c.name == bindparam("wanted"))
_ALL = select(agency).order_by(agency.c.name)
_PAGE = _ALL.where(agency.c.name > bindparam("after")).limit(bindparam("most"))
_LOADED_AGENCIES = _ALL.where(agency.c.enrolled.is_(False))
_APPOINTMENTS = select(appointment).where(appointment.c.agency == bindparam("wanted"))
_LOADED_APPOINTMENTS = (
    select(appointment)
    .where(appointment.c.enrolled.is_(False))
    .order_by(appointment.c.agency, appointment.c.user, appointment.c.role)
)

_EXISTS = Prepared(select(agency.c.name).where(agency.c.name == bindparam("wanted")))
_ADD_AGENCY = Prepared(insert(agency))
_IS = and_(*(appointment.c[name] == bindparam(name) for name in ("agency", "user", "role")))
_APPOINTED = Prepared(select(appointment.c.enrolled).where(_IS))
_APPOINT = Prepared(insert(appointment))
_DISMISS_ALL = Prepared(
    delete(appointment).where(appointment.c.agency == bindparam("of_agency"), appointment.c.enrolled.is_(True))
)
_DISMISS = Prepared(delete(appointment).where(_IS, appointment.c.enrolled.is_(True)))


def revision(connection: Connection) -> int:
    """The directory's revision: 0 before anything was loaded."""
    number: int = connection.execute(_REVISION).scalar_one()
    return number


def load(
    connection: Connection,
    agencies: Iterable[Agency],
    agreements: Iterable[Agreement],
    appointments: Iterable[Appointment] = (),
    documents: Mapping[str, str] | None = None,
    time_us: int = 0,
) -> int:
    """Replace what the operator's file says; returns the revision, which is a new one only if something differs.

    `documents`: agreement id -> what its parties signed.
    """
    signed = documents or {}
    wanted = (
        sorted((_agency_row(one) for one in agencies), key=lambda row: str(row["name"])),
        sorted((_appointment_row(one) for one in appointments), key=lambda row: tuple(map(str, row.values()))),
    )
    agreed = sorted(
        (agreements_on_file.row_of(one, signed.get(one.agreement_id, "")) for one in agreements),
        key=lambda row: str(row["agreement_id"]),
    )
    if _loaded(connection) != wanted or agreements_on_file.loaded(connection) != agreed:
        for table, rows in zip((agency, appointment), wanted, strict=True):
            connection.execute(_drop(table, rows))
            if rows:
                connection.execute(insert(table), rows)
        agreements_on_file.replace_loaded(connection, agreed)
        driver = driver_of(connection)
        changed(driver)
        registry.add_change(driver, "", DIRECTORY_FILE, "", time_us)
    return revision(connection)


def changed(driver: Driver) -> None:
    """The next revision: every grant that was decided on the former one is stale."""
    _BUMP.run(driver, {})


def exists(driver: Driver, name: str) -> bool:
    """Whether an agency is in the directory."""
    return _EXISTS.first(driver, {"wanted": name}) is not None


def add_agency(driver: Driver, new: Agency) -> None:
    """Put an agency that was approved into the directory. The caller has seen that there is none of its name; nobody
    whom one of that name once appointed comes back with it."""
    _DISMISS_ALL.run(driver, {"of_agency": new.name})
    _ADD_AGENCY.run(driver, {**_agency_row(new), "enrolled": True})
    changed(driver)


def appointed(driver: Driver, one: Appointment) -> str:
    """How an appointment came: `ENROLLED`, `FILE`, or empty: there is none."""
    found = _APPOINTED.first(driver, _appointment_row(one))
    return "" if found is None else "ENROLLED" if found[0] else "FILE"


def appoint(driver: Driver, new: Appointment) -> None:
    """Put an appointment that was approved into the directory. The caller has seen that it is not there yet."""
    _APPOINT.run(driver, {**_appointment_row(new), "enrolled": True})
    changed(driver)


def dismiss(driver: Driver, old: Appointment) -> None:
    """Take an appointment out that came by approval; one of the operator's file ends there."""
    _DISMISS.run(driver, _appointment_row(old))
    changed(driver)


def find(connection: Connection, name: str) -> Agency | None:
    """An agency by its name."""
    row = connection.execute(_ONE, {"wanted": name}).first()
    return None if row is None else _agency(row)


def page(connection: Connection, after: str, most: int) -> list[Agency]:
    """At most so many agencies whose names sort above one."""
    return [_agency(row) for row in connection.execute(_PAGE, {"after": after, "most": most})]


def facts(connection: Connection, name: str) -> AgencyFacts | None:
    """An agency, its agreements and the revision, as of one moment."""
    found = find(connection, name)
    if found is None:
        return None
    ours = agreements_on_file.of_party(connection, name)
    held = frozenset((row.user, row.role) for row in connection.execute(_APPOINTMENTS, {"wanted": name}))
    return AgencyFacts(found, ours, revision(connection), held)


def _loaded(connection: Connection) -> tuple[list[dict[str, object]], ...]:
    """What the file said when it was last loaded, in the form of rows."""
    return tuple(
        [
            {name: value for name, value in row._mapping.items() if name != "enrolled"}
            for row in connection.execute(rows)
        ]
        for rows in (_LOADED_AGENCIES, _LOADED_APPOINTMENTS)
    )


def _drop(table: Table, wanted: list[dict[str, object]]) -> Delete:
    """All rows of the file, and those enrolled ones that the file now names."""
    keys = tuple(column.name for column in table.primary_key)
    named = [tuple(str(row[key]) for key in keys) for row in wanted]
    same = tuple_(*(table.c[key] for key in keys)).in_(named) if len(keys) > 1 else table.c[keys[0]].in_(sum(named, ()))
    return delete(table).where(or_(table.c.enrolled.is_(False), same))


def _appointment_row(one: Appointment) -> dict[str, object]:
    return {"agency": one.agency, "user": one.user, "role": one.role}


def _agency_row(one: Agency) -> dict[str, object]:
    return {
        "name": one.name,
        "display_name": one.display_name,
        "country": one.country,
        "level": one.level,
        "parent": one.parent,
        "contact": one.contact,
        "compartments": json.dumps(sorted(one.compartments)),
        "inspectorate": one.inspectorate,
    }


def _agency(row: Row[tuple[str, ...]]) -> Agency:
    return Agency(
        row.name,
        row.display_name,
        row.country,
        row.level,
        row.parent,
        row.contact,
        _names(row.compartments),
        row.inspectorate,
    )


def _names(text: str) -> frozenset[str]:
    return frozenset(json.loads(text))
