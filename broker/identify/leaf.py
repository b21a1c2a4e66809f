"""The client certificate by itself: rules 3 to 9 of the profile, and its share of 16 (`certificate` lists them all)."""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from datetime import timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from broker.domain.caller import AgencyId
from broker.domain.errors import IdentityError
from broker.identify.constraints import MOST_NAMES
from broker.identify.issuing import MOST_EXTENSIONS, has_fit_serial, only_understood_extensions
from broker.identify.signatures import has_leaf_key

LONGEST_LIFE = timedelta(days=90)

_SPIFFE = re.compile(
    r"spiffe://(?P<domain>[a-z0-9][a-z0-9._-]{0,254})/agency/(?P<agency>[a-z0-9][a-z0-9._-]{0,62})"
    r"/(?P<workload>[A-Za-z0-9._-]{1,63}(?:/[A-Za-z0-9._-]{1,63}){0,7})",
    re.ASCII,
)

Result = TypeVar("Result")


def check_leaf(leaf: x509.Certificate, trust_domains: Set[str]) -> tuple[AgencyId, str]:
    """The agency and workload that a fitting certificate names. Raises IdentityError, or what the parser raises."""
    if len(leaf.extensions) > MOST_EXTENSIONS:
        raise invalid("it has too many extensions", rule=f"16: {len(leaf.extensions)} extensions")
    if leaf.version is not x509.Version.v3 or not only_understood_extensions(leaf):
        raise invalid("it has a critical extension that is not understood", rule="3")
    if not has_fit_serial(leaf):
        raise invalid("its serial number must be positive and of at most 20 bytes", rule="3: serial")
    agency, workload = named_agency(leaf.extensions)
    if agency.trust_domain not in trust_domains:
        raise invalid("this broker does not accept its trust domain", rule=f"5: {agency.trust_domain}")
    _check_usage(leaf)
    if not timedelta() <= leaf.not_valid_after_utc - leaf.not_valid_before_utc <= LONGEST_LIFE:
        raise invalid(f"it must live at most {LONGEST_LIFE.days} days", rule="8")
    if not has_leaf_key(leaf):
        raise invalid("its key must be P-256, Ed25519, or RSA of at least 2048 bits with e >= 65537", rule="9")
    return agency, workload


def named_agency(extensions: x509.Extensions) -> tuple[AgencyId, str]:
    """Rule 4, of a certificate or of a request for one. Raises IdentityError, or what the parser raises."""
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if len(list(names)) > MOST_NAMES:
        raise invalid(f"it must hold at most {MOST_NAMES} names", rule="16: names")
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise invalid("it must hold exactly one URI name, its SPIFFE id", rule=f"4: {len(uris)} URIs")
    match = _SPIFFE.fullmatch(uris[0])
    if match is None or any(part in {".", ".."} for part in match["workload"].split("/")):
        raise invalid("its URI must be spiffe://<trust domain>/agency/<agency id>/<workload>", rule="4: form")
    return AgencyId(match["domain"], match["agency"]), match["workload"]


def _check_usage(leaf: x509.Certificate) -> None:
    extensions = leaf.extensions
    if ExtendedKeyUsageOID.CLIENT_AUTH not in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value:
        raise invalid("its extended key usage must include clientAuth", rule="6")
    if any(isinstance(each.value, x509.BasicConstraints) and each.value.ca for each in extensions):
        raise invalid("a certificate authority cannot call", rule="7")
    if any(isinstance(each.value, x509.NameConstraints) for each in extensions):
        raise invalid("only an authority has name constraints", rule="7: name constraints")
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    if not usage.digital_signature or usage.key_cert_sign or usage.crl_sign:
        raise invalid("its key usage must be digitalSignature, without keyCertSign and cRLSign", rule="7")


def guarded(action: Callable[[], Result]) -> Result:
    """Whatever the parser says of hostile bytes is one refusal: its exceptions share no base, so all are caught."""
    try:
        return action()
    except IdentityError:
        raise
    except x509.ExtensionNotFound as error:
        raise invalid("an extension that the profile requires is missing", rule=f"4, 6, 7: {error}") from error
    except Exception as error:
        raise invalid("it could not be read", rule=f"1: {type(error).__name__}: {error}"[:300]) from error


def invalid(what: str, *, rule: str) -> IdentityError:
    """The one refusal of a certificate that does not fit; the rule is for the sealed detail alone."""
    message = f"The client certificate is refused: {what}. See the certificate profile in the documentation."
    return IdentityError("CERTIFICATE_INVALID", message, detail=f"rule {rule}")
