"""What the access policy may ask of a machine, out of what the registry knows of it."""

from __future__ import annotations

import json
from typing import Any

from framegate.access.questions import device_facts
from framegate.profile.posture import posture_text
from framegate.registry.device import Device


def facts_of(device: Device, now_ms: int) -> dict[str, Any]:
    """The facts of `device` at this moment; what its agent says of it is its own word."""
    shown = device.shown
    return device_facts(
        device=device.id,
        kind=device.kind,
        zone=device.zone,
        name=device.name,
        state=device.state,
        maintenance=device.serviced(now_ms),
        profile=device.profile,
        vector=shown.vector,
        posture=_members(shown.posture),
    )


def _members(posture: str) -> dict[str, Any]:
    """None of what is no posture: a row that 0.1.0 wrote has what its machine sent, whatever that
    was, until the next evidence.
    """
    text = posture_text(posture.encode(errors="replace"))
    return dict(json.loads(text)) if text else {}
