"""Our own certificate against the agencies' profile, before the broker looks at it.

Does not: build a path to the broker's roots; only the broker knows them, and the step `acceptance` asks it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from entente_sdk._material import certificates, read, require_pair
from entente_sdk.advice import advice_for
from entente_sdk.doctor.finding import Finding, fail, failed, ok, warn
from entente_sdk.errors import ConfigurationError
from entente_sdk.expiry import DAY_SECONDS, span, warning_days
from entente_sdk.profile import Profile

OWN = "own certificate"
LONGEST_LIFE_DAYS, LONGEST_CHAIN, SMALLEST_RSA_BITS = 90, 3, 2048
_SPIFFE = re.compile(r"spiffe://[a-z0-9._-]+/agency/[a-z0-9._-]+/[A-Za-z0-9._/-]+", re.ASCII)
_ABSENT = (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError)


def examine_own(profile: Profile, clock: Callable[[], float]) -> Finding:
    """Whether it fits, belongs to the key, and lives."""
    if profile.certificate is None or profile.key is None:
        return fail(OWN, "the profile has no certificate", _advice("NO_CERTIFICATE"))
    try:
        chain = certificates("certificate", read("certificate", profile.certificate))
        require_pair(chain[0], read("key", profile.key))
    except ConfigurationError as error:
        return failed(OWN, error)
    faults = list(_faults(chain[0], len(chain)))
    if faults:
        return fail(OWN, f"it does not fit the agencies' profile: {'; '.join(faults)}", _advice("CERTIFICATE_INVALID"))
    return _in_time(profile, chain[0], clock())


def spiffe_id(leaf: x509.Certificate) -> str:
    """The one URI that names agency and workload; empty where there is not exactly one."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except _ABSENT:
        return ""
    uris = found.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if len(uris) == 1 and _SPIFFE.fullmatch(uris[0]) else ""


def _faults(leaf: x509.Certificate, length: int) -> Iterator[str]:
    if length > LONGEST_CHAIN:
        yield f"a chain of {length} certificates, where at most {LONGEST_CHAIN} may be"
    if not spiffe_id(leaf):
        yield "not exactly one name spiffe://TRUST_DOMAIN/agency/AGENCY/WORKLOAD"
    if not _is_for_clients(leaf):
        yield "not issued for clients (extended key usage clientAuth)"
    if not _signs_only(leaf):
        yield "its key usage is not digitalSignature alone, without signing certificates or lists"
    days = (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() / DAY_SECONDS
    if days > LONGEST_LIFE_DAYS:
        yield f"a life of {days:.0f} days, where at most {LONGEST_LIFE_DAYS} may be"
    if not _has_strong_key(leaf):
        yield "its key is not P-256, Ed25519, or RSA of at least 2048 bits"


def _is_for_clients(leaf: x509.Certificate) -> bool:
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except _ABSENT:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages


def _signs_only(leaf: x509.Certificate) -> bool:
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except _ABSENT:
        return False
    return usage.digital_signature and not usage.key_cert_sign and not usage.crl_sign


def _has_strong_key(leaf: x509.Certificate) -> bool:
    try:
        key = leaf.public_key()
    except Exception:
        # A kind of key that the library does not know raises one of several.
        return False
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= SMALLEST_RSA_BITS
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, ec.SECP256R1)
    return isinstance(key, ed25519.Ed25519PublicKey)


def _in_time(profile: Profile, leaf: x509.Certificate, now: float) -> Finding:
    begins, ends = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    left, life = ends - now, ends - begins
    if left <= 0:
        return fail(OWN, f"it ended {span(left)} ago", _advice("CERTIFICATE_EXPIRED"))
    if now < begins:
        early = f"it begins in {span(begins - now)} by this machine's clock"
        return fail(OWN, early, "Check this machine's clock; if it is right, wait.")
    about = f"{spiffe_id(leaf)}, ends in {span(left)}"
    if warning_days(left, life) is None:
        return ok(OWN, about)
    if profile.renew_command:
        return warn(OWN, f"{about}, and renew_command has not renewed it yet", "Run renew_command by hand and see.")
    return warn(OWN, about, _advice("CERTIFICATE_EXPIRED"))


def _advice(reason: str) -> str:
    return advice_for(reason, "")
