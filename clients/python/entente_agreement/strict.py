"""JSON from a stranger, read strictly: no duplicate member, no number but whole ones, nothing deep or large."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import NoReturn

from entente_agreement.errors import AgreementError

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_LARGEST_INTEGER = 2**53 - 1


def read_object(content: bytes, what: str, *, largest: int, most_containers: int) -> dict[str, object]:
    """A JSON object (RFC 8259). Raises AgreementError at `what`."""
    if len(content) > largest:
        raise AgreementError(what, f"it is larger than {largest} bytes")
    # Counted before parsing: the parser recurses.
    if content.count(b"{") + content.count(b"[") > most_containers:
        raise AgreementError(what, "it holds too many objects and lists")
    try:
        found = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_bounded,
            parse_float=_refuse,
            parse_constant=_refuse,
        )
    except ValueError as error:
        raise AgreementError(what, f"it is not well-formed JSON: {error}") from None
    if not isinstance(found, dict):
        raise AgreementError(what, "it must be a JSON object")
    return found


def decode(segment: object, what: str) -> bytes:
    """Canonical base64url without padding (RFC 7515 section 2). Raises AgreementError for any other spelling."""
    if not isinstance(segment, str) or not _SEGMENT.fullmatch(segment):
        raise AgreementError(what, "it must be base64url without padding")
    try:
        content = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise AgreementError(what, "it must be base64url without padding") from None
    if encode(content) != segment:
        raise AgreementError(what, "its base64url has stray bits")
    return content


def encode(content: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member comes twice")
    return members


def _bounded(digits: str) -> int:
    # The length first: converting a long run of digits takes quadratic time.
    if len(digits) > 17 or abs(int(digits)) > _LARGEST_INTEGER:
        raise ValueError("an integer is out of range")
    return int(digits)


def _refuse(_: str) -> NoReturn:
    raise ValueError("numbers must be integers")
