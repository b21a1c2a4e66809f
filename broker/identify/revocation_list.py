"""Revocation lists: what each authority has revoked, signed by it (RFC 5280 section 5).

A list MUST:
 1. lie in a file of at most `LARGEST_FILE` bytes, which holds one in DER, or up to `MOST_LISTS` in PEM, and nothing
    else; and have at most `MOST_ENTRIES` entries;
 2. be of version 2, with a list number of at most 20 bytes, and a next update after this update;
 3. have no critical extension, no issuing distribution point and no entry extension that is critical: a partitioned,
    indirect or delta list is refused, for what it leaves out would pass as not revoked;
 4. bear the authority's own name, and be signed strongly, with the key of an authority that may sign lists;
 5. be current at every call: not from the future (`SKEW_SECONDS` are allowed), not past its next update, and not older
    than the broker's own limit;
 6. have no lower number than any that its authority signed and that counted before, over restarts (`list_numbers`).
Of several that are signed by one authority, the one with the highest number counts.

Does not: fetch lists.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from broker.identify.issuing import may_sign_lists
from broker.identify.list_numbers import ListNumbers
from broker.identify.signatures import has_issuer_key
from broker.identify.signed_bytes import SignedBytes

LARGEST_FILE = 5 * 1024 * 1024
MOST_LISTS = 64
MOST_SIGNERS = 256
MOST_ENTRIES = 100_000
SKEW_SECONDS = 60

_BEGIN, _END = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"


class ListError(ValueError):
    """A file holds no list that can be used; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class RevocationList:
    """One list, read and bounded, its signature not yet checked: its authority may be known only from a path.

    Args:
        issuer: the authority's name in DER; key: its key's identifier as the list names it, empty when it does not.
        this_update, next_update: epoch seconds.
    """

    issuer: bytes
    key: bytes
    number: int
    this_update: int
    next_update: int
    serials: frozenset[int]
    signed: SignedBytes = field(repr=False)
    # By authority: no call waits twice for the same answer.
    _signers: dict[bytes, bool] = field(default_factory=dict, repr=False)

    def until(self, oldest_seconds: int) -> int:
        """The last second at which it counts (MUST 5)."""
        return min(self.next_update, self.this_update + oldest_seconds)

    def is_signed_by(self, authority: x509.Certificate) -> bool:
        """MUST 4. A few milliseconds for the largest; remembered."""
        thumbprint = authority.fingerprint(hashes.SHA256())
        known = self._signers.get(thumbprint)
        if known is None:
            known = self._check_signature(authority)
            if len(self._signers) < MOST_SIGNERS:
                self._signers[thumbprint] = known
        return known

    def _check_signature(self, authority: x509.Certificate) -> bool:
        if authority.subject.public_bytes() != self.issuer or not may_sign_lists(authority):
            return False
        return has_issuer_key(authority) and self.signed.hold_under(authority.public_key())


def read_lists(content: bytes) -> tuple[RevocationList, ...]:
    """The lists of a file. Raises ListError (MUSTs 1 to 3)."""
    if len(content) > LARGEST_FILE:
        raise ListError(f"it is larger than {LARGEST_FILE} bytes")
    if content.count(_BEGIN) > MOST_LISTS:
        raise ListError(f"it holds more than {MOST_LISTS} lists")
    try:
        if _BEGIN not in content:
            return (_read(x509.load_der_x509_crl(content)),)
        parts = content.replace(b"\r\n", b"\n").strip().split(_END)
        if parts.pop() or any(not part.lstrip().startswith(_BEGIN) for part in parts):
            raise ListError("there is something besides lists in it")
        return tuple(_read(x509.load_pem_x509_crl(part + _END)) for part in parts)
    except ListError:
        raise
    except Exception as error:
        # The parser's exceptions share no base; whatever it says, this is no list.
        raise ListError(f"it cannot be read as a revocation list: {type(error).__name__}: {error}") from error


def _read(signed: x509.CertificateRevocationList) -> RevocationList:
    if len(signed) > MOST_ENTRIES:
        raise ListError(f"it has more than {MOST_ENTRIES} entries")
    if signed.next_update_utc is None or signed.next_update_utc <= signed.last_update_utc:
        raise ListError("it names no next update after this update")
    number, key = _numbered(signed.extensions)
    return RevocationList(
        issuer=signed.issuer.public_bytes(),
        key=key,
        number=number,
        this_update=_seconds(signed.last_update_utc),
        next_update=_seconds(signed.next_update_utc),
        serials=frozenset(_serial(entry) for entry in signed),
        signed=SignedBytes.of(signed),
    )


def _numbered(extensions: x509.Extensions) -> tuple[int, bytes]:
    number: int | None = None
    key = b""
    for extension in extensions:
        if extension.critical or isinstance(extension.value, (x509.IssuingDistributionPoint, x509.DeltaCRLIndicator)):
            raise ListError(f"it is partial, or has an extension that is not understood: {extension.oid.dotted_string}")
        if isinstance(extension.value, x509.CRLNumber):
            number = extension.value.crl_number
        elif isinstance(extension.value, x509.AuthorityKeyIdentifier):
            key = extension.value.key_identifier or b""
    if number is None or not 0 <= number < 2**160:
        raise ListError("it has no list number of at most 20 bytes")
    return number, key


def _serial(entry: x509.RevokedCertificate) -> int:
    if any(extension.critical for extension in entry.extensions):
        raise ListError(f"the entry for serial {entry.serial_number:x} has a critical extension")
    return entry.serial_number


@dataclass(frozen=True, slots=True)
class ListSet:
    """The lists of one generation, by their issuer's name; the highest number first."""

    generation: int = 0
    by_issuer: dict[bytes, tuple[RevocationList, ...]] = field(default_factory=dict)


class RevocationLists:
    """The lists in force. `replace` makes the next generation; `of` finds an authority's list.

    Args:
        lists: what is in force at the start.
        oldest_hours: how old a list may be, whatever next update it names.
        numbers: those that counted before.
    """

    def __init__(
        self, lists: Iterable[RevocationList] = (), *, oldest_hours: int = 168, numbers: ListNumbers | None = None
    ) -> None:
        self.oldest_seconds = oldest_hours * 3600
        self.numbers = numbers or ListNumbers()
        self.current = ListSet()
        self.replace(lists)

    def replace(self, lists: Iterable[RevocationList]) -> None:
        """All lists in force from now on."""
        by_issuer: dict[bytes, tuple[RevocationList, ...]] = {}
        for each in sorted(lists, key=lambda one: one.number, reverse=True):
            by_issuer[each.issuer] = (*by_issuer.get(each.issuer, ()), each)
        self.current = ListSet(self.current.generation + 1, by_issuer)

    def of(self, authority: x509.Certificate) -> RevocationList | None:
        """The list of this authority, signed with its key; None when there is none, or only a former one (MUST 6)."""
        named = self.current.by_issuer.get(authority.subject.public_bytes(), ())
        found = next((each for each in named if each.is_signed_by(authority)), None)
        if found is None or found.number < self.numbers.least(authority):
            return None
        self.numbers.note(authority, found.number)
        return found


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
