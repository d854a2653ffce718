"""Indices for what is looked for by the clock, so that no look reads through the fleet"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None

_MAINTENANCE = sa.text("maintenance_until_ms <> 0")


def upgrade() -> None:
    op.create_index(
        "ix_devices_maintenance",
        "devices",
        ["maintenance_until_ms"],
        sqlite_where=_MAINTENANCE,
        postgresql_where=_MAINTENANCE,
    )
    op.create_index("ix_devices_kind_state", "devices", ["kind", "state"])
    op.create_index("ix_devices_boot_log_sha256", "devices", ["boot_log_sha256"])
    op.create_index("ix_evidence_boot_log_sha256", "evidence", ["boot_log_sha256"])


def downgrade() -> None:
    for table, name in (
        ("evidence", "ix_evidence_boot_log_sha256"),
        ("devices", "ix_devices_boot_log_sha256"),
        ("devices", "ix_devices_kind_state"),
        ("devices", "ix_devices_maintenance"),
    ):
        op.drop_index(name, table)
