"""The tables, as statements are built from them. The migrations make them; a test compares the two.

Guarantees: a version is its mark-set ids, one payload and index rows; each index row carries the mark sets of its
portion and of its container, so that a condition can be tested on exactly what the caller may see. `seq` grows with
each change and is never reused; a version and the change that made it share theirs.
Does not: hold anything derived from a payload other than index rows, which go when their version is superseded. They
name their version by `seq` without a foreign key: two hundred checks for each report would buy nothing.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData()

# SQLite grows an INTEGER PRIMARY KEY by itself, and no other type.
_Seq = BigInteger().with_variant(Integer(), "sqlite")

mark_set = Table(
    "mark_set",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("canonical", Text, nullable=False, unique=True),
    Column("originator", String(200), nullable=False),
)
Index("mark_set_originator", mark_set.c.originator)

# How many latest versions carry a mark set: a search plans by the sum over those that its caller sees, and nothing
# else.
mark_set_count = Table(
    "mark_set_count",
    metadata,
    Column("mark_set", Integer, ForeignKey("mark_set.id"), primary_key=True, autoincrement=False),
    Column("records", BigInteger, nullable=False),
)

change = Table(
    "change",
    metadata,
    Column("seq", _Seq, primary_key=True),
    Column("record_id", String(32), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("exchange_id", String(32), nullable=False),
    Index("change_exchange", "exchange_id"),
    sqlite_autoincrement=True,
)

record = Table(
    "record",
    metadata,
    Column("record_id", String(32), primary_key=True),
    Column("record_type", String(32), nullable=False),
    Column("originator", String(200), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("seq", _Seq, ForeignKey("change.seq"), nullable=False, unique=True),
    Column("mark_set", Integer, ForeignKey("mark_set.id"), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Index("record_mark_set", "mark_set", "seq"),
)

version = Table(
    "version",
    metadata,
    Column("seq", _Seq, ForeignKey("change.seq"), primary_key=True, autoincrement=False),
    Column("record_id", String(32), ForeignKey("record.record_id"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("mark_set", Integer, ForeignKey("mark_set.id"), nullable=False),
    Column("portion_mark_sets", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("exchange_id", String(32), nullable=False),
    Column("etag", String(64), nullable=False),
    Column("time_us", BigInteger, nullable=False),
    UniqueConstraint("record_id", "version", name="version_of_record"),
)

# Values by which records are found: names, phones, plates, accounts, operations; normalised.
value_index = Table(
    "value_index",
    metadata,
    Column("kind", String(16), nullable=False),
    Column("value", Text, nullable=False),
    Column("seq", _Seq, nullable=False),
    Column("field_class", String(32), nullable=False),
    Column("portion", Integer, nullable=False),
    Column("container", Integer, nullable=False),
    PrimaryKeyConstraint("kind", "value", "seq", "field_class", "portion", "container"),
    Index("value_index_seq", "seq"),
    sqlite_with_rowid=False,
)

# Words of titles, tear-lines and lines; normalised.
word_index = Table(
    "word_index",
    metadata,
    Column("word", Text, nullable=False),
    Column("seq", _Seq, nullable=False),
    Column("field_class", String(32), nullable=False),
    Column("portion", Integer, nullable=False),
    Column("container", Integer, nullable=False),
    PrimaryKeyConstraint("word", "seq", "field_class", "portion", "container"),
    Index("word_index_seq", "seq"),
    sqlite_with_rowid=False,
)

# What is told beside the rows: values and words of records whose originators chose pointers or silence, and of no
# other, so that whoever looks for one is met without passing the rest.
beside_index = Table(
    "beside_index",
    metadata,
    Column("term", Text, nullable=False),
    Column("seq", _Seq, nullable=False),
    Column("portion", Integer, nullable=False),
    Column("container", Integer, nullable=False),
    Column("pointed", Boolean, nullable=False),
    PrimaryKeyConstraint("term", "seq", "portion", "container"),
    Index("beside_index_seq", "seq"),
    sqlite_with_rowid=False,
)

external_reference = Table(
    "external_reference",
    metadata,
    Column("originator", String(200), nullable=False),
    Column("source", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("record_id", String(32), ForeignKey("record.record_id"), nullable=False),
    PrimaryKeyConstraint("originator", "source", "reference"),
    Index("external_reference_record", "record_id"),
    sqlite_with_rowid=False,
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("agency", String(200), nullable=False),
    Column("method", String(200), nullable=False),
    Column("key", String(64), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("record_id", String(32), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("agency", "method", "key"),
)

agency = Table(
    "agency",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("display_name", Text, nullable=False),
    Column("country", String(2), nullable=False),
    Column("level", String(16), nullable=False),
    Column("parent", String(200), nullable=False),
    Column("contact", Text, nullable=False),
    Column("compartments", Text, nullable=False),
    Column("inspectorate", Boolean, nullable=False),
    # Came by an approved proposal, not by the operator's file, so that loading the file leaves it alone.
    Column("enrolled", Boolean, nullable=False, server_default=false()),
)

agreement = Table(
    "agreement",
    metadata,
    Column("agreement_id", String(200), primary_key=True),
    Column("parties", Text, nullable=False),
    Column("purposes", Text, nullable=False),
    Column("ceiling", String(32), nullable=False),
    Column("valid_from_us", BigInteger, nullable=False),
    Column("valid_until_us", BigInteger, nullable=False),
    Column("record_types", Text, nullable=False),
    Column("classes", Text, nullable=False),
    Column("use", String(32), nullable=False),
    Column("onward", String(32), nullable=False),
    Column("assurances", Text, nullable=False),
    Column("legal_bases", Text, nullable=False),
    # What its parties signed, as it was handed in.
    Column("document", Text, nullable=False),
    # As with agencies: by an approved proposal, or by the operator's file.
    Column("enrolled", Boolean, nullable=False, server_default=false()),
)

# Agreements that ended before their time. They stay here whatever the operator's file says: an id that was withdrawn
# never counts again.
agreement_withdrawal = Table(
    "agreement_withdrawal",
    metadata,
    Column("agreement_id", String(200), primary_key=True),
    Column("agency", String(200), nullable=False),
    Column("user", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("time_us", BigInteger, nullable=False),
)

# One row. The revision grows whenever agencies or agreements change; a grant names the one that it was decided on.
directory_revision = Table(
    "directory_revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)

# The registry's journal: one row for each committed change of what follows. Its highest number is the revision that
# every worker watches, and an exchange found here was done (recovery).
registry_change = Table(
    "registry_change",
    metadata,
    Column("seq", _Seq, primary_key=True),
    Column("exchange_id", String(32), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("subject", Text, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Index("registry_change_exchange", "exchange_id"),
    sqlite_autoincrement=True,
)

# What was revoked, and what of it was lifted again. `kind` and `subject` as in `domain.standing`.
revocation = Table(
    "revocation",
    metadata,
    Column("revocation_id", String(32), primary_key=True),
    Column("seq", _Seq, ForeignKey("registry_change.seq"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("subject", Text, nullable=False),
    # The agency that it concerns, so that its administrators can list it; empty where it concerns none.
    Column("agency", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("by_agency", String(200), nullable=False),
    Column("by_user", String(255), nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("lifted_us", BigInteger),
    Index("revocation_seq", "seq"),
    Index("revocation_subject", "kind", "subject"),
)

# Issuers that were registered by an approved proposal; those in the operator's file are not here.
issuer = Table(
    "issuer",
    metadata,
    Column("url", String(255), primary_key=True),
    Column("agency", String(200), nullable=False),
    Column("jwks", Text, nullable=False),
    Column("jwks_uri", Text, nullable=False),
)

# Who was appointed to a role that counts by appointment alone.
appointment = Table(
    "appointment",
    metadata,
    Column("agency", String(200), primary_key=True),
    Column("user", String(255), primary_key=True),
    Column("role", String(64), primary_key=True),
    # As with agencies: by an approved proposal, or by the operator's file.
    Column("enrolled", Boolean, nullable=False, server_default=false()),
)

proposal = Table(
    "proposal",
    metadata,
    Column("proposal_id", String(32), primary_key=True),
    Column("seq", _Seq, ForeignKey("registry_change.seq"), nullable=False),
    Column("change", LargeBinary, nullable=False),
    # The agency that it concerns, so that its administrators can list it.
    Column("agency", String(200), nullable=False),
    Column("key_fingerprint", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("proposer_agency", String(200), nullable=False),
    Column("proposer_user", String(255), nullable=False),
    Column("propose_us", BigInteger, nullable=False),
    Column("decider_agency", String(200), nullable=False),
    Column("decider_user", String(255), nullable=False),
    Column("decide_us", BigInteger, nullable=False),
    Index("proposal_seq", "seq"),
)

# Certificates that were filed or seen, so that nobody is surprised by their end.
certificate = Table(
    "certificate",
    metadata,
    Column("thumbprint", String(64), primary_key=True),
    Column("agency", String(200), nullable=False),
    Column("spiffe_id", Text, nullable=False),
    Column("not_after_us", BigInteger, nullable=False),
    # The approved enrolment that it was filed for; empty: seen.
    Column("proposal_id", String(32), nullable=False),
    # The smallest threshold in days that a warning was left for; 0: none yet.
    Column("warned_days", Integer, nullable=False),
    Index("certificate_end", "not_after_us"),
)

# The policies that are and were in force, whole; the highest epoch is the one in force. Nothing is ever removed: a
# decision on record is explained by the rules of its time.
policy = Table(
    "policy",
    metadata,
    Column("epoch", _Seq, primary_key=True),
    Column("seq", _Seq, ForeignKey("registry_change.seq"), nullable=False, unique=True),
    Column("revision", String(64), nullable=False),
    Column("archive", LargeBinary, nullable=False),
    Column("origin", String(16), nullable=False),
    Column("note", Text, nullable=False),
    Column("since_us", BigInteger, nullable=False),
    # The approved proposal that brought it; empty: the operator's configuration did.
    Column("proposal_id", String(32), nullable=False),
    Index("policy_revision", "revision"),
    sqlite_autoincrement=True,
)
