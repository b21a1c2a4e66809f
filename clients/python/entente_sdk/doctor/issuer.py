"""The agency's issuer: is it there, is it the one, and what time does it have?"""

from __future__ import annotations

from collections.abc import Callable

from entente_sdk.doctor.broker import BAD_SECONDS, TOLERATED_SECONDS
from entente_sdk.doctor.finding import Finding, fail, failed, ok, skip, warn
from entente_sdk.errors import EntenteError
from entente_sdk.expiry import span
from entente_sdk.profile import Profile

ISSUER = "issuer"
# The Date header counts whole seconds.
_COARSE_SECONDS = 1.0


def examine_issuer(profile: Profile, clock: Callable[[], float]) -> Finding:
    """Its discovery document, and its clock against this machine's."""
    if profile.issuer is None:
        return skip(ISSUER, "the profile has its tokens from elsewhere")
    # Only then: a profile without an issuer needs no HTTP.
    from entente_sdk.oidc.source import grants_of

    try:
        with grants_of(profile) as grants:
            date = grants.offer.date
    except EntenteError as error:
        return failed(ISSUER, error)
    if date is None:
        return ok(ISSUER, f"{profile.issuer} answers, and does not tell its time")
    difference = clock() - date - _COARSE_SECONDS / 2
    if abs(difference) <= TOLERATED_SECONDS + _COARSE_SECONDS:
        return ok(ISSUER, f"{profile.issuer} answers, and has the same time")
    side = "ahead of" if difference > 0 else "behind"
    cause = f"this machine's clock is {span(difference)} {side} the issuer's"
    fix = "See which of the two differs from the broker's (step clock), and set that one by NTP."
    return (fail if abs(difference) > BAD_SECONDS else warn)(ISSUER, cause, fix)
