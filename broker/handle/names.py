"""Policy's and the ledger's names as the wire's enums. A name that the wire does not know is UNSPECIFIED."""

from __future__ import annotations

from entente.common.v1 import exchange_pb2


def reason(name: str) -> exchange_pb2.WithheldReason.ValueType:
    """Why something is withheld, by its name without prefix."""
    return dict(exchange_pb2.WithheldReason.items()).get(
        f"WITHHELD_REASON_{name}", exchange_pb2.WITHHELD_REASON_UNSPECIFIED
    )


def purpose(name: str) -> exchange_pb2.Purpose.ValueType:
    """A purpose, by its name without prefix."""
    return dict(exchange_pb2.Purpose.items()).get(f"PURPOSE_{name}", exchange_pb2.PURPOSE_UNSPECIFIED)
