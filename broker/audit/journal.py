"""The journal: what makes an entry durable, before tiles exist for it.

A segment is a file `<first index, 20 digits>.wal` of frames, written once each and never changed:

    magic "EnF1" | u32 length of the payload | u32 CRC-32 of length and payload | payload
    payload: u64 first index | u32 count | count x (u16 length, leaf, u32 length, sealed) | checkpoint (signed note)

MUSTs (audit invariant 6):
1. A frame counts only if its CRC holds. CRC finds accidents; tampering is found by the signed checkpoint in the frame.
2. Only a torn tail is dropped: bytes after the last whole frame of the last segment, with no valid frame anywhere after
   them. A bad frame that any valid frame follows refuses to start: stopping there would lose acknowledged entries.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"EnF1"
_HEAD = struct.Struct(">4sII")
_START = struct.Struct(">QI")
_LENGTHS = struct.Struct(">H")
_SEALED = struct.Struct(">I")
SUFFIX = ".wal"


class DamagedLedgerError(Exception):
    """The ledger's files contradict themselves or the signed checkpoint: it does not start (audit invariant 6)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One committed group."""

    first: int
    leaves: tuple[bytes, ...]
    sealed: tuple[bytes, ...]
    checkpoint: bytes


def segment_path(directory: Path, first: int) -> Path:
    return directory / f"{first:020d}{SUFFIX}"


def segments(directory: Path) -> list[Path]:
    """Segments in the order of their first index."""
    return sorted(directory.glob(f"*{SUFFIX}"))


def first_index(segment: Path) -> int:
    """The first index that a segment may hold, from its name. Raises DamagedLedgerError."""
    if not segment.stem.isdigit():
        raise DamagedLedgerError(f"{segment.name} is not a segment")
    return int(segment.stem)


def encode(first: int, leaves: Sequence[bytes], sealed: Sequence[bytes], checkpoint: bytes) -> bytes:
    """A group -> one frame, to be written in one call."""
    parts = [_START.pack(first, len(leaves))]
    for leaf, part in zip(leaves, sealed, strict=True):
        parts += (_LENGTHS.pack(len(leaf)), leaf, _SEALED.pack(len(part)), part)
    parts.append(checkpoint)
    payload = b"".join(parts)
    return _HEAD.pack(MAGIC, len(payload), _crc(payload)) + payload


def _crc(payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(len(payload).to_bytes(4, "big")))


def _payload(raw: bytes, at: int) -> bytes | None:
    """The payload of a valid frame at this place, or None."""
    if at + _HEAD.size > len(raw):
        return None
    magic, length, crc = _HEAD.unpack_from(raw, at)
    payload = raw[at + _HEAD.size : at + _HEAD.size + length]
    if magic != MAGIC or len(payload) != length or _crc(payload) != crc:
        return None
    return payload


def _decode(payload: bytes) -> Frame:
    first, count = _START.unpack_from(payload, 0)
    at = _START.size
    leaves, sealed = [], []
    for _ in range(count):
        (size,) = _LENGTHS.unpack_from(payload, at)
        at += _LENGTHS.size
        leaves.append(payload[at : at + size])
        at += size
        (size,) = _SEALED.unpack_from(payload, at)
        at += _SEALED.size
        sealed.append(payload[at : at + size])
        at += size
    return Frame(first, tuple(leaves), tuple(sealed), payload[at:])


def read(segment: Path, *, is_last: bool) -> Iterator[Frame]:
    """The frames of a segment. A torn tail is dropped from the last one only. Raises DamagedLedgerError."""
    raw = segment.read_bytes()
    at = 0
    while at < len(raw):
        payload = _payload(raw, at)
        if payload is None:
            if not is_last or _valid_frame_after(raw, at):
                raise DamagedLedgerError(f"{segment.name}: a bad frame at byte {at} with frames after it")
            return
        try:
            yield _decode(payload)
        except struct.error as error:
            raise DamagedLedgerError(f"{segment.name}: the frame at byte {at} does not parse") from error
        at += _HEAD.size + len(payload)


def _valid_frame_after(raw: bytes, at: int) -> bool:
    found = raw.find(MAGIC, at + 1)
    while found >= 0:
        if _payload(raw, found) is not None:
            return True
        found = raw.find(MAGIC, found + 1)
    return False
