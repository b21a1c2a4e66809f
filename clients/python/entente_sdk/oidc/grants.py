"""The three grants: client credentials (RFC 6749 section 4.4), device code (RFC 8628) and refresh (RFC 6749 section 6).

Guarantees: each asks for the broker as the resource (RFC 8707) where the profile names it; tokens are texts of bounded
size and of type Bearer; a device login asks no more often than the issuer allows and ends when its code does.
Does not: log or print a token; representations hide them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from entente_sdk.errors import IdentityError, UnavailableError
from entente_sdk.oidc.discovery import Offer
from entente_sdk.oidc.http import IssuerHttp, Reply, odd, require_https
from entente_sdk.profile import Profile

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
LARGEST_TOKEN = 8192
LONGEST_LOGIN_SECONDS = 3600
DEFAULT_INTERVAL_SECONDS, SLOWER_BY_SECONDS, LONGEST_INTERVAL_SECONDS = 5, 5, 60
DEVICE_SCOPE = "openid offline_access"


@dataclass(frozen=True, slots=True)
class Granted:
    """What the token endpoint gave."""

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class DeviceLogin:
    """What a person is shown, and what the program keeps."""

    device_code: str = field(repr=False)
    user_code: str
    address: str
    whole_address: str
    expires_in: int
    interval: int


@dataclass(frozen=True, slots=True)
class Grants:
    """One issuer's grants for one profile."""

    http: IssuerHttp
    offer: Offer
    profile: Profile

    def client_credentials(self) -> Granted:
        """As the workload itself. Raises EntenteError."""
        return self._granted(self._token({"grant_type": "client_credentials", **self._wish()}))

    def refreshed(self, refresh_token: str) -> Granted:
        """As the person who logged in. Raises IdentityError with LOGIN_ENDED where the login holds no longer."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **self._resource()}
        reply = self._token(form)
        if reply.document.get("error") == "invalid_grant":
            raise IdentityError("LOGIN_ENDED", f"the login has ended{_said(reply)}")
        return self._granted(reply)

    def begin_device(self) -> DeviceLogin:
        """Ask for a code that a person enters elsewhere. Raises EntenteError."""
        if self.offer.device_authorization is None:
            raise IdentityError("LOGIN_REFUSED", "the issuer offers no login by device code (RFC 8628)")
        form = {**self._client(), "scope": DEVICE_SCOPE, **self._wish()}
        reply = self.http.post(self.offer.device_authorization, form)
        if reply.status != 200:
            raise _refused(reply)
        found = reply.document
        address = require_https(_text(found, "verification_uri", 2048))
        whole = found.get("verification_uri_complete")
        return DeviceLogin(
            _text(found, "device_code", LARGEST_TOKEN),
            _text(found, "user_code", 64),
            address,
            address if whole is None else require_https(_text(found, "verification_uri_complete", 2048)),
            min(_number(found, "expires_in"), LONGEST_LOGIN_SECONDS),
            min(_number(found, "interval", DEFAULT_INTERVAL_SECONDS), LONGEST_INTERVAL_SECONDS),
        )

    def await_device(
        self,
        login: DeviceLogin,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> Granted:
        """Poll until the person has agreed. Raises IdentityError when the code ends or is refused."""
        ends, interval = clock() + login.expires_in, float(login.interval)
        form = {"grant_type": DEVICE_CODE, "device_code": login.device_code, **self._resource()}
        while clock() + interval < ends:
            sleep(interval)
            try:
                reply = self._token(form)
            except UnavailableError:
                # RFC 8628 section 3.5: back off when the issuer is not to be had.
                interval = min(interval * 2, LONGEST_INTERVAL_SECONDS)
                continue
            error = reply.document.get("error")
            if error == "slow_down":
                interval += SLOWER_BY_SECONDS
            elif error != "authorization_pending":
                return self._granted(reply)
        raise IdentityError("LOGIN_ENDED", "nobody entered the code in time")

    def revoke(self, refresh_token: str) -> bool:
        """Tell the issuer that the login is over (RFC 7009); whether it took note. Raises EntenteError."""
        if self.offer.revocation is None:
            return False
        form = {**self._client(), "token": refresh_token, "token_type_hint": "refresh_token"}
        return self.http.post(self.offer.revocation, form).status == 200

    def _token(self, form: Mapping[str, str]) -> Reply:
        return self.http.post(self.offer.token, {**form, **self._client()})

    def _client(self) -> dict[str, str]:
        return {"client_id": self.profile.client_id or ""}

    def _resource(self) -> dict[str, str]:
        return {"resource": self.profile.resource} if self.profile.resource else {}

    def _wish(self) -> dict[str, str]:
        return {**({"scope": self.profile.scope} if self.profile.scope else {}), **self._resource()}

    def _granted(self, reply: Reply) -> Granted:
        if reply.status != 200:
            raise _refused(reply)
        found = reply.document
        if str(found.get("token_type")).lower() != "bearer":
            raise odd("its token is not of type Bearer")
        refresh = _text(found, "refresh_token", LARGEST_TOKEN) if "refresh_token" in found else ""
        return Granted(_text(found, "access_token", LARGEST_TOKEN), refresh)


def _refused(reply: Reply) -> IdentityError | UnavailableError:
    if reply.status >= 500:
        return UnavailableError("ISSUER_NO_ANSWER", f"the issuer answers with status {reply.status}{_said(reply)}")
    return IdentityError("LOGIN_REFUSED", f"the issuer refuses{_said(reply) or f' with status {reply.status}'}")


def _said(reply: Reply) -> str:
    """RFC 6749 section 5.2: both texts are printable ASCII without quotes and backslash."""
    found = [str(reply.document.get(name, "")) for name in ("error", "error_description")]
    clean = ["".join(one for one in text if " " <= one <= "~" and one not in '"\\')[:300] for text in found]
    return "".join(f": {text}" for text in clean if text)


def _text(document: Mapping[str, Any], name: str, longest: int) -> str:
    found = document.get(name)
    if not isinstance(found, str) or not 0 < len(found) <= longest or not found.isascii() or not found.isprintable():
        raise odd(f"{name} is not a text of 1 to {longest} printable characters")
    return found


def _number(document: Mapping[str, Any], name: str, otherwise: int | None = None) -> int:
    found = document.get(name, otherwise)
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise odd(f"{name} is not a whole number of seconds")
    return found
