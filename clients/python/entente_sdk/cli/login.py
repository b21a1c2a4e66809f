"""`entente login|logout`: tokens from the agency's own issuer, by a device code or as the workload itself.

Prints never a token: of what was granted only for whom it is, for which audience and until when.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from entente_sdk.cli.command import command
from entente_sdk.cli.session import Session, console, print_table, say
from entente_sdk.cli.text import safe
from entente_sdk.errors import ConfigurationError, EntenteError, IdentityError
from entente_sdk.oidc.grants import DeviceLogin, Granted, Grants
from entente_sdk.oidc.source import bound, grants_of
from entente_sdk.oidc.store import Login, LoginStore
from entente_sdk.profile import Grant, Profile
from entente_sdk.tokens import claims, moment

Device = Annotated[bool, typer.Option("--device", help="A person: open an address anywhere and enter a code.")]
Workload = Annotated[bool, typer.Option("--client-credentials", help="A workload: the certificate is enough.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @command(app, "login")
    def login(session: Session, device: Device = False, client_credentials: Workload = False) -> None:
        """Log in at the profile's issuer; tokens are then renewed without asking."""
        if device and client_credentials:
            raise ConfigurationError("--device and --client-credentials exclude each other", reason="USAGE")
        profile = issuing(session.settings.profile())
        grant = _grant(profile, device=device, client_credentials=client_credentials)
        with grants_of(profile) as grants:
            granted = grants.client_credentials() if grant == "client_credentials" else _by_device(grants)
        token = bound(granted)
        store = LoginStore(profile)
        with store.locked():
            store.save(Login(grant, granted.refresh_token))
        session.show(*_shown(profile, grant, token))

    @command(app, "logout")
    def logout(session: Session) -> None:
        """Forget the login, and tell the issuer."""
        profile = issuing(session.settings.profile())
        store = LoginStore(profile)
        with store.locked():
            kept = _readable(store)
            removed = store.remove()
        told = kept is not None and bool(kept.refresh_token) and _told(profile, kept.refresh_token)
        document = {"removed": removed, "issuer_told": told}
        session.show(document, lambda: say("Logged out." if removed else "Nobody was logged in under this profile."))


def issuing(profile: Profile) -> Profile:
    """The profile. Raises ConfigurationError where it names no issuer."""
    if profile.issuer is None:
        raise ConfigurationError(
            "this profile has no issuer to log in at: set issuer and client_id, in place of another token source",
            reason="SETTING_MISSING",
        )
    return profile


def _grant(profile: Profile, *, device: bool, client_credentials: bool) -> Grant:
    if device:
        return "device_code"
    return "client_credentials" if client_credentials else profile.grant or "device_code"


def _by_device(grants: Grants) -> Granted:
    login = grants.begin_device()
    _tell(login)
    granted = grants.await_device(login)
    if not granted.refresh_token:
        raise IdentityError(
            "LOGIN_REFUSED", "the issuer gives no refresh token: its scope must hold offline_access, or its like"
        )
    return granted


def _tell(login: DeviceLogin) -> None:
    """On stderr: stdout is for the document."""
    out = console(stderr=True)
    out.print(Text(safe(f"Open {login.address} and enter the code:")), soft_wrap=True)
    out.print(Text(safe(f"    {login.user_code}"), style="bold"), soft_wrap=True)
    if login.whole_address != login.address:
        out.print(Text(safe(f"or open {login.whole_address} and compare the code."), style="dim"), soft_wrap=True)
    out.print(Text(f"Waiting, at most {login.expires_in // 60} min ...", style="dim"))


def _shown(profile: Profile, grant: Grant, token: str) -> tuple[dict[str, Any], Any]:
    found = claims(token)
    ends = moment(found, "exp")
    document = {
        "profile": profile.name,
        "issuer": profile.issuer,
        "grant": grant,
        "subject": str(found.get("sub", "")),
        "audience": found.get("aud"),
        "token_expires": datetime.fromtimestamp(ends, UTC).isoformat() if ends is not None else None,
    }

    def table() -> None:
        print_table((), [(name.replace("_", " "), str(value)) for name, value in document.items()])
        say("Logged in. Tokens are renewed by themselves; see `entente whoami`.", "green")

    return document, table


def _readable(store: LoginStore) -> Login | None:
    try:
        return store.load()
    except ConfigurationError:
        # Damaged, or open to others: it is removed all the same.
        return None


def _told(profile: Profile, refresh_token: str) -> bool:
    try:
        with grants_of(profile) as grants:
            return grants.revoke(refresh_token)
    except EntenteError as error:
        console(stderr=True).print(
            Text(safe(f"The login is removed here; the issuer was not told: {error.message}"), style="yellow"),
            soft_wrap=True,
        )
        return False
