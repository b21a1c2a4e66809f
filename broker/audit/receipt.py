"""The receipt's bytes: appended to a response, or put into a refusal's details.

`entente.common.v1.Receipt { bytes leaf = 1; bytes salt = 2; string proof = 3; }`, written by hand: a response is
already serialised and hashed when its receipt is known, and must not be parsed again. Appending a field to serialised
protobuf is the same as setting it (protobuf encoding: fields may be concatenated).
"""

from __future__ import annotations

from broker.audit.entry import Encoded
from broker.audit.writer import Appended
from entente_tlog import proof as proofs

_LEAF, _SALT, _PROOF = b"\x0a", b"\x12", b"\x1a"  # fields 1, 2, 3, length-delimited
_RECEIPT = b"\x7a"  # field 15, length-delimited


def _length(size: int) -> bytes:
    out = bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)


def receipt_message(encoded: Encoded, appended: Appended) -> bytes:
    """The Receipt message (for a refusal's details)."""
    proof = proofs.encode(appended.index, appended.proof, appended.checkpoint)
    leaf, salt = encoded.leaf, encoded.salt
    return b"".join(
        (_LEAF, _length(len(leaf)), leaf, _SALT, _length(len(salt)), salt, _PROOF, _length(len(proof)), proof)
    )


def receipt_field(encoded: Encoded, appended: Appended) -> bytes:
    """Field 15, to be appended to the response's bytes: `wire = response + receipt_field(...)`."""
    message = receipt_message(encoded, appended)
    return b"".join((_RECEIPT, _length(len(message)), message))
