"""Which certificates may sign others, and lists of what they revoked: roots and intermediates alike.

Guarantees: an issuer is a CA, has a key usage with keyCertSign, stays within its path length, has a strong key, is not
confined to purposes other than clientAuth, and carries no critical extension that is not evaluated (RFC 5280 sections
4.2 and 6.1.4). Whatever cannot be read may not sign.
Does not: compare names with an issuer's name constraints; that needs the whole path (`constraints`).
"""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from broker.identify.signatures import has_issuer_key

MOST_EXTENSIONS = 32

_PURPOSES = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
_UNDERSTOOD = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectAlternativeName)


def only_understood_extensions(certificate: x509.Certificate, *also: type[x509.ExtensionType]) -> bool:
    """Whether each critical extension is one that the profile evaluates (RFC 5280 section 4.2). Raises ValueError."""
    extensions = certificate.extensions
    return len(extensions) <= MOST_EXTENSIONS and all(
        isinstance(each.value, (*_UNDERSTOOD, *also)) for each in extensions if each.critical
    )


def may_sign(issuer: x509.Certificate, intermediates_below: int) -> bool:
    """Whether this certificate may sign one that has so many intermediates between itself and the leaf."""
    try:
        extensions = issuer.extensions
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
        if not constraints.ca or not only_understood_extensions(issuer, x509.NameConstraints):
            return False
        if constraints.path_length is not None and constraints.path_length < intermediates_below:
            return False
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        return usage.key_cert_sign and _may_name_callers(extensions) and has_issuer_key(issuer)
    except Exception:
        # What the parser raises of odd extensions shares no base.
        return False


def may_sign_lists(issuer: x509.Certificate) -> bool:
    """Whether this authority's key may sign revocation lists: its key usage has cRLSign (section 6.3.3 (f))."""
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except Exception:
        # As above.
        return False


def has_fit_serial(certificate: x509.Certificate) -> bool:
    """Whether a revocation list can name it: positive, at most 20 bytes (section 4.1.2.2)."""
    return 0 < certificate.serial_number < 2**160


def _may_name_callers(extensions: x509.Extensions) -> bool:
    """An authority that lists purposes is confined to them, whatever those below it claim."""
    for each in extensions:
        if isinstance(each.value, x509.ExtendedKeyUsage):
            return not _PURPOSES.isdisjoint(each.value)
    return True
