"""The strict reader that stands before the JWT library: bytes in, plain members out, or a refusal.

A token MUST:

 1. be at most 8 KiB of ASCII;
 2. be exactly three segments of base64url, not empty, without padding, whitespace or stray bits (RFC 7515 section 2);
 3. hold UTF-8 JSON objects in its first two segments (RFC 8259), without a byte order mark;
 4. have no duplicate member at any depth, nest at most 8 deep, and hold at most 64 objects and arrays;
 5. hold only integers below 2^53 as numbers, and strings of at most 512 characters without control characters, lone
    surrogates, non-characters, or what is not seen but breaks or turns a line or makes two names look alike (line
    separators, direction marks and overrides, zero-width spaces);
 6. have exactly the header members `alg`, `typ`, `kid`, all strings: `jku`, `x5u`, `jwk`, `x5c`, `crit` name a key or a
    meaning that the sender chose (RFC 8725 section 3.10);
 7. have `typ` "at+jwt" (RFC 9068 section 2.1), so that an identity token cannot be used as an access token.

The same reader loads issuers' key files (`read_object`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import NoReturn

from broker.domain.errors import IdentityError

LARGEST_TOKEN = 8 * 1024
DEEPEST_NESTING = 8
MOST_CONTAINERS = 64
LONGEST_STRING = 512
LARGEST_INTEGER = 2**53 - 1
ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)
HEADER_MEMBERS = {"alg", "typ", "kid"}


@dataclass(frozen=True, slots=True)
class CompactToken:
    """A token's parts as read, before any signature was checked."""

    algorithm: str
    key_id: str
    claims: dict[str, object]
    payload: bytes


def read_token(token: str) -> CompactToken:
    """Reads the compact form by the rules above. Raises IdentityError (TOKEN_MALFORMED)."""
    try:
        return _read_token(token)
    except ValueError as error:
        raise IdentityError(
            "TOKEN_MALFORMED",
            "The bearer token is not a well-formed access token (RFC 9068). Ask your issuer for a new one.",
            detail=str(error)[:200],
        ) from error


def read_object(
    content: bytes, *, most_containers: int = MOST_CONTAINERS, longest_string: int = LONGEST_STRING
) -> dict[str, object]:
    """A strict JSON object (rules 3 to 5). Raises ValueError."""
    # Counted before parsing: the parser recurses, and 100,000 brackets would be 100,000 frames.
    if content.count(b"{") + content.count(b"[") > most_containers:
        raise ValueError("too many objects and arrays")
    members = json.loads(
        content.decode("utf-8", errors="strict"),
        object_pairs_hook=_unique_members,
        parse_int=_bounded_integer,
        parse_float=_refuse_number,
        parse_constant=_refuse_number,
    )
    if not isinstance(members, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one error for all bad input
    _check_values(members, 1, longest_string)
    return members


def decode_segment(segment: str) -> bytes:
    """Canonical base64url without padding. Raises ValueError for any other spelling of the same bytes."""
    if not _SEGMENT.fullmatch(segment):
        raise ValueError("not base64url")
    try:
        content = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    if base64.urlsafe_b64encode(content).rstrip(b"=").decode() != segment:
        raise ValueError("not canonical base64url")
    return content


def read_segments(token: str) -> tuple[bytes, bytes, bytes]:
    """Header, payload and signature (rules 1 and 2). Raises ValueError."""
    if len(token) > LARGEST_TOKEN:
        raise ValueError("larger than 8 KiB")
    segments = token.split(".")
    if len(segments) != 3:
        raise ValueError("not three segments")
    header, payload, signature = (decode_segment(segment) for segment in segments)
    return header, payload, signature


def _read_token(token: str) -> CompactToken:
    header_bytes, payload, _ = read_segments(token)
    header = read_object(header_bytes)
    if set(header) != HEADER_MEMBERS:
        raise ValueError("the header must have alg, typ and kid, and nothing else")
    algorithm, token_type, key_id = header["alg"], header["typ"], header["kid"]
    if not isinstance(algorithm, str) or not isinstance(key_id, str) or token_type != ACCESS_TOKEN_TYPE:
        raise ValueError("a header member has the wrong type, or typ is not at+jwt")
    return CompactToken(algorithm, key_id, read_object(payload), payload)


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate members")
    return members


def _bounded_integer(digits: str) -> int:
    # The length first: converting a long run of digits takes quadratic time.
    if len(digits) > 17 or abs(int(digits)) > LARGEST_INTEGER:
        raise ValueError("an integer is out of range")
    return int(digits)


def _refuse_number(text: str) -> NoReturn:
    raise ValueError("numbers must be integers")


def _check_values(value: object, depth: int, longest: int) -> None:
    if depth > DEEPEST_NESTING:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        if len(value) > longest or _FORBIDDEN.search(value):
            raise ValueError("a string is too long or holds a forbidden character")
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_values(name, depth, longest)
            _check_values(member, depth + 1, longest)
    elif isinstance(value, list):
        for member in value:
            _check_values(member, depth + 1, longest)
