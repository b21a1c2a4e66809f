"""Rule 9 of the pipeline: every answer, batch and refusal is proven to be on the ledger."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from entente_tlog.errors import ReceiptError
from entente_tlog.receipt import verify_receipt
from entente_tlog.tiles import MAX_ENTRY_BYTES
from tests.support.exchanges import (
    CATALOGUE,
    GET,
    NATIONAL,
    OFFICER,
    SEARCH,
    Follower,
    ask,
    getting,
    keys_of,
    refusal,
    rehoused,
    searching,
)
from tests.support.house import submitted


async def test_a_receipt_fits_this_request_and_this_answer_alone(tmp_path: Path) -> None:
    """pipeline rule 9: any changed byte of the answer, another request, and an answer without receipt are refused."""
    async with rehoused(tmp_path / "network") as place:
        target = await submitted(place, OFFICER)
        found = await ask(place, GET, getting(target.record_id))
        keys = keys_of(place)
        for position in range(len(found.raw)):
            tampered = bytearray(found.raw)
            tampered[position] ^= 1 << position % 8
            with pytest.raises(ReceiptError):
                verify_receipt(request=found.request, response=bytes(tampered), keys=keys)
        with pytest.raises(ReceiptError):
            verify_receipt(request=found.request + b"\0", response=found.raw, keys=keys)
        with pytest.raises(ReceiptError):
            verify_receipt(request=found.request, response=found.receipt.response, keys=keys)
        with pytest.raises(ReceiptError):
            verify_receipt(
                request=found.request, response=found.raw + found.raw[len(found.receipt.response) :], keys=keys
            )


async def test_batches_and_refusals_bear_receipts(tmp_path: Path) -> None:
    """pipeline rule 9: streamed or refused, the leaf is the ledger's own, at the index that the proof names."""
    async with rehoused(tmp_path / "network") as place:
        await submitted(place, OFFICER)
        async with Follower(place) as follower:
            batch = await follower.batch()
        refused = await refusal(place, GET, getting("0" * 32))
        unread = await refusal(place, GET, getting("0" * 32), metadata=())
        assert refused.receipt is not None
        assert unread.receipt is not None
        assert "request_hash" not in unread.receipt.leaf
        for receipt in (batch.receipt, refused.receipt, unread.receipt):
            assert place.broker.ledger.entry(receipt.index) == receipt.leaf_bytes


async def test_a_page_of_a_hundred_fits_into_its_leaf(tmp_path: Path) -> None:
    """pipeline rule 9: disclosures are grouped by plan, so that a page stays far below the leaf's 65,535 bytes."""
    async with rehoused(tmp_path / "network") as place:
        await asyncio.gather(*(submitted(place, OFFICER, number) for number in range(100)))
        page = await ask(place, SEARCH, searching(page_size=100), NATIONAL)
        assert len(page.message.reports) == 100
        assert len(page.receipt.leaf_bytes) < MAX_ENTRY_BYTES // 4
        assert sum(len(group["records"]) for group in page.receipt.leaf["disclosures"]) == 100


def test_the_receipt_is_the_last_field_of_every_response() -> None:
    """pipeline rule 9: number 15, of one type, and no top-level field above 14 beside it."""
    for rule in CATALOGUE:
        numbers = {field.number: field for field in rule.response_type.DESCRIPTOR.fields}
        assert max(numbers) == 15
        assert numbers[15].message_type.full_name == "entente.common.v1.Receipt"
