"""Every table of the registry in one `MetaData`, for migrations to compare the database with."""

from __future__ import annotations

from typing import Final

from framegate_controller.store.tables import (
    decisions,
    evidence,
    firmware,
    fleet,
    inspection,
    machines,
    people,
    playbooks,
    record,
    shared,
    sinks,
    sites,
)
from framegate_controller.store.tables.base import Base

DECLARED: Final = (
    decisions,
    evidence,
    firmware,
    fleet,
    inspection,
    machines,
    people,
    playbooks,
    record,
    shared,
    sinks,
    sites,
)
"""Imported for their declarations: the metadata has a table once its class exists."""
METADATA: Final = Base.metadata
