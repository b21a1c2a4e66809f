"""The registry: revocations, issuers, appointments, proposals, certificates.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Everything that identity adds."""
    op.add_column("agency", sa.Column("enrolled", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "registry_change",
        sa.Column("seq", _SEQ, nullable=False),
        sa.Column("exchange_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("registry_change_exchange", "registry_change", ["exchange_id"], unique=False)
    op.create_table(
        "revocation",
        sa.Column("revocation_id", sa.String(length=32), nullable=False),
        sa.Column("seq", _SEQ, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("agency", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by_agency", sa.String(length=200), nullable=False),
        sa.Column("by_user", sa.String(length=255), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("lifted_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["seq"], ["registry_change.seq"]),
        sa.PrimaryKeyConstraint("revocation_id"),
    )
    op.create_index("revocation_seq", "revocation", ["seq"], unique=False)
    op.create_index("revocation_subject", "revocation", ["kind", "subject"], unique=False)
    op.create_table(
        "issuer",
        sa.Column("url", sa.String(length=255), nullable=False),
        sa.Column("agency", sa.String(length=200), nullable=False),
        sa.Column("jwks", sa.Text(), nullable=False),
        sa.Column("jwks_uri", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("url"),
    )
    op.create_table(
        "appointment",
        sa.Column("agency", sa.String(length=200), nullable=False),
        sa.Column("user", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("enrolled", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("agency", "user", "role"),
    )
    op.create_table(
        "proposal",
        sa.Column("proposal_id", sa.String(length=32), nullable=False),
        sa.Column("seq", _SEQ, nullable=False),
        sa.Column("change", sa.LargeBinary(), nullable=False),
        sa.Column("agency", sa.String(length=200), nullable=False),
        sa.Column("key_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("proposer_agency", sa.String(length=200), nullable=False),
        sa.Column("proposer_user", sa.String(length=255), nullable=False),
        sa.Column("propose_us", sa.BigInteger(), nullable=False),
        sa.Column("decider_agency", sa.String(length=200), nullable=False),
        sa.Column("decider_user", sa.String(length=255), nullable=False),
        sa.Column("decide_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["registry_change.seq"]),
        sa.PrimaryKeyConstraint("proposal_id"),
    )
    op.create_index("proposal_seq", "proposal", ["seq"], unique=False)
    op.create_table(
        "certificate",
        sa.Column("thumbprint", sa.String(length=64), nullable=False),
        sa.Column("agency", sa.String(length=200), nullable=False),
        sa.Column("spiffe_id", sa.Text(), nullable=False),
        sa.Column("not_after_us", sa.BigInteger(), nullable=False),
        sa.Column("proposal_id", sa.String(length=32), nullable=False),
        sa.Column("warned_days", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("thumbprint"),
    )
    op.create_index("certificate_end", "certificate", ["not_after_us"], unique=False)
