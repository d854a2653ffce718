"""Playbooks, their steps, and evidence that is kept for good"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "playbooks",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.Column("enabled_by", sa.String(length=200), nullable=False),
        sa.Column("enabled_ms", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "revision"),
    )
    op.create_table(
        "playbook_steps",
        sa.Column("playbook", sa.String(length=63), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("trigger", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("zone", sa.String(length=63), nullable=False),
        sa.Column("event", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("planned_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.Column("request", sa.String(length=16), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("playbook", "revision", "trigger", "number"),
    )
    for column in ("state", "at_ms", "request"):
        op.create_index(f"ix_playbook_steps_{column}", "playbook_steps", [column])
    op.create_table(
        "held_evidence",
        sa.Column("evidence", sa.String(length=32), nullable=False),
        sa.Column("device", sa.String(length=200), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("evidence"),
    )
    op.create_index("ix_held_evidence_device", "held_evidence", ["device"])


def downgrade() -> None:
    op.drop_table("held_evidence")
    op.drop_table("playbook_steps")
    op.drop_table("playbooks")
