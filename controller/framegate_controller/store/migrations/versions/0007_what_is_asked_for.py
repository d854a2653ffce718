"""Requests keep the message they are of, whole"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "request_contents",
        sa.Column("request", sa.String(length=16), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("request"),
    )
    with op.batch_alter_table("access_requests") as batch:
        batch.add_column(
            sa.Column("content_type", sa.String(length=63), nullable=False, server_default="")
        )
        batch.alter_column("target", existing_type=sa.String(length=200), type_=sa.Text())
    # nobody could be shown what these are of: they have to be asked for anew
    op.execute(
        "UPDATE access_requests SET state = 'expired'"
        " WHERE kind != 'review' AND (state = 'pending' OR (state = 'approved' AND kind = 'act'))"
    )


def downgrade() -> None:
    with op.batch_alter_table("access_requests") as batch:
        batch.alter_column("target", existing_type=sa.Text(), type_=sa.String(length=200))
        batch.drop_column("content_type")
    op.drop_table("request_contents")
