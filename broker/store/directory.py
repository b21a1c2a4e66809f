"""The directory: agencies and agreements, replaced as a whole, with a revision that grows with each change."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from broker.domain.directory import Agency, AgencyFacts, Agreement
from broker.store.schema import agency, agreement, directory_revision

_REVISION = select(directory_revision.c.revision)
_BUMP = update(directory_revision).values(revision=directory_revision.c.revision + 1)
_ONE = select(agency).where(agency.c.name == bindparam("wanted"))
_ALL = select(agency).order_by(agency.c.name)
_PAGE = _ALL.where(agency.c.name > bindparam("after")).limit(bindparam("most"))
_AGREEMENTS = select(agreement).order_by(agreement.c.agreement_id)


def revision(connection: Connection) -> int:
    """The directory's revision: 0 before anything was loaded."""
    number: int = connection.execute(_REVISION).scalar_one()
    return number


def load(connection: Connection, agencies: Iterable[Agency], agreements: Iterable[Agreement]) -> int:
    """Replace the directory's content; returns its revision, which is a new one only if the content differs."""
    wanted_agencies = sorted((_agency_row(one) for one in agencies), key=lambda row: str(row["name"]))
    wanted_agreements = sorted((_agreement_row(one) for one in agreements), key=lambda row: str(row["agreement_id"]))
    now_agencies = [dict(row._mapping) for row in connection.execute(_ALL)]
    now_agreements = [dict(row._mapping) for row in connection.execute(_AGREEMENTS)]
    if (now_agencies, now_agreements) != (wanted_agencies, wanted_agreements):
        connection.execute(delete(agreement))
        connection.execute(delete(agency))
        if wanted_agencies:
            connection.execute(insert(agency), wanted_agencies)
        if wanted_agreements:
            connection.execute(insert(agreement), wanted_agreements)
        connection.execute(_BUMP)
    return revision(connection)


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
    ours = tuple(a for a in map(_agreement, connection.execute(_AGREEMENTS)) if name in a.parties)
    return AgencyFacts(found, ours, revision(connection))


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


def _agreement_row(one: Agreement) -> dict[str, object]:
    return {
        "agreement_id": one.agreement_id,
        "parties": json.dumps(sorted(one.parties)),
        "purposes": json.dumps(sorted(one.purposes)),
        "ceiling": one.ceiling,
        "valid_from_us": one.valid_from_us,
        "valid_until_us": one.valid_until_us,
    }


def _agreement(row: Row[tuple[str, ...]]) -> Agreement:
    return Agreement(
        row.agreement_id,
        _names(row.parties),
        _names(row.purposes),
        row.ceiling,
        row.valid_from_us,
        row.valid_until_us,
    )


def _names(text: str) -> frozenset[str]:
    return frozenset(json.loads(text))
