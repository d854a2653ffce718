"""An index for who shows this key, which every call of a machine asks"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_devices_tls_spki_sha256", "devices", ["tls_spki_sha256"])


def downgrade() -> None:
    op.drop_index("ix_devices_tls_spki_sha256", "devices")
