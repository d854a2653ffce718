"""A plant whose programs reach each other, and a TPM, over links that can be disturbed."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from framegate_simulators.chaos import disk
from framegate_simulators.chaos.disk import SmallDisk
from framegate_simulators.chaos.relay import Relay, Relays
from framegate_simulators.chaos.set_clocks import SetClocks
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import BIN
from framegate_simulators.plant.site import Site

LOOPBACK: Final = "127.0.0.1"
ADVERTISED: Final = "127.0.0.2"
"""Where tickets say that the controller is: links stand there on the ports of its own."""


class ChaosPlant(Plant):
    """`links` by name: controller, camera, gateway-broker, adapter-broker, tpm. Every program but
    the broker and swtpm goes by a clock of its own (`clocks`), and what it keeps lies on `disks` of
    its own, where they may be mounted.
    """

    def __init__(self, relays: Relays, *, interval_s: float, logs: Path) -> None:
        super().__init__(interval_s=interval_s, logs=logs)
        self.clocks = SetClocks(self.folder / "clocks")
        self.disks: dict[str, list[SmallDisk]] = {}
        self._mounts = disk.possible()
        if self._mounts:
            disk.own_mounts()
        self._relays = relays
        self.links: dict[str, list[Relay]] = {
            "controller": [
                relays.tcp(ADVERTISED, port, (LOOPBACK, port))
                for port in (self.join_port, self.fleet_port)
            ],
            "camera": [],
            "gateway-broker": [relays.tcp(LOOPBACK, 0, (LOOPBACK, self.broker_port))],
            "adapter-broker": [relays.tcp(LOOPBACK, 0, (LOOPBACK, self.broker_port))],
            "tpm": [],
        }
        self._cameras: dict[str, Relay] = {}
        self._tpms: dict[str, Relay] = {}

    def found_fleet(self, *extra: object) -> None:
        self._disk("controller", self.folder / "controller")
        super().found_fleet(*extra)

    def add_machine(
        self, name: str, kind: str = "camera", *, firmware: Firmware | None = None, ek: str = "p256"
    ) -> Site:
        site = super().add_machine(name, kind, firmware=firmware, ek=ek)
        if kind == "gateway":
            self._disk("gateway", site.machine.folder / "gateway")
        self._disk("camera" if kind == "camera" else "host", site.disk)
        return site

    def line_keys(self, name: str) -> Path:
        if "adapter" not in self.disks:
            self._disk("adapter", self.ledger(name).parent)
        return super().line_keys(name)

    def _disk(self, whose: str, folder: Path) -> None:
        """A small disk of its own for what a program keeps, where that may be."""
        if self._mounts:
            self.disks.setdefault(whose, []).append(disk.SmallDisk(folder, shared=True))

    def close(self) -> None:
        for site in self.sites.values():
            self.stop_agent(site)
        self.stop_all()
        for each in (one for some in self.disks.values() for one in some):
            each.remove()
        super().close()

    def start(self, name: str, program: str, *argv: object) -> subprocess.Popen[bytes]:
        if name == "broker":
            return super().start(name, program, *argv)
        env, *words = self.clocks.command(name)
        return super().start(name, env, *words, BIN / program, *argv)

    def start_controller(self, *extra: object) -> None:
        super().start_controller("--advertise", ADVERTISED, *extra)

    def start_link(self, site: Site) -> int:
        """A link of ours instead of a process; it stays."""
        if site.name not in self._cameras:
            at = self.gateway_ports(site)[0]
            link = self._cameras[site.name] = self._relays.tcp(LOOPBACK, 0, (LOOPBACK, at))
            self.links["camera"].append(link)
        return self._cameras[site.name].port

    def start_gateway(self, site: Site, *extra: object, golden: list[Path] | None = None) -> None:
        with self._broker_by("gateway-broker"):
            super().start_gateway(site, *extra, golden=golden)

    def start_line(self, name: str, cameras: list[Site], *extra: object) -> None:
        with self._broker_by("adapter-broker"):
            super().start_line(name, cameras, *extra)

    @contextlib.contextmanager
    def _broker_by(self, link: str) -> Iterator[None]:
        """Who is started meanwhile reaches the broker over that link."""
        own, self.broker_port = self.broker_port, self.links[link][0].port
        try:
            yield
        finally:
            self.broker_port = own

    def tpm(self, site: Site) -> Relay:
        """The link to a machine's TPM, made when it is first asked for; agents that start later
        use it.
        """
        if site.name not in self._tpms:
            own, here = site.machine.tpm.socket, site.machine.folder / "far.sock"
            link = self._tpms[site.name] = self._relays.unix(here, own, tpm=True)
            self.links["tpm"].append(link)
            self._relays.unix(Path(f"{here}.ctrl"), Path(f"{own}.ctrl"))
        return self._tpms[site.name]

    def tcti(self, site: Site) -> str:
        """How a program reaches a machine's TPM over its link."""
        self.tpm(site)
        return f"swtpm:path={site.machine.folder / 'far.sock'}"

    def agent_arguments(self, site: Site) -> list[object]:
        """A camera's TPM is reached over a link; a gateway's as it is, where nobody asked for
        one.
        """
        arguments = super().agent_arguments(site)
        if site.kind == "camera" or site.name in self._tpms:
            arguments[arguments.index("--tcti") + 1] = self.tcti(site)
        return arguments
