"""A current access token of the profile's issuer, by whatever login there is.

Guarantees: a refresh token is used by one process at a time and replaced as soon as the issuer rotates it, before the
access token is handed out; a person's profile without a login is told to log in, and never acts as the workload
instead. What is not bound to a certificate is refused here: the broker would refuse it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from entente_sdk.errors import IdentityError
from entente_sdk.oidc.discovery import discover
from entente_sdk.oidc.grants import Granted, Grants
from entente_sdk.oidc.http import IssuerHttp, odd
from entente_sdk.oidc.store import Login, LoginStore
from entente_sdk.profile import Profile
from entente_sdk.tokens import claims


@contextmanager
def grants_of(profile: Profile) -> Iterator[Grants]:
    """The issuer's grants, over one connection. Raises EntenteError."""
    with IssuerHttp(profile) as http:
        yield Grants(http, discover(http, profile), profile)


def access_token(profile: Profile) -> str:
    """Raises EntenteError."""
    if profile.grant == "client_credentials":
        return _as_workload(profile)
    store = LoginStore(profile)
    login = _login(store)
    if login.grant == "client_credentials":
        return _as_workload(profile)
    with store.locked(), grants_of(profile) as grants:
        # Once more under the lock: another process may have rotated it meanwhile.
        login = _login(store)
        granted = grants.refreshed(login.refresh_token)
        if granted.refresh_token and granted.refresh_token != login.refresh_token:
            store.save(Login(login.grant, granted.refresh_token))
    return bound(granted)


def bound(granted: Granted) -> str:
    """The access token. Raises IdentityError where it is not bound to a certificate."""
    confirmation = claims(granted.access_token).get("cnf")
    if not isinstance(confirmation, dict) or "x5t#S256" not in confirmation:
        raise odd("its access token is no JWT that is bound to a certificate (cnf, RFC 8705)")
    return granted.access_token


def _as_workload(profile: Profile) -> str:
    with grants_of(profile) as grants:
        return bound(grants.client_credentials())


def _login(store: LoginStore) -> Login:
    found = store.load()
    if found is None:
        raise IdentityError("LOGIN_NEEDED", "nobody is logged in under this profile")
    return found
