"""The registry's journal and what is revoked: what every worker watches.

Guarantees: a change of the registry and its row in the journal are one transaction, so that whoever has seen the
revision sees the change.
"""

from __future__ import annotations

from sqlalchemy import bindparam, func, insert, select

from broker.domain import standing
from broker.domain.issuer import RegisteredIssuer
from broker.domain.standing import Revoked
from broker.store.prepared import Driver, Prepared
from broker.store.schema import issuer, registry_change, revocation

_REVISION = Prepared(select(func.coalesce(func.max(registry_change.c.seq), 0)))
_REVOKED = Prepared(select(revocation.c.kind, revocation.c.subject).where(revocation.c.lifted_us.is_(None)))
_ISSUERS = Prepared(select(issuer.c.url, issuer.c.agency, issuer.c.jwks, issuer.c.jwks_uri).order_by(issuer.c.url))
_NAMES = ("exchange_id", "kind", "subject", "time_us")
_ADD = Prepared(
    insert(registry_change).values({name: bindparam(name) for name in _NAMES}).returning(registry_change.c.seq)
)
_BY_EXCHANGE = Prepared(
    select(registry_change.c.seq).where(registry_change.c.exchange_id == bindparam("exchange")).limit(1)
)

# Between the parts of a subject with two: no agency, issuer or user holds it (identify refuses control characters).
SEPARATOR = "\x1f"


def revision(driver: Driver) -> int:
    """The number of the newest change of the registry; 0 when there was none."""
    row = _REVISION.first(driver, {})
    return 0 if row is None else int(row[0])


def add_change(driver: Driver, exchange_id: str, kind: str, subject: str, time_us: int) -> int:
    """Put a change into the journal; its number. Within a write's transaction, with the change itself."""
    row = _ADD.first(driver, {"exchange_id": exchange_id, "kind": kind, "subject": subject, "time_us": time_us})
    assert row is not None
    return int(row[0])


def was_done(driver: Driver, exchange_id: str) -> bool:
    """Whether this exchange changed the registry: for recovery."""
    return _BY_EXCHANGE.first(driver, {"exchange": exchange_id}) is not None


def revoked(driver: Driver) -> Revoked:
    """All that is revoked, as of this transaction."""
    found: dict[str, set[str]] = {}
    for kind, subject in _REVOKED.all(driver, {}):
        found.setdefault(kind, set()).add(subject)
    return Revoked(
        revision=revision(driver),
        certificates=frozenset(bytes.fromhex(subject) for subject in found.get(standing.CERTIFICATE, ())),
        users=frozenset(_person(subject) for subject in found.get(standing.USER, ())),
        tokens=frozenset(_pair(subject) for subject in found.get(standing.TOKEN, ())),
        issuers=frozenset(found.get(standing.ISSUER, ())),
        agencies=frozenset(found.get(standing.AGENCY, ())),
    )


def issuers(driver: Driver) -> list[RegisteredIssuer]:
    """The issuers that were registered by an approved proposal, by URL."""
    return [RegisteredIssuer(*row) for row in _ISSUERS.all(driver, {})]


def _person(subject: str) -> tuple[str, str]:
    agency, user = _pair(subject)
    return agency, standing.folded(user)


def _pair(subject: str) -> tuple[str, str]:
    first, _, second = subject.partition(SEPARATOR)
    return first, second
