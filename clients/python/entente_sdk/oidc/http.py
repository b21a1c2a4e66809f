"""HTTPS with the issuer: mutual TLS, bounded, and strict about what comes back.

MUSTs:
1. https only, the issuer's certificate verified against `issuer_ca`, or the system's authorities without one;
2. no redirect is followed, and no proxy or authority is taken from the environment;
3. an answer is at most 64 KiB, comes within 15 s, and is one JSON object (RFC 8259) without duplicate names;
4. nothing of an answer's content is part of an error but the two texts that RFC 6749 section 5.2 means for people,
   cut to their allowed characters.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from entente_sdk._material import read_material
from entente_sdk.errors import ConfigurationError, EntenteError, HandshakeError, IdentityError, UnavailableError
from entente_sdk.profile import Profile

if TYPE_CHECKING:
    import httpx

LARGEST_ANSWER = 64 * 1024
ANSWER_SECONDS = 15.0
_HEADERS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "entente"}


@dataclass(frozen=True, slots=True)
class Reply:
    """A status, the JSON object that came with it, and the server's clock (epoch seconds) where it told it."""

    status: int
    document: Mapping[str, Any] = field(repr=False)
    date: float | None = None


class IssuerHttp:
    """A connection to one issuer. Use with `with`."""

    def __init__(self, profile: Profile) -> None:
        # Only here and below: most commands need no HTTP, and it takes a while to load.
        import httpx

        self._client = httpx.Client(
            verify=_tls(profile),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(ANSWER_SECONDS),
            headers=_HEADERS,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, url: str) -> Reply:
        """Raises EntenteError."""
        return self._ask("GET", url, None)

    def post(self, url: str, form: Mapping[str, str]) -> Reply:
        """`application/x-www-form-urlencoded`. Raises EntenteError."""
        return self._ask("POST", url, form)

    def _ask(self, method: str, url: str, form: Mapping[str, str] | None) -> Reply:
        import httpx

        require_https(url)
        try:
            with self._client.stream(method, url, data=form) as response:
                raw = _bounded(response)
        except httpx.HTTPError as error:
            raise _failed(url, error) from None
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        # Of a revocation (RFC 7009 section 2.2) only the status counts.
        document = read_object(raw) if kind == "application/json" and raw else {}
        return Reply(response.status_code, document, _date(response.headers.get("date")))


def require_https(url: str) -> str:
    """The URL. Raises IdentityError for any but https with a host."""
    try:
        found = urlsplit(url)
        fits = found.scheme == "https" and bool(found.hostname) and found.port != 0 and "@" not in found.netloc
    except ValueError:
        fits = False
    if not fits or not url.isascii() or not url.isprintable() or " " in url or found.fragment:
        raise odd(f"an address is not an https URL: {url[:200]!r}")
    return url


def odd(what: str) -> IdentityError:
    """What the issuer says is not what the standards ask for."""
    return IdentityError("ISSUER_ODD", f"the issuer's answer cannot be used: {what}")


def read_object(raw: bytes) -> dict[str, Any]:
    """One JSON object. Raises IdentityError."""
    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise odd("it is not well-formed JSON without duplicate names") from None
    if not isinstance(found, dict):
        raise odd("it is not a JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate name")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _bounded(response: httpx.Response) -> bytes:
    ends = time.monotonic() + ANSWER_SECONDS
    raw = bytearray()
    for chunk in response.iter_raw():
        raw += chunk
        if len(raw) > LARGEST_ANSWER:
            raise odd(f"it is over {LARGEST_ANSWER} bytes")
        if time.monotonic() > ends:
            raise UnavailableError("ISSUER_NO_ANSWER", f"the issuer took over {ANSWER_SECONDS:.0f} s to answer")
    return bytes(raw)


def _failed(url: str, error: httpx.HTTPError) -> EntenteError:
    host = urlsplit(url).netloc
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return HandshakeError(
                "ISSUER_UNTRUSTED", f"the server at {host} is not trusted as the issuer ({cause.verify_message})"
            )
        cause = cause.__cause__ or cause.__context__
    return UnavailableError(
        "ISSUER_NO_ANSWER", f"the issuer at {host} does not answer ({type(error).__name__}: {error})"
    )


def _tls(profile: Profile) -> ssl.SSLContext:
    # What cannot be read, or does not fit together, is named as everywhere.
    read_material(profile)
    context = ssl.create_default_context()
    if profile.issuer_ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(profile.issuer_ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"issuer_ca does not hold a certificate in PEM: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if profile.certificate is not None and profile.key is not None:
        try:
            context.load_cert_chain(profile.certificate, profile.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"certificate and key cannot be used for TLS: {error}") from error
    return context


def _date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, TypeError, OverflowError):
        return None
