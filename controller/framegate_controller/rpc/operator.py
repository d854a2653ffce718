"""Every call of operators, as one table."""

from __future__ import annotations

from typing import Final

from framegate_controller.rpc import (
    access,
    assessment,
    ca,
    decisions,
    devices,
    evidence,
    fleet_views,
    incidents,
    models,
    parts,
    people,
    playbooks,
    policy,
    profiles,
    record,
    reviews,
    rollouts,
    sinks,
    sites,
    zones,
)
from framegate_controller.rpc.table import AnyRpc

TABLE: Final[tuple[AnyRpc, ...]] = (
    *devices.ROWS,
    *zones.ROWS,
    *fleet_views.ROWS,
    *profiles.ROWS,
    *rollouts.ROWS,
    *evidence.ROWS,
    *models.ROWS,
    *parts.ROWS,
    *people.ROWS,
    *access.ROWS,
    *policy.ROWS,
    *playbooks.ROWS,
    *record.ROWS,
    *decisions.ROWS,
    *sinks.ROWS,
    *sites.ROWS,
    *ca.ROWS,
    *incidents.ROWS,
    *reviews.ROWS,
    *assessment.ROWS,
)
