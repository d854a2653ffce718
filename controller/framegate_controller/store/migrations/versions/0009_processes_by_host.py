"""A gateway process is its host's: another host that names it takes nothing from it"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _keyed_by("host", "publics_sha256")


def downgrade() -> None:
    # what two hosts named is one's again; who that is, their next attestations say
    op.execute(
        "DELETE FROM gateways WHERE EXISTS (SELECT 1 FROM gateways AS other"
        " WHERE other.publics_sha256 = gateways.publics_sha256 AND other.host < gateways.host)"
    )
    _keyed_by("publics_sha256")


def _keyed_by(*columns: str) -> None:
    op.drop_index("ix_gateways_host", table_name="gateways")
    op.rename_table("gateways", "gateways_before")
    op.create_table(
        "gateways",
        sa.Column("publics_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("publics", sa.LargeBinary(), nullable=False),
        sa.Column("result_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint(*columns),
    )
    op.execute(
        "INSERT INTO gateways (publics_sha256, host, publics, result_id)"
        " SELECT publics_sha256, host, publics, result_id FROM gateways_before"
    )
    op.drop_table("gateways_before")
    op.create_index("ix_gateways_host", "gateways", ["host"], unique=False)
