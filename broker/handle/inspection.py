"""Who sees the whole ledger: an inspector of an agency whose inspectors do.

Of a role that counts by appointment the grant holds what counts. Which agencies inspect, the directory says; an issuer
never does.
"""

from __future__ import annotations

from broker.domain.answer import Call
from broker.store.store import Store

INSPECTOR = "inspector"


def inspects(store: Store, call: Call) -> bool:
    """Whether this call's person does."""
    agency = store.agency(str(call.caller.agency))
    return INSPECTOR in call.grant.roles and agency is not None and agency.inspectorate
