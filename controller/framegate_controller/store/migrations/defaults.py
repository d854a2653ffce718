"""Defaults that databases word differently."""

import sqlalchemy as sa
from alembic import op


def no_bytes() -> sa.TextClause:
    """Empty bytes, for a column that rows of before do not have."""
    return sa.text("x''" if op.get_bind().dialect.name == "sqlite" else "''::bytea")
