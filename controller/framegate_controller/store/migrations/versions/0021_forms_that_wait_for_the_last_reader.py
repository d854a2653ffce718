"""What a controller can read is known to the others, and an EAR is kept without what its row says

Nothing is written in the new form while a controller of before is about: see ADR 66.
"""

import sqlalchemy as sa
from alembic import op

from framegate_controller.store.sql.ear_form import unpacked_ear

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ear_headers",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("header", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sha256"),
    )
    for name in ("ear_packed", "ear_header"):
        op.add_column("results", sa.Column(name, sa.LargeBinary(), nullable=True))
    op.add_column(
        "controllers", sa.Column("reads", sa.Integer(), nullable=False, server_default="0")
    )


def downgrade() -> None:
    of = ("id", "device", "profile", "profile_sha256", "evidence_sha256", "ak_public", "ear")
    results = sa.table("results", *map(sa.column, (*of, "ear_packed", "ear_header")))
    headers = sa.table("ear_headers", sa.column("sha256"), sa.column("header"))
    query = sa.select(results, headers.c.header).join(
        headers, headers.c.sha256 == results.c.ear_header
    )
    bind = op.get_bind()
    for row in bind.execute(query).all():
        whole = unpacked_ear(row.ear_packed, row.header, row)
        bind.execute(sa.update(results).where(results.c.id == row.id).values(ear=whole))
    for table, names in (("results", ("ear_packed", "ear_header")), ("controllers", ("reads",))):
        with op.batch_alter_table(table) as batch_op:
            for name in names:
                batch_op.drop_column(name)
    op.drop_table("ear_headers")
