"""Which certificates may sign others: roots and intermediates alike.

Guarantees: an issuer is a CA, has a key usage with keyCertSign, stays within its path length, has a strong key, and
carries no critical extension that is not evaluated here (RFC 5280 sections 4.2 and 6.1.4).
Does not: process name constraints. An issuer that carries them is refused, critical or not, because ignoring a
constraint would widen it; confine a root to trust domains with `roots.Anchor` instead.
"""

from __future__ import annotations

from cryptography import x509

from broker.identify.signatures import fits_issuer_key

_UNDERSTOOD = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectAlternativeName)


def only_understood_extensions(certificate: x509.Certificate) -> bool:
    """Whether each critical extension is one that the profile evaluates (RFC 5280 section 4.2). Raises ValueError."""
    return all(isinstance(each.value, _UNDERSTOOD) for each in certificate.extensions if each.critical)


def may_sign(issuer: x509.Certificate, intermediates_below: int) -> bool:
    """Whether this certificate may sign one that has so many intermediates between itself and the leaf."""
    try:
        extensions = issuer.extensions
        if any(isinstance(each.value, x509.NameConstraints) for each in extensions):
            return False
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
        if not constraints.ca or not only_understood_extensions(issuer) or not fits_issuer_key(issuer):
            return False
        if constraints.path_length is not None and constraints.path_length < intermediates_below:
            return False
        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False
