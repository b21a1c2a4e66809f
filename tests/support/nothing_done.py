"""A refusal that left nothing behind but its entry."""

from __future__ import annotations

from typing import Any

from certs.network import Party
from entente_sdk.advice import ADVICE
from tests.support.exchanges import (
    OFFICER,
    Refused,
    refusal,
)
from tests.support.house import House

SECRETS = (b"Courier movements", b"Ana ", b"PC Rowan Ash", b"S-1", b"+44770090")


async def nothing_done(
    place: House, path: str, request: Any, party: Party = OFFICER, **options: Any
) -> tuple[Refused, list[dict[str, Any]]]:
    """The refusal and its entries: on record once, nothing stored, nothing leaked, advice to follow."""
    stored, since = place.broker.store.newest_change(), len(place.broker.ledger)
    refused = await refusal(place, path, request, party, **options)
    entries = place.leaves(since)
    assert [entry["phase"] for entry in entries] in (["release"], ["intent", "release"])
    assert (entries[-1]["type"], entries[-1]["outcome"]) == ("denial", "denied")
    assert (entries[-1]["reason"], entries[-1]["status"]) == (refused.reason, refused.status.name)
    assert refused.receipt is not None
    assert place.broker.store.newest_change() == stored
    said = repr((refused.message, refused.error.trailing_metadata(), refused.error.initial_metadata())).encode()
    assert not [secret for secret in SECRETS if secret in said]
    assert len(refused.message) > 20
    assert ADVICE[refused.reason]
    return refused, entries
