"""What an access token says: each claim's presence, type and bounds.

A token MUST have `iss`, `sub`, `aud`, `iat`, `exp`, `jti`, `cnf`, `roles`, `clearance`, `nationalities` and `purposes`
(a list may be empty; absent is not empty, it is an issuer that was set up wrongly). It may have `nbf` (RFC 9068 does
not ask for it; absent, the token begins at `iat`), `act` and `client_id`. Other claims are read by the strict reader
and otherwise ignored: every identity provider adds its own, and none of them says which organisation calls.

- `aud` is one string, or a list of exactly one: a token for two audiences could be replayed by one against the other.
- `cnf` has exactly the member `x5t#S256`, 32 bytes in base64url (RFC 8705 section 3.1).
- `act` nests at most 3 deep, each with `sub`, and with `iss` only where it is the token's own (RFC 8693 section 4.1).
  Without `act` the user is `sub`; with it the user is the outermost actor, who acts for the next inner one, and so on,
  and at last for `sub`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broker.identify.compact import LARGEST_INTEGER, decode_segment

MOST_LIST_ENTRIES = 32
LONGEST_NAME = 255
LONGEST_LIST_ENTRY = 128
DEEPEST_ACT = 3
THUMBPRINT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Claims:
    """A token's claims, typed. Times in epoch seconds. `on_behalf_of` runs from the nearest to `sub`."""

    issuer: str
    audience: str
    user: str
    on_behalf_of: tuple[str, ...]
    issued_at: int
    not_before: int
    expires_at: int
    token_id: str
    thumbprint: bytes
    roles: frozenset[str]
    clearance: str
    nationalities: frozenset[str]
    purposes: frozenset[str]
    client: str


def read_claims(members: Mapping[str, object]) -> Claims:
    """The claims by the rules above. Raises ValueError naming the claim, never its value."""
    issuer = _string(members, "iss")
    actors = _actors(members.get("act"), issuer) if "act" in members else ()
    people = (*actors, _string(members, "sub"))
    issued_at = _seconds(members, "iat")
    return Claims(
        issuer=issuer,
        audience=_audience(members),
        user=people[0],
        on_behalf_of=people[1:],
        issued_at=issued_at,
        not_before=_seconds(members, "nbf") if "nbf" in members else issued_at,
        expires_at=_seconds(members, "exp"),
        token_id=_string(members, "jti"),
        thumbprint=_thumbprint(members),
        roles=_strings(members, "roles"),
        clearance=_string(members, "clearance"),
        nationalities=_strings(members, "nationalities"),
        purposes=_strings(members, "purposes"),
        client=_string(members, "client_id") if "client_id" in members else "",
    )


def _string(members: Mapping[str, object], name: str, longest: int = LONGEST_NAME) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest or value != value.strip():
        raise ValueError(f"{name} must be a string of 1 to {longest} characters, without spaces around it")
    return value


def _strings(members: Mapping[str, object], name: str) -> frozenset[str]:
    values = members.get(name)
    if not isinstance(values, list) or len(values) > MOST_LIST_ENTRIES:
        raise ValueError(f"{name} must be a list of at most {MOST_LIST_ENTRIES} strings")
    distinct = frozenset(_string({name: value}, name, LONGEST_LIST_ENTRY) for value in values)
    if len(distinct) != len(values):
        raise ValueError(f"{name} must not repeat an entry")
    return distinct


def _seconds(members: Mapping[str, object], name: str) -> int:
    value = members.get(name)
    # `type`, because True is an int to isinstance.
    if type(value) is not int or not 0 < value <= LARGEST_INTEGER:
        raise ValueError(f"{name} must be a whole number of seconds since the epoch")
    return value


def _audience(members: Mapping[str, object]) -> str:
    value = members.get("aud")
    if isinstance(value, list):
        if len(value) != 1:
            raise ValueError("aud must name exactly one audience")
        value = value[0]
    return _string({"aud": value}, "aud")


def _thumbprint(members: Mapping[str, object]) -> bytes:
    confirmation = members.get("cnf")
    if not isinstance(confirmation, dict) or set(confirmation) != {"x5t#S256"}:
        raise ValueError("cnf must hold x5t#S256 and nothing else")
    thumbprint = decode_segment(_string(confirmation, "x5t#S256"))
    if len(thumbprint) != THUMBPRINT_BYTES:
        raise ValueError("cnf.x5t#S256 must be 32 bytes")
    return thumbprint


def _actors(act: object, issuer: str) -> tuple[str, ...]:
    actors: list[str] = []
    while act is not None or not actors:
        if not isinstance(act, dict) or not {"sub"} <= set(act) <= {"sub", "iss", "act"}:
            raise ValueError("act must hold sub, and may hold iss and act")
        if len(actors) == DEEPEST_ACT:
            raise ValueError(f"act must nest at most {DEEPEST_ACT} deep")
        if act.get("iss", issuer) != issuer:
            raise ValueError("act.iss must be the token's own issuer")
        actors.append(_string(act, "sub"))
        if "act" in act and act["act"] is None:
            raise ValueError("act must not be null")
        act = act.get("act")
    return tuple(actors)
