"""Evaluates both entry points once, for a caller with nothing, before an engine counts as started.

Guarantees: an engine that passed knows every entry point and answers in the agreed shape, and a caller without
roles, clearance, purposes or agreements is granted nothing on either.
"""

from __future__ import annotations

import orjson

from broker.decide.answers import AnswerReader, malformed
from broker.decide.bundle import PolicyBundle
from broker.decide.engine import PolicyEngine
from broker.decide.trees import holds
from broker.decide.vocabulary import DECIDED_CLASSES, UNSPECIFIED
from broker.domain.marks import MarkSet

_NOBODY = {"country": UNSPECIFIED, "level": UNSPECIFIED, "name": "probe/nobody", "trust_domain": "probe"}
_METHOD = {"agency": _NOBODY, "exempt": False, "permission": "REPORT_READ", "purpose": UNSPECIFIED, "purposes": []}
_GRANT = {
    "agency": _NOBODY | {"compartments": []},
    "agreements": [],
    "authorised": False,
    "case_stated": False,
    "clearance": UNSPECIFIED,
    "legal_basis": UNSPECIFIED,
    "nationalities": [],
    "purpose": UNSPECIFIED,
    "roles": [],
}
_OPEN = MarkSet("report", "probe/somebody", "OFFICIAL", handling_code="P", tlp="CLEAR")


async def probe(engine: PolicyEngine, bundle: PolicyBundle) -> None:
    """Raises UnavailableError when an entry point does not answer, or answers what it must not."""
    reader = AnswerReader(bundle.rules, DECIDED_CLASSES)
    method = reader.method((await engine.method(_json(_METHOD | {"roles": []}))).document)
    grant = reader.grant((await engine.grant(_json(_GRANT))).document)
    if method.allow or holds(grant.rows, _OPEN):
        raise malformed("the policy grants something to a caller who has nothing")


def _json(document: dict[str, object]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
