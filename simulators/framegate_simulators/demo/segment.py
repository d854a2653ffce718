"""The demonstration of segments: a network that admits nobody unproved, and lets go of whoever is
not trusted any more. In network namespaces of this host; as root.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

from framegate.segment.policy import FILE
from framegate_host.console import Terminal
from framegate_simulators.demo.cast import Cast
from framegate_simulators.demo.story import Scene, Story, tell
from framegate_simulators.plant.namespaces import ROUTER, Network, unavailable
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, PlantError, wait_for
from framegate_simulators.plant.segment_plan import ZONE, segment_text
from framegate_simulators.plant.streams import Receiver, Sender, reaches

INTERVAL_S: Final = 2.0
PATIENCE_S: Final = 90.0
FRAMES: Final = 7443
JOIN: Final = 8443
MODBUS: Final = 502
NO_S: Final = 0.5
"""How long a connection that must not come about is tried."""
_STAGED: Final = {"gateways": "stage", "plc": "stage"}
_FORGOTTEN: Final = (
    f'[{ZONE}.conduits.modbus]\nfrom = "gateways"\nto = "plc"\nport = "tcp/{MODBUS}"\n'
    'trust = ["from"]\nmode = "enforce"\n'
)


class SegmentDemo(Story):
    """The acts in the order in which they are told."""

    def __init__(self, plant: Plant, console: Terminal) -> None:
        super().__init__(plant, console)
        self.cast = Cast(plant, console)
        self.open = ExitStack()
        self.network: Network
        self.folder = plant.folder / "policy"

    def run(self) -> bool:
        """See `Story.run`; the network goes away with the story, however it ends."""
        with self.open:
            return super().run()

    def plan(self) -> Sequence[Scene]:
        """The acts in order."""
        return (
            Scene(
                "A network with an enforcer",
                "a fleet, a router between four cameras, gateway, controller, PLC and an intruder;"
                " zones and conduits in force by two",
                self.begin,
            ),
            Scene(
                "A camera that has proved nothing",
                "reaches the join port, and nothing else",
                self.unproved,
            ),
            Scene(
                "It proves itself",
                "its element is there a moment later, and its stream reaches the gateway",
                self.proves,
            ),
            Scene(
                "Its boot loader is replaced",
                "its stream ends in the switch; the record has when, and that nothing was left",
                self.tampered,
            ),
            Scene(
                "Why it does not get through",
                "conduit, set, the element that is missing, the failed check, what to do",
                self.explained,
            ),
            Scene(
                "The intruder clones a camera",
                "address and MAC of cam1 on another port: not a packet, and the port is named",
                self.cloned,
            ),
            Scene(
                "A stage names the forgotten conduit",
                "gateway to PLC passes, counted as would-drop; `segment diff` says so of the draft"
                " that enforces",
                self.staged,
            ),
            Scene(
                "Enforced, by two",
                "with its conduit the gateway reaches the PLC; the controller does not",
                self.enforced,
            ),
            Scene(
                "Somebody flushes the packet filter",
                "put right, and in the record with who it was",
                self.flushed,
            ),
            Scene(
                "The map",
                "who speaks with whom, and nothing that the policy does not allow",
                self.map,
            ),
        )

    def begin(self) -> str:
        """Fleet, people, network, policy, enforcer."""
        p = self.plant
        self.network = self.open.enter_context(Network())
        p.found_fleet()
        p.start_controller()
        p.framegate("trust", "add-tpm-ca", p.folder / "maker.pem")
        for name, kind in (("gw1", "gateway"), ("cam1", "camera")):
            self.join(name, kind)
        self.cast.who["sara"] = p.add_person("sara", "security")
        self.cast.who["sven"] = self.cast.added_by_two("sven", "security")
        p.framegate("policy", "pull", "--out", self.folder)
        (self.folder / FILE).write_text(segment_text(modes=_STAGED))
        p.framegate("segment", "validate", self.folder)
        request = self.by_two("segment", "apply", self.folder, "--note", "line 1, staged")
        keys = p.folder / "sw1"
        state = p.folder / "controller"
        p.command(
            "framegate-controller",
            *("enforcer-certificate", "sw1", "--zone", ZONE, "--out", keys, "--state", state),
        )
        p.start(
            "segment",
            "framegate-segment",
            *("run", "--credentials", keys, "--controller", f"127.0.0.1:{p.fleet_port}"),
            *("--server-name", "controller.plant.framegate", "--state", p.folder / "segment"),
            *("--namespace", self.network.file(ROUTER), "-v"),
        )
        for host, port in (("gw", FRAMES), ("ctl", JOIN), ("plc", MODBUS)):
            receiver = self.open.enter_context(Receiver(self.network, host, port))
            if host == "gw":
                self.received = receiver
        # so far everything passed: a router that enforces nothing
        wait_for(
            "cam3 to be kept from the gateway",
            lambda: not self.reaches("cam3", "gw", FRAMES, NO_S),
            PATIENCE_S,
        )
        self.wait_reaches("cam1", "gw", FRAMES)
        return f"sven approved {request}; cam1 streams as soon as the enforcer has heard of it"

    def unproved(self) -> str:
        """cam2 is plugged in and has not joined."""
        self.wait_reaches("cam2", "ctl", JOIN)
        for host, port in (("gw", FRAMES), ("plc", MODBUS), ("ctl", 22)):
            if self.reaches("cam2", host, port, NO_S):
                raise PlantError(f"cam2 reached {host}:{port} without a proof")
        return "cam2: join port yes; gateway, PLC, the controller's other ports no"

    def proves(self) -> str:
        """cam2 joins and attests."""
        self.join("cam2", "camera")
        self.wait_reaches("cam2", "gw", FRAMES)
        if self.reaches("cam3", "gw", FRAMES, NO_S):
            raise PlantError("cam3 reached the gateway without a proof")
        return "cam2 reaches the gateway; cam3, which proved nothing, does not"

    def tampered(self) -> str:
        """A stream of cam2 runs while it boots into another boot loader."""
        p, cam = self.plant, self.plant.sites["cam2"]
        with Sender(self.network, "cam2", (self.network.wires["gw"].address, FRAMES)) as stream:
            came = self.received.of(stream.name)
            wait_for("cam2's stream", lambda: came.count > 100, PATIENCE_S)
            p.stop_agent(cam)
            cam.machine.reboot(cam.machine.firmware.tampered())
            p.start_agent(cam)
            wait_for("the stream's end", lambda: not self.grows(came), PATIENCE_S)
        cut = wait_for(
            "the cut in the record",
            lambda: self.event("segment-cut", "cam2"),
            PATIENCE_S,
            every_s=0.5,
        )
        if self.reaches("cam2", "gw", FRAMES, NO_S):
            raise PlantError("cam2 reached the gateway again")
        return f"{came.count} messages came; {cut['detail']}"

    def explained(self) -> str:
        """As an operator asks."""
        asked = ("segment", "explain", "camera.line-1.cam2", "gateway.line-1.gw1", "tcp/7443")
        shown = self.plant.framegate(*asked, check=False)
        self.cast.show(shown.stdout)
        if shown.returncode != 6 or "m_cameras4" not in shown.stdout:
            raise PlantError(f"explain said {shown.returncode}: {shown.stdout} {shown.stderr}")
        return "the missing element, its set and why"

    def cloned(self) -> str:
        """The intruder takes cam1's address and MAC."""
        wire = self.network.wires["cam1"]
        self.network.run("intr", "ip", "link", "set", "eth0", "address", wire.mac)
        self.network.run("intr", "ip", "addr", "flush", "dev", "eth0")
        self.network.run("intr", "ip", "addr", "add", f"{wire.address}/24", "dev", "eth0")
        self.network.run("intr", "ip", "route", "add", "default", "via", "10.10.1.1")
        for host, port in (("gw", FRAMES), ("ctl", JOIN)):
            if self.reaches("intr", host, port, NO_S):
                raise PlantError(f"the clone reached {host}:{port}")
        told = wait_for(
            "the spoofing in the record",
            lambda: next((e for e in self.events("segment-spoofed") if "p-intr" in e["detail"]), 0),
            PATIENCE_S,
            every_s=0.5,
        )
        if not self.reaches("cam1", "gw", FRAMES):
            raise PlantError("cam1 itself does not get through any more")
        return str(told["detail"])

    def staged(self) -> str:
        """The gateway asks the PLC, which no conduit carries."""
        self.wait_reaches("gw", "plc", MODBUS)
        told = wait_for(
            "would-drop in the record",
            lambda: next(
                (e for e in self.events("segment-would-refuse") if "tcp/502" in e["detail"]), 0
            ),
            PATIENCE_S,
            every_s=0.5,
        )
        (self.folder / FILE).write_text(segment_text())
        diff = self.plant.framegate("segment", "diff", self.folder, check=False)
        self.cast.show(diff.stdout)
        if diff.returncode != 6 or "tcp/502" not in diff.stdout:
            raise PlantError(f"the draft's diff says {diff.returncode}: {diff.stdout}")
        return str(told["detail"])

    def enforced(self) -> str:
        """The forgotten conduit is added, and the zones are enforced, by two."""
        (self.folder / FILE).write_text(segment_text(extra=_FORGOTTEN))
        request = self.by_two("segment", "apply", self.folder, "--note", "line 1, enforced")
        wait_for(
            "the controller to be kept from the PLC",
            lambda: not self.reaches("ctl", "plc", MODBUS, NO_S),
            PATIENCE_S,
        )
        self.wait_reaches("gw", "plc", MODBUS)
        return f"sven approved {request}; gateway to PLC passes, controller to PLC does not"

    def flushed(self) -> str:
        """Somebody with root on the switch."""
        self.network.run(ROUTER, "nft", "flush", "ruleset")
        told = wait_for(
            "the repair in the record",
            lambda: next(iter(self.events("segment-repaired")), 0),
            PATIENCE_S,
            every_s=0.5,
        )
        if self.reaches("cam2", "gw", FRAMES, NO_S):
            raise PlantError("cam2 got through after the flush")
        self.wait_reaches("cam1", "gw", FRAMES)
        return f"{told['detail']}"

    def map(self) -> str:
        """What people see."""
        shown = self.plant.framegate("map", check=False)
        self.cast.show(shown.stdout)
        if shown.returncode:
            raise PlantError(f"something passed that is not allowed: {shown.stdout}")
        return "nothing passed that the policy does not allow"

    def join(self, name: str, kind: str) -> None:
        """Deliver, invite, join, start the agent; no frames are made."""
        p = self.plant
        site = p.add_machine(name, kind)
        p.join(site, p.invite(site))
        source = f"exec:{SIM} camera --rate 1"
        p.start_agent(site, *(("--source", source) if kind == "camera" else ()))
        wait_for(f"{name} to be trusted", lambda: p.state_of(site) == "trusted", PATIENCE_S)

    def by_two(self, *argv: object) -> str:
        """sara asks, sven approves, sara does it; the request's id."""
        request = self.cast.request(self.cast.refused(*argv, who="sara"))
        self.plant.framegate("access", "approve", request, who=self.cast.who["sven"])
        self.plant.framegate(*argv, who=self.cast.who["sara"])
        return request

    def reaches(self, host: str, other: str, port: int, within_s: float = 2.0) -> bool:
        """Whether one host reaches another's port."""
        return reaches(self.network, host, (self.network.wires[other].address, port), within_s)

    def wait_reaches(self, host: str, other: str, port: int) -> None:
        """Until it does. PlantError where it does not."""
        wait_for(f"{host} to reach {other}", lambda: self.reaches(host, other, port), PATIENCE_S)

    def grows(self, came: Any) -> bool:
        """Whether messages come within a second."""
        before = came.count
        try:
            wait_for("one more", lambda: came.count > before, 1.0)
        except PlantError:
            return False
        return True

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events of one kind, the newest first."""
        rows = self.plant.ask("events", "--limit", "500", "--all")
        return [r for r in rows if r["event"] == name]

    def event(self, name: str, machine: str) -> dict[str, Any] | None:
        """The newest event of one kind about a machine."""
        return next((e for e in self.events(name) if e["device"].endswith(machine)), None)


def main() -> None:
    """make demo-segment."""
    if why := unavailable():
        print(f"demo-segment: {why}", file=sys.stderr)
        sys.exit(2)
    tell(
        SegmentDemo,
        partial(Plant, interval_s=INTERVAL_S),
        name="demo-segment",
        summary="A network that follows the proof.",
        simulated=(
            "machines and their TPMs (swtpm), wires, and what streams over them: connections of a"
            " few bytes stand for frames, the join port and Modbus. Controller, agents, enforcer,"
            " commands and the kernel's packet filter are real; agents reach the controller over"
            " loopback, and not through that network."
        ),
    )


if __name__ == "__main__":
    run_to_its_end(main)
