"""The token, as far as it can be judged without the issuer's key: shape, time, audience, binding."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from entente_sdk._material import read_material
from entente_sdk.doctor.finding import Finding, fail, failed, ok
from entente_sdk.errors import ConfigurationError, EntenteError
from entente_sdk.expiry import span
from entente_sdk.profile import Profile
from entente_sdk.tokens import checked, claims, fetch, moment

TOKEN = "token"  # noqa: S105 - a step's name
LONGEST_LIFE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Obtained:
    """A token and the local time at which it came."""

    token: str
    at: float


def examine_token(profile: Profile, clock: Callable[[], float]) -> tuple[Finding, Obtained | None]:
    """Obtain one and look at it; None where there is none."""
    try:
        obtained = Obtained(checked(fetch(profile)), clock())
    except EntenteError as error:
        return failed(TOKEN, error), None
    found = claims(obtained.token)
    if not found or not _header(obtained.token):
        cause = "what the source yields is no JWT"
        return fail(TOKEN, cause, "Make the issuer issue JWT access tokens (RFC 9068), not opaque ones."), obtained
    faults = list(_faults(profile, obtained, found))
    if faults:
        causes, fixes = zip(*faults, strict=True)
        return fail(TOKEN, "; ".join(causes), " ".join(dict.fromkeys(fixes))), obtained
    return ok(TOKEN, f"of {found.get('iss')}, for {_audience(found)}, bound to our certificate"), obtained


def _faults(profile: Profile, obtained: Obtained, found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _untimely(obtained, found)
    if str(_header(obtained.token).get("typ", "")).lower() not in ("at+jwt", "application/at+jwt"):
        yield "its typ is not at+jwt: it is no access token", "Yield the access token, not the ID token (RFC 9068)."
    if profile.resource is not None and profile.resource not in _audiences(found):
        yield (
            f"its audience is {_audience(found)}, not {profile.resource}",
            "Ask the issuer's operator to issue tokens for this resource (RFC 8707).",
        )
    if profile.issuer is not None and found.get("iss") != profile.issuer:
        yield f"its issuer is {found.get('iss')}, not {profile.issuer}", "Tell the issuer's operator."
    yield from _unbound(profile, found)


def _untimely(obtained: Obtained, found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    ends, issued = moment(found, "exp"), moment(found, "iat")
    if ends is None or issued is None:
        yield "it has no exp or no iat", "Tell the issuer's operator: both are required (RFC 9068)."
        return
    if ends - issued > LONGEST_LIFE_SECONDS:
        yield (
            f"it lives for {span(ends - issued)}, where {LONGEST_LIFE_SECONDS} s are allowed",
            f"Ask the issuer's operator for tokens of at most {LONGEST_LIFE_SECONDS} s.",
        )
    if ends <= obtained.at:
        yield (
            f"it ended {span(obtained.at - ends)} ago by this machine's clock",
            "Compare the clocks below; if they agree, make the source yield a fresh token.",
        )


def _unbound(profile: Profile, found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    confirmation = found.get("cnf")
    bound_to = confirmation.get("x5t#S256") if isinstance(confirmation, dict) else None
    if bound_to is None:
        yield (
            "it is bound to no certificate (cnf, RFC 8705)",
            "Ask the issuer's operator for certificate-bound access tokens.",
        )
        return
    try:
        ours = read_material(profile).thumbprint
    except ConfigurationError:
        # The step on our own certificate says what is wrong with it.
        return
    if ours and bound_to != ours:
        yield (
            "it is bound to another certificate",
            "Get a token with the certificate of this profile; after a renewal, a fresh one.",
        )


def _header(token: str) -> dict[str, Any]:
    first = token.split(".")[0]
    try:
        found = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _audiences(found: dict[str, Any]) -> list[Any]:
    audience = found.get("aud")
    return audience if isinstance(audience, list) else [audience]


def _audience(found: dict[str, Any]) -> str:
    return ", ".join(str(each) for each in _audiences(found))
