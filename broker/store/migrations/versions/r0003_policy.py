"""Policy: agreements as their parties signed them, what is told beside the rows, the policies that were in force.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# SQLite grows an INTEGER PRIMARY KEY by itself, and no other type.
_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# The values of records whose originators had chosen pointers already, in portions that ask for nothing beyond their
# record's marks (`domain.marks.adds_nothing`). Silence could not be chosen yet.
_POINTERS_OF_THEN = """
INSERT INTO beside_index (term, seq, portion, container, pointed)
SELECT DISTINCT v.kind || ' ' || v.value, v.seq, v.portion, v.container, 1
FROM value_index AS v
JOIN mark_set AS c ON c.id = v.container
JOIN mark_set AS p ON p.id = v.portion
WHERE v.kind <> 'OPERATION'
AND json_extract(c.canonical, '$.fallback') = 'POINTER'
AND coalesce(json_extract(p.canonical, '$.fallback'), 'POINTER') = 'POINTER'
AND (coalesce(json_extract(p.canonical, '$.sanitisation'), '') <> 'SOURCE_PROTECTED'
     OR coalesce(json_extract(c.canonical, '$.sanitisation'), '') = 'SOURCE_PROTECTED')
AND json_remove(p.canonical, '$.fallback', '$.sanitisation') = json_remove(c.canonical, '$.fallback', '$.sanitisation')
"""


def upgrade() -> None:
    """Everything that policy adds."""
    # What no party had signed does not count any more; the operator's file is read again at the start. A worker that
    # still runs the version before learns of it by the revision.
    op.execute("UPDATE directory_revision SET revision = revision + 1 WHERE EXISTS (SELECT 1 FROM agreement)")
    op.drop_table("agreement")
    op.create_table(
        "agreement",
        sa.Column("agreement_id", sa.String(length=200), nullable=False),
        sa.Column("parties", sa.Text(), nullable=False),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("ceiling", sa.String(length=32), nullable=False),
        sa.Column("valid_from_us", sa.BigInteger(), nullable=False),
        sa.Column("valid_until_us", sa.BigInteger(), nullable=False),
        sa.Column("record_types", sa.Text(), nullable=False),
        sa.Column("classes", sa.Text(), nullable=False),
        sa.Column("use", sa.String(length=32), nullable=False),
        sa.Column("onward", sa.String(length=32), nullable=False),
        sa.Column("assurances", sa.Text(), nullable=False),
        sa.Column("legal_bases", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("enrolled", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("agreement_id"),
    )
    op.create_table(
        "agreement_withdrawal",
        sa.Column("agreement_id", sa.String(length=200), nullable=False),
        sa.Column("agency", sa.String(length=200), nullable=False),
        sa.Column("user", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agreement_id"),
    )
    op.create_table(
        "beside_index",
        sa.Column("term", sa.Text(), nullable=False),
        sa.Column("seq", _SEQ, nullable=False),
        sa.Column("portion", sa.Integer(), nullable=False),
        sa.Column("container", sa.Integer(), nullable=False),
        sa.Column("pointed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("term", "seq", "portion", "container"),
        sqlite_with_rowid=False,
    )
    op.create_index("beside_index_seq", "beside_index", ["seq"])
    op.execute(_POINTERS_OF_THEN)
    op.create_table(
        "policy",
        sa.Column("epoch", _SEQ, nullable=False),
        sa.Column("seq", _SEQ, nullable=False),
        sa.Column("revision", sa.String(length=64), nullable=False),
        sa.Column("archive", sa.LargeBinary(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("proposal_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["registry_change.seq"]),
        sa.PrimaryKeyConstraint("epoch"),
        sa.UniqueConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("policy_revision", "policy", ["revision"], unique=False)
