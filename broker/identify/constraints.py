"""Name constraints: which names an authority may let others bear (RFC 5280 sections 4.2.1.10 and 6.1.3).

MUSTs:
1. The constraints of every authority in a path, the root included, hold for every certificate below it. Only a
   self-issued intermediate is left out, as section 6.1.3 (b) says: it bears its issuer's own name.
2. URI constraints are about the host alone, which of a SPIFFE id is the trust domain: `police.example` is that host,
   `.police.example` any host below it and not itself. A URI without a host name cannot be judged, so it is refused.
3. DNS, e-mail, IP and directory names are evaluated too: each name is in some permitted subtree of its kind, where
   there is one, and in no excluded one. A wildcard is in an excluded subtree when any name that it stands for is.
   The subject counts as a directory name, and its e-mail addresses as e-mail names.
4. A constraint of any other kind refuses a certificate that holds a name of that kind, marked critical or not.
5. What is malformed refuses: a constraint, a name that a constraint applies to, a subtree with a minimum or maximum.
6. The work is bounded: at most twice `MOST_NAMES` names (the alternative ones, and the subject's) against at most
   `MOST_SUBTREES` subtrees of one authority.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

MOST_NAMES = 32
MOST_SUBTREES = 128

_HOST = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}", re.ASCII)
_URI = re.compile(r"[a-z][a-z0-9+.-]*://(?P<host>[^/?#:@\[\]]+)(?::[0-9]*)?(?:[/?#].*)?", re.ASCII | re.DOTALL)


def broken_constraint(path: Sequence[x509.Certificate]) -> str | None:
    """Which authority of the path (leaf first, root last) forbids what is below it; None when none does.

    Raises ValueError, and x509's own errors, for what cannot be read: the caller refuses then too.
    """
    for above, authority in enumerate(path):
        constraints = name_constraints(authority)
        if above == 0 or constraints is None:
            continue
        below = [one for at, one in enumerate(path[:above]) if at == 0 or one.subject != one.issuer]
        if not all(_permits(constraints, certificate) for certificate in below):
            return f"the name constraints of {authority.subject.rfc4514_string()[:200]}"
    return None


def name_constraints(certificate: x509.Certificate) -> x509.NameConstraints | None:
    """A certificate's own constraints. Raises ValueError when they hold what is not understood (MUST 5)."""
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.NameConstraints):
            # The parser drops a subtree's minimum and maximum, which would widen it. Neither survives encoding again.
            if extension.value.public_bytes() not in certificate.tbs_certificate_bytes:
                raise ValueError("name constraints with a minimum or a maximum")
            return extension.value
    return None


def _permits(constraints: x509.NameConstraints, certificate: x509.Certificate) -> bool:
    permitted, excluded = constraints.permitted_subtrees or [], constraints.excluded_subtrees or []
    names = list(_names(certificate))
    if len(names) > 2 * MOST_NAMES or len(permitted) + len(excluded) > MOST_SUBTREES:
        raise ValueError("too many names or subtrees")
    return all(
        _is_permitted(
            name,
            [one for one in permitted if type(one) is type(name)],
            [one for one in excluded if type(one) is type(name)],
        )
        for name in names
    )


def _is_permitted(name: x509.GeneralName, permitted: list[x509.GeneralName], excluded: list[x509.GeneralName]) -> bool:
    if not permitted and not excluded:
        return True
    if type(name) not in _WITHIN:
        return False
    within, touches = _WITHIN[type(name)], _TOUCHES.get(type(name), _WITHIN[type(name)])
    if any(touches(name.value, one.value) for one in excluded):
        return False
    return not permitted or any(within(name.value, one.value) for one in permitted)


def _names(certificate: x509.Certificate) -> Iterator[x509.GeneralName]:
    if certificate.subject.rdns:
        yield x509.DirectoryName(certificate.subject)
        for attribute in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
            yield x509.RFC822Name(str(attribute.value))
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            yield from extension.value


def _uri_within(name: str, constraint: str) -> bool:
    match = _URI.fullmatch(name.lower())
    if match is None:
        raise ValueError("a URI without a host")
    return _host_within(_host(match["host"]), constraint)


def _mail_within(name: str, constraint: str) -> bool:
    local, at, host = name.rpartition("@")
    if not local or not at or not host or "@" in local or not name.isascii():
        raise ValueError("an e-mail address that is none")
    wanted_local, wanted_at, wanted = constraint.rpartition("@")
    if wanted_at:
        return local == wanted_local and host.lower() == wanted.lower()
    # An asterisk is a letter like any other here, not a wildcard.
    if wanted.startswith("."):
        return host.lower().endswith(wanted.lower()) and len(host) > len(wanted)
    return host.lower() == wanted.lower()


def _dns_within(name: str, constraint: str) -> bool:
    """A subtree holds its own name and all below it; an empty constraint holds everything (section 4.2.1.10)."""
    _, host = _dns(name)
    base = constraint.lower()
    return not base or f".{host}".endswith(f".{_host(base)}")


def _dns_touches(name: str, constraint: str) -> bool:
    """Whether any name that this one stands for is in the subtree."""
    wildcard, host = _dns(name)
    return _dns_within(name, constraint) or (wildcard and constraint.lower().endswith("." + host))


def _address_within(name: Any, constraint: Any) -> bool:
    return name in constraint


def _directory_within(name: x509.Name, constraint: x509.Name) -> bool:
    """A subtree is every name that begins with these relative names."""
    wanted = [_relative(one) for one in constraint.rdns]
    return [_relative(one) for one in name.rdns[: len(wanted)]] == wanted


def _relative(name: x509.RelativeDistinguishedName) -> frozenset[tuple[str, object]]:
    """Compared without regard to case and runs of blanks (section 7.1, RFC 4518)."""
    return frozenset((one.oid.dotted_string, _folded(one.value)) for one in name)


def _folded(value: object) -> object:
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split()) if isinstance(value, str) else value


def _host_within(host: str, constraint: str) -> bool:
    base = constraint.lower()
    _host(base.removeprefix("."))
    return host.endswith(base) and len(host) > len(base) if base.startswith(".") else host == base


def _dns(name: str) -> tuple[bool, str]:
    lowered = name.lower()
    return lowered.startswith("*."), _host(lowered.removeprefix("*."))


def _host(text: str) -> str:
    """A host name, and no address. Raises ValueError."""
    if len(text) > 255 or _HOST.fullmatch(text) is None or text.rpartition(".")[2].isdigit():
        raise ValueError("not a host name")
    return text


_Test = Callable[[Any, Any], bool]
_WITHIN: dict[type[x509.GeneralName], _Test] = {
    x509.UniformResourceIdentifier: _uri_within,
    x509.DNSName: _dns_within,
    x509.RFC822Name: _mail_within,
    x509.IPAddress: _address_within,
    x509.DirectoryName: _directory_within,
}
_TOUCHES: dict[type[x509.GeneralName], _Test] = {x509.DNSName: _dns_touches}
