"""A boot log stands once, and not in each piece of evidence that came with it"""

import zlib

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "evidence", sa.Column("log_at", sa.BigInteger(), nullable=False, server_default="-1")
    )


def downgrade() -> None:
    evidence = sa.table("evidence", *map(sa.column, ("id", "proof", "log_at", "boot_log_sha256")))
    logs = sa.table("boot_logs", sa.column("sha256"), sa.column("content"))
    query = sa.select(evidence, logs.c.content).join(
        logs, logs.c.sha256 == evidence.c.boot_log_sha256
    )
    bind = op.get_bind()
    for row in bind.execute(query.where(evidence.c.log_at >= 0)).all():
        rest, log, at = zlib.decompress(row.proof), zlib.decompress(row.content), row.log_at
        whole = zlib.compress(rest[:at] + log + rest[at:])
        bind.execute(
            sa.update(evidence).where(evidence.c.id == row.id).values(proof=whole, log_at=-1)
        )
    with op.batch_alter_table("evidence") as batch_op:
        batch_op.drop_column("log_at")
