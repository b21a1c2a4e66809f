"""The handshake, looked at with the platform's TLS: version, the server's certificate, and whether it takes ours.

Sends nothing but handshakes. What is not verified is only described, and our certificate is shown to nobody then.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from entente_sdk import _handshake
from entente_sdk._material import certificates, read, read_material
from entente_sdk.advice import advice_for
from entente_sdk.doctor.finding import Finding, fail, failed, ok, skip, warn
from entente_sdk.errors import ConfigurationError
from entente_sdk.expiry import span, warning_days
from entente_sdk.profile import Profile

TLS, SERVER, ACCEPTANCE = "tls", "server certificate", "acceptance"
TRY_SECONDS = 3.0
# X509_V_ERR_* of OpenSSL's x509_vfy.h
_NAME_MISMATCHES = (62, 64)
_NO_PATH = (2, 18, 19, 20, 21)


@dataclass(frozen=True, slots=True)
class Seen:
    """A finished handshake."""

    version: str
    protocol: str | None
    leaf: x509.Certificate


def examine_tls(profile: Profile) -> tuple[Finding, Seen | None]:
    """Whether the server speaks TLS 1.3 and HTTP/2; whom it says it is, not yet believed."""
    try:
        seen = _shake(profile, _context())
    except ssl.SSLError as error:
        return _why_not(profile, error), None
    except TimeoutError:
        return _not_tls(profile, "it does not answer the TLS handshake"), None
    except OSError as error:
        return _not_tls(profile, f"it hung up during the TLS handshake ({error})"), None
    if seen.protocol != "h2":
        cause = f"the server at {profile.endpoint} speaks {seen.version}, but not HTTP/2"
        return fail(TLS, cause, "Set endpoint to the broker itself, or to a proxy that passes TLS through."), seen
    return ok(TLS, f"{seen.version}, HTTP/2"), seen


def examine_server(profile: Profile, seen: Seen, clock: Callable[[], float]) -> Finding:
    """Whether the server's certificate leads to `ca`, bears the name that we call, and lives.

    Raises ConfigurationError for a `ca` that cannot be used.
    """
    name = profile.server_name or profile.host
    certificates("ca", read("ca", profile.ca))
    chain = _verified(profile, check_name=False)
    about = f"it is of {seen.leaf.subject.rfc4514_string()!r}, issued by {seen.leaf.issuer.rfc4514_string()!r}"
    if chain is not None:
        if chain.verify_code in _NO_PATH:
            cause = f"the server's certificate does not lead to ca ({chain.verify_message}); {about}"
            return fail(SERVER, cause, advice_for("SERVER_UNTRUSTED", ""))
        return _server_odd(seen.leaf, f"{chain.verify_message}; {about}")
    mismatch = _verified(profile, check_name=True)
    if mismatch is not None and mismatch.verify_code in _NAME_MISMATCHES:
        cause = f"the server's certificate is not for {name!r}, but for {', '.join(names(seen.leaf)) or 'nothing'}"
        return fail(SERVER, cause, advice_for("SERVER_NAME_WRONG", ""))
    left = seen.leaf.not_valid_after_utc.timestamp() - clock()
    life = (seen.leaf.not_valid_after_utc - seen.leaf.not_valid_before_utc).total_seconds()
    if warning_days(left, life) is not None:
        return warn(SERVER, f"it leads to ca and is for {name!r}, but ends in {span(left)}", "Tell the operator.")
    return ok(SERVER, f"leads to ca, is for {name!r}, ends in {span(left)}")


def examine_acceptance(profile: Profile) -> Finding:
    """Whether the server goes on after it has seen our certificate."""
    try:
        read_material(profile)
    except ConfigurationError:
        return skip(ACCEPTANCE, "our certificate cannot be shown")
    found = _handshake.explain(profile)
    return ok(ACCEPTANCE, "the broker takes our certificate") if found is None else failed(ACCEPTANCE, found)


def names(leaf: x509.Certificate) -> list[str]:
    """DNS names and addresses of a server's certificate."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [
        *found.get_values_for_type(x509.DNSName),
        *(str(address) for address in found.get_values_for_type(x509.IPAddress)),
    ]


def _context(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """One that verifies nothing and shows nothing of ours: to describe whoever is there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    return context


def _shake(profile: Profile, context: ssl.SSLContext) -> Seen:
    with (
        socket.create_connection((profile.host, profile.port), TRY_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=profile.server_name or profile.host) as secure,
    ):
        der = secure.getpeercert(binary_form=True)
        if der is None:
            raise ssl.SSLError("the server shows no certificate")
        try:
            leaf = x509.load_der_x509_certificate(der)
        except ValueError as error:
            raise ssl.SSLError(f"the server's certificate does not parse: {error}") from error
        return Seen(secure.version() or "TLS", secure.selected_alpn_protocol(), leaf)


def _verified(profile: Profile, *, check_name: bool) -> ssl.SSLCertVerificationError | None:
    context = _context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = check_name
    context.load_verify_locations(profile.ca)
    try:
        _shake(profile, context)
    except ssl.SSLCertVerificationError as error:
        return error
    return None


def _server_odd(leaf: x509.Certificate, about: str) -> Finding:
    now = datetime.now(UTC)
    fix = "Check this machine's clock. If it is right, tell the broker's operator."
    if leaf.not_valid_after_utc < now:
        return fail(SERVER, f"the server's certificate ended on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", fix)
    if leaf.not_valid_before_utc > now:
        return fail(SERVER, f"the server's certificate begins on {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC", fix)
    return fail(SERVER, f"the server's certificate does not hold: {about}", "Tell the broker's operator.")


def _why_not(profile: Profile, error: ssl.SSLError) -> Finding:
    words = (error.reason or str(error)).replace("_", " ").lower()
    if "wrong version number" in words or "record layer" in words or "http request" in words or "eof" in words:
        return _not_tls(profile, f"it does not speak TLS ({words})")
    try:
        older = _shake(profile, _context(ssl.TLSVersion.TLSv1_2))
    except OSError:
        return fail(TLS, f"the TLS handshake with {profile.endpoint} fails: {words}", advice_for("TLS_FAILED", ""))
    return fail(
        TLS,
        f"the server at {profile.endpoint} speaks {older.version} at most, and TLS 1.3 is required",
        "Set endpoint to the broker itself: something before it may end TLS. If it is the broker, tell its operator.",
    )


def _not_tls(profile: Profile, what: str) -> Finding:
    return fail(
        TLS,
        f"something listens at {profile.endpoint}, but {what}",
        "Check host and port in endpoint: this is not a broker, or a proxy is in between.",
    )
