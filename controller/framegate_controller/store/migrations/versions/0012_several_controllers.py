"""Who has which duty of several controllers, and what they count together"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("duty", sa.String(length=63), nullable=False),
        sa.Column("owner", sa.String(length=63), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("duty"),
    )
    op.create_table(
        "tries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("counter", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_tries_counter_at_ms", "tries", ["counter", "at_ms"])
    op.create_index("ix_tries_at_ms", "tries", ["at_ms"])
    op.create_table(
        "waiting",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name"),
    )
    op.create_index("ix_waiting_expires_ms", "waiting", ["expires_ms"])
    op.create_table(
        "answered_challenges",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_answered_challenges_expires_ms", "answered_challenges", ["expires_ms"])
    op.create_table(
        "controllers",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("authorities", sa.Text(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    with op.batch_alter_table("access_requests") as batch:
        # playbooks ask too, whose names are longer than people's
        batch.alter_column("requester", existing_type=sa.String(63), type_=sa.String(200))
    if op.get_bind().dialect.name == "sqlite":
        # an earlier default was a text without characters, which no other database takes for bytes
        op.execute(
            "UPDATE devices SET boot_log_sha256 = x'' WHERE typeof(boot_log_sha256) = 'text'"
        )


def downgrade() -> None:
    with op.batch_alter_table("access_requests") as batch:
        batch.alter_column("requester", existing_type=sa.String(200), type_=sa.String(63))
    for table in ("controllers", "answered_challenges", "waiting", "tries", "leases"):
        op.drop_table(table)
