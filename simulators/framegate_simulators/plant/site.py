"""A machine of the plant and the agent on it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from framegate_simulators.machine.machine import Machine


@dataclass
class Site:
    """One machine of the plant and the agent that runs on it."""

    machine: Machine
    kind: str
    name: str
    agent: subprocess.Popen[bytes] | None = None
    source: list[str] = field(default_factory=list)

    @property
    def disk(self) -> Path:
        """The agent's state folder."""
        return self.machine.disk

    def status(self) -> dict[str, Any]:
        """What the agent says of itself; empty before it said anything."""
        try:
            body = json.loads((self.disk / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        return dict(body)
