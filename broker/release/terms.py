"""On what terms another agency's record is released: the agreements with its originator, for whoever receives it.

Guarantees: every agreement that the grant counted (in force, for this purpose, on the legal basis it asks for), that
the record's originator is a party of and that covers this type of record, is named with its use limit and its onward
terms. Rather one too many than one too few: which of several carried a field is not told.
The recipient's own records are under no terms. Where the recipient is not known, all terms are told.
"""

from __future__ import annotations

from broker.domain.directory import Agreement
from broker.domain.grant import Grant
from broker.release.records import RecordType
from entente.common.v1 import exchange_pb2


class TermsOf:
    """Of one answer. `of` gives the serialised fields of a Disclosure that name the terms."""

    def __init__(self, grant: Grant, recipient: str, record: RecordType) -> None:
        kind = record.message.name.lower()
        self._agreements = [one for one in grant.agreements if kind in one.record_types]
        self._recipient = recipient
        self._known: dict[str, bytes] = {recipient: b""} if recipient else {}

    def of(self, originator: str) -> bytes:
        """Of a record of this agency."""
        found = self._known.get(originator)
        if found is None:
            covering = [_terms(one) for one in self._agreements if originator in one.parties]
            found = self._known[originator] = exchange_pb2.Disclosure(terms=covering).SerializeToString()
        return found


def _terms(one: Agreement) -> exchange_pb2.Terms:
    return exchange_pb2.Terms(
        agreement_id=one.agreement_id,
        use=exchange_pb2.UseLimit.Value(f"USE_LIMIT_{one.use}"),
        onward=exchange_pb2.OnwardSharing.Value(f"ONWARD_SHARING_{one.onward}"),
    )
