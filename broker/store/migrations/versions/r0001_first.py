"""The first schema.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Everything."""
    op.create_table(
        "agency",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("parent", sa.String(length=200), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("compartments", sa.Text(), nullable=False),
        sa.Column("inspectorate", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "agreement",
        sa.Column("agreement_id", sa.String(length=200), nullable=False),
        sa.Column("parties", sa.Text(), nullable=False),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("ceiling", sa.String(length=32), nullable=False),
        sa.Column("valid_from_us", sa.BigInteger(), nullable=False),
        sa.Column("valid_until_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agreement_id"),
    )
    op.create_table(
        "change",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("exchange_id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("change_exchange", "change", ["exchange_id"], unique=False)
    op.create_table(
        "directory_revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "idempotency",
        sa.Column("agency", sa.String(length=200), nullable=False),
        sa.Column("method", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agency", "method", "key"),
    )
    op.create_table(
        "mark_set",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("canonical", sa.Text(), nullable=False),
        sa.Column("originator", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("canonical"),
    )
    op.create_index("mark_set_originator", "mark_set", ["originator"], unique=False)
    op.create_table(
        "value_index",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("field_class", sa.String(length=32), nullable=False),
        sa.Column("portion", sa.Integer(), nullable=False),
        sa.Column("container", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", "seq", "field_class", "portion", "container"),
        sqlite_with_rowid=False,
    )
    op.create_index("value_index_seq", "value_index", ["seq"], unique=False)
    op.create_table(
        "word_index",
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("field_class", sa.String(length=32), nullable=False),
        sa.Column("portion", sa.Integer(), nullable=False),
        sa.Column("container", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("word", "seq", "field_class", "portion", "container"),
        sqlite_with_rowid=False,
    )
    op.create_index("word_index_seq", "word_index", ["seq"], unique=False)
    op.create_table(
        "mark_set_count",
        sa.Column("mark_set", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["mark_set"],
            ["mark_set.id"],
        ),
        sa.PrimaryKeyConstraint("mark_set"),
    )
    op.create_table(
        "record",
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("record_type", sa.String(length=32), nullable=False),
        sa.Column("originator", sa.String(length=200), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mark_set", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["mark_set"],
            ["mark_set.id"],
        ),
        sa.ForeignKeyConstraint(
            ["seq"],
            ["change.seq"],
        ),
        sa.PrimaryKeyConstraint("record_id"),
        sa.UniqueConstraint("seq"),
    )
    op.create_index("record_mark_set", "record", ["mark_set", "seq"], unique=False)
    op.create_table(
        "external_reference",
        sa.Column("originator", sa.String(length=200), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["record_id"],
            ["record.record_id"],
        ),
        sa.PrimaryKeyConstraint("originator", "source", "reference"),
        sqlite_with_rowid=False,
    )
    op.create_index("external_reference_record", "external_reference", ["record_id"], unique=False)
    op.create_table(
        "version",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("mark_set", sa.Integer(), nullable=False),
        sa.Column("portion_mark_sets", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("exchange_id", sa.String(length=32), nullable=False),
        sa.Column("etag", sa.String(length=64), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["mark_set"],
            ["mark_set.id"],
        ),
        sa.ForeignKeyConstraint(
            ["record_id"],
            ["record.record_id"],
        ),
        sa.ForeignKeyConstraint(
            ["seq"],
            ["change.seq"],
        ),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("record_id", "version", name="version_of_record"),
    )
    op.execute("INSERT INTO directory_revision (id, revision) VALUES (0, 0)")
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER mark_set_no_{verb.lower()} BEFORE {verb} ON mark_set "
                "BEGIN SELECT RAISE(ABORT, 'mark sets are append-only'); END"
            )


def downgrade() -> None:
    """There is nothing before it."""
    raise NotImplementedError("the first revision cannot be undone; delete the database instead")
