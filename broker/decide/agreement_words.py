"""What an agreement may say: policy's own words and tables, gathered for whoever reads agreements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from broker.decide.bundle import PolicyBundle
from broker.decide.ceiling import OWNER_CLASSES
from broker.decide.vocabulary import CLASS_TRANSFORMS, CLEARANCES, DECIDED_CLASSES, PURPOSES, USE_LIMITS, names
from entente.common.v1 import exchange_pb2
from entente.directory.v1 import agreement_pb2
from entente_agreement import Words


def agreement_words(bundle: PolicyBundle, record_types: Iterable[str]) -> Words:
    """The words under these policies."""
    table: dict[str, dict[str, Any]] = orjson.loads(bundle.data)["purposes"]
    purposes = {name: said for name, said in table.items() if name in PURPOSES and said.get("operational") is True}
    return Words(
        purposes=frozenset(purposes),
        court_purposes=frozenset(name for name, said in purposes.items() if said.get("court") is not False),
        classes=frozenset(DECIDED_CLASSES),
        owner_classes=OWNER_CLASSES,
        legal_bases=bundle.legal_bases,
        record_types=frozenset(record_types),
        transforms=frozenset(CLASS_TRANSFORMS),
        classifications=CLEARANCES,
        uses=USE_LIMITS,
        onwards=frozenset(names(exchange_pb2.OnwardSharing)),
        assurances=frozenset(names(agreement_pb2.Assurance)),
    )
