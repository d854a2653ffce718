"""Device versions, boot logs by digest alone, spent challenges in the place of open ones, kinds of
requests, the first revision
"""

import hashlib
import zlib

import sqlalchemy as sa
from alembic import op

from framegate_controller.store.migrations.defaults import no_bytes

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spent_challenges",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_spent_challenges_expires_ms", "spent_challenges", ["expires_ms"])
    with op.batch_alter_table("devices") as batch:
        batch.add_column(
            sa.Column(
                "boot_log_sha256", sa.LargeBinary(), nullable=False, server_default=no_bytes()
            )
        )
        batch.add_column(sa.Column("version", sa.BigInteger(), nullable=False, server_default="0"))
    with op.batch_alter_table("access_requests") as batch:
        batch.add_column(
            sa.Column("kind", sa.String(length=16), nullable=False, server_default="act")
        )
    op.execute("UPDATE access_requests SET kind = 'role' WHERE role != ''")
    op.execute("UPDATE access_requests SET kind = 'review', verb = '' WHERE verb = 'break-glass'")
    connection = op.get_bind()
    for device, log in connection.execute(
        sa.text("SELECT id, boot_log FROM devices WHERE length(boot_log) > 0")
    ).all():
        digest = hashlib.sha256(log).digest()
        known = connection.execute(
            sa.text("SELECT 1 FROM boot_logs WHERE sha256 = :d"), {"d": digest}
        ).first()
        if known is None:
            connection.execute(
                sa.text("INSERT INTO boot_logs (sha256, content) VALUES (:d, :c)"),
                {"d": digest, "c": zlib.compress(log)},
            )
        connection.execute(
            sa.text("UPDATE devices SET boot_log_sha256 = :d WHERE id = :i"),
            {"d": digest, "i": device},
        )
    with op.batch_alter_table("devices") as batch:
        batch.drop_column("boot_log")
    op.drop_index("ix_sessions_expires_ms", "sessions")
    op.drop_table("sessions")
    for row in (1, 2):  # of trust, of firmware
        if (
            connection.execute(sa.text("SELECT 1 FROM revision WHERE id = :i"), {"i": row}).first()
            is None
        ):
            connection.execute(
                sa.text("INSERT INTO revision (id, value) VALUES (:i, 0)"), {"i": row}
            )


def downgrade() -> None:
    op.execute("DELETE FROM revision WHERE id = 2")
    with op.batch_alter_table("access_requests") as batch:
        batch.drop_column("kind")
    with op.batch_alter_table("devices") as batch:
        batch.add_column(
            sa.Column("boot_log", sa.LargeBinary(), nullable=False, server_default=no_bytes())
        )
        batch.drop_column("version")
        batch.drop_column("boot_log_sha256")
    op.create_table(
        "sessions",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.String(length=200), nullable=False),
        sa.Column("peer", sa.String(length=100), nullable=False),
        sa.Column("join", sa.Boolean(), nullable=False),
        sa.Column("hello", sa.LargeBinary(), nullable=False),
        sa.Column("challenge", sa.LargeBinary(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("ticket", sa.LargeBinary(), nullable=True),
        sa.Column("endorsement", sa.Text(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_sessions_expires_ms", "sessions", ["expires_ms"])
    op.drop_index("ix_spent_challenges_expires_ms", "spent_challenges")
    op.drop_table("spent_challenges")
