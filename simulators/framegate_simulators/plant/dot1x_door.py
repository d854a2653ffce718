"""A simulated network whose ports 802.1X opens: hostapd beside the bridge, and the enforcer's
admissions on the kernel's own packet filter, looked after while one waits.
"""

from __future__ import annotations

import asyncio
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from framegate_segment.admission.hostapd import HostapdPort
from framegate_segment.admission.ports import Admission, Admissions
from framegate_segment.disconnect import Switch, disconnect
from framegate_segment.netlink.links import LinkEvents
from framegate_segment.netlink.namespace import Namespace
from framegate_simulators.plant.dot1x import (
    AdmissionCa,
    Claim,
    Programs,
    start_hostapd,
    start_supplicant,
)
from framegate_simulators.plant.namespaces import ROUTER, Network
from framegate_simulators.plant.processes import wait_for
from framegate_simulators.plant.segment_plan import planned_segment
from framegate_simulators.plant.segment_site import Site

PATIENCE_S: Final = 60.0
ROUND_S: Final = 0.02
DISCONNECT_PORT: Final = 3799
"""RFC 5176, section 3."""
SWITCH_SECRET: Final = "the-secret-of-the-switch-alone"  # noqa: S105 (of a simulated switch)
DYNAMIC: Final = (
    f"radius_das_port={DISCONNECT_PORT}",
    f"radius_das_client=127.0.0.1 {SWITCH_SECRET}",
    "radius_das_require_event_timestamp=1",
    "radius_das_require_message_authenticator=1",
)
"""What an authenticator is told so that it takes Disconnect-Requests."""


class Door:
    """A segmented network whose ports 802.1X opens. `extra` are lines of hostapd's settings."""

    def __init__(
        self,
        network: Network,
        folder: Path,
        ports: Sequence[str] = ("p-cam1", "p-intr"),
        extra: Sequence[str] = (),
    ) -> None:
        network.run(ROUTER, "ip", "link", "set", "lo", "up")  # where RADIUS is heard
        self.network = network
        self.told: list[Admission] = []
        self.programs = Programs(folder)
        self.ca = AdmissionCa(folder / "ca")
        self.site = Site(network, planned_segment(dot1x=True))
        try:
            control = start_hostapd(self.programs, network, ports, self.ca, extra)
        except BaseException:
            self.programs.close()
            self.site.close()
            raise
        sets = self.site.kernel.bridge_sets
        self.admissions = Admissions(control, folder, sets, self.told.append)
        self._waiting: dict[str, HostapdPort] = {}
        self.admissions.opened = self._waiting.__setitem__
        with Namespace(network.file(ROUTER)).entered():
            self._links = LinkEvents()
        self.admissions.follow(self.site.segment)

    def __enter__(self) -> Door:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def look(self) -> None:
        """One round of the enforcer's loop."""
        self.admissions.tick()
        waiting = {s.socket: p for p, s in self._waiting.items() if s.socket.fileno() >= 0}
        ready, _, _ = select.select([*waiting, self._links.socket], [], [], ROUND_S)
        for one in ready:
            if one is self._links.socket:
                self.admissions.links(self._links.read())
            else:
                self.admissions.read(waiting[one])

    def until(self, condition: Callable[[], bool], what: str = "what has to come") -> None:
        """Look after admissions until it is so. Raises PlantError where that takes too long."""

        def there() -> bool:
            self.look()
            return condition()

        wait_for(what, there, PATIENCE_S)

    def admitted(self, at: tuple[str, str]) -> bool:
        """Whether this MAC address is let in behind this port."""
        return at in self.admissions.standing

    def in_kernel(self) -> int:
        """How many the packet filter lets in."""
        return len(self.site.kernel.bridge_sets.standing("admitted"))

    def claim(self, host: str, claim: Claim, ca: Path | None = None) -> subprocess.Popen[bytes]:
        """A supplicant at a host, that says it is somebody."""
        return start_supplicant(self.programs, self.network, host, ca or self.ca.file, claim)

    def disconnect(self, mac: str, secret: str = SWITCH_SECRET) -> float:
        """One Disconnect-Request to the authenticator, as the enforcer sends it; milliseconds until
        it was acknowledged. Raises Refused, Unavailable.
        """

        async def ask() -> float:
            begun = time.monotonic()
            await disconnect(Switch("127.0.0.1", DISCONNECT_PORT, secret.encode()), mac)
            return (time.monotonic() - begun) * 1000

        with self.network.at(ROUTER):
            return asyncio.run(ask())

    def close(self) -> None:
        """End all of it; the network stays."""
        self.admissions.close()
        self._links.close()
        self.programs.close()
        self.network.run(ROUTER, "nft", "flush", "ruleset")
        self.site.close()
