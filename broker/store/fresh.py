"""The lock on every read: a grant opens records only while what it was decided on still holds.

MUST be tested in the transaction that reads the rows: asked for in another one, a revoked grant leaks in between.
"""

from __future__ import annotations

from sqlalchemy import func, select

from broker.domain.caller import Caller
from broker.domain.grant import Grant, StaleGrantError
from broker.store import policies, registry
from broker.store.prepared import Driver, Prepared
from broker.store.schema import directory_revision, mark_set

# What a grant was decided on: (the directory's revision, the policy's epoch, the highest mark-set id).
STATE = (
    select(directory_revision.c.revision).scalar_subquery().label("revision"),
    policies.EPOCH.label("epoch"),
    select(func.coalesce(func.max(mark_set.c.id), 0)).scalar_subquery().label("highest"),
)
_STATE = Prepared(select(*STATE))


def require_fresh(driver: Driver, grant: Grant) -> None:
    """Raises StaleGrantError unless directory, policy and mark sets are those that the grant was decided on."""
    row = _STATE.first(driver, {})
    if row is None or not is_fresh(grant, *row):
        raise StaleGrantError


def require_not_revoked(driver: Driver, caller: Caller) -> None:
    """For what changes the registry. Raises StaleGrantError where the caller was revoked on the way here: whoever asks
    again is told how."""
    if registry.revoked(driver).holds(caller):
        raise StaleGrantError


def require_current(driver: Driver, grant: Grant) -> None:
    """For what rests on no mark set: who holds an office, above all. Raises StaleGrantError unless directory and policy
    are those that the grant was decided on."""
    row = _STATE.first(driver, {})
    if row is None or row[:2] != (grant.data_revision, grant.policy_epoch):
        raise StaleGrantError


def is_fresh(grant: Grant, revision: int, epoch: int, highest: int) -> bool:
    """Whether the state that was read with the rows is the one that the grant was decided on."""
    return (revision, epoch, highest) == (grant.data_revision, grant.policy_epoch, grant.watermark)
