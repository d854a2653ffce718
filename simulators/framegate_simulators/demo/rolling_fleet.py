"""The cameras of the rollout demonstration, as the rollout sees them."""

from __future__ import annotations

from typing import Any

from framegate_simulators.machine.boot import Firmware
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import PlantError
from framegate_simulators.plant.site import Site


class RollingFleet:
    """Cameras that one rollout goes over."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.cameras: list[Site] = []
        self.rollout = ""

    def update(self, name: str, firmware: Firmware) -> None:
        """Reboot a camera into another firmware."""
        site = self.plant.sites[name]
        self.plant.stop_agent(site)
        site.machine.reboot(firmware)
        self.plant.start_agent(site)

    def status(self) -> dict[str, Any]:
        """The rollout by the controller."""
        return dict(self.plant.ask("rollout", "status", self.rollout))

    def devices(self) -> list[dict[str, Any]]:
        """Its cameras, each with its step and how it was seen."""
        return list(self.status()["devices"])

    def waiting_for(self, step: str) -> list[str]:
        """Cameras whose turn is `step` and that are not updated yet."""
        names = [
            d["device"].rsplit(".", 1)[1]
            for d in self.devices()
            if d["step"] == step and d["seen"] == "waiting" and d["state"] != "retired"
        ]
        if not names:
            raise PlantError(
                f"nobody waits for {step}:"
                f" {[(d['device'], d['step'], d['seen']) for d in self.devices()]}"
            )
        return names

    def seen(self, name: str) -> str:
        """How the rollout saw this camera."""
        return next(
            (str(d["seen"]) for d in self.devices() if d["device"].endswith(f".{name}")), ""
        )

    def state_of(self, name: str) -> str:
        """The camera's state by the controller."""
        return str(self.plant.ask("camera", "show", name)["state"])

    def all_trusted(self) -> bool:
        """Whether every camera is trusted."""
        names = {c.name for c in self.cameras}
        return all(
            c["state"] == "trusted" for c in self.plant.ask("camera", "list") if c["name"] in names
        )
