"""What machines and strangers have asked of all controllers together"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quota_levels",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("calls", sa.Double(), nullable=False),
        sa.Column("size", sa.Double(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("full_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("ix_quota_levels_full_ms", "quota_levels", ["full_ms"])


def downgrade() -> None:
    op.drop_table("quota_levels")
