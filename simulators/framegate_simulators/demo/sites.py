"""make demo-sites: two fleets that know each other. Bundles are exchanged and pinned, a receipt is
verified across, a model server of one computes for the other, somebody visits, the link is cut and
both go on, an impostor answers, one is withdrawn and refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from framegate_host.console import EXIT_DENIED, EXIT_UNTRUSTED, Terminal
from framegate_simulators.demo.cast import Cast
from framegate_simulators.demo.foreign_model import ForeignModel
from framegate_simulators.demo.story import Scene, Story, tell
from framegate_simulators.plant.guest import add_backend_profile
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, PlantError, answers, free_port, wait_for
from framegate_simulators.plant.site import Site

INTERVAL_S: Final = 20.0
"""Two fleets share this machine: what is told here is not how soon they attest."""
PATIENCE_S: Final = 180.0
REFRESH_S: Final = 10
"""The least that a bundle may ask for: a story does not wait for minutes."""
RATE: Final = 2
WIRE: Final = "wire"
"""The link from south to north's bundle."""


class SitesDemo(Story):
    """The acts in the order in which they are told; `plant` is the site south."""

    def __init__(self, plant: Plant, console: Terminal) -> None:
        super().__init__(plant, console)
        self.north = Plant(interval_s=INTERVAL_S, fleet="north")
        self.cast = Cast(plant, console)
        self.camera: Site
        self.shows = {"south": free_port(), "north": free_port()}
        self.wire = free_port()
        self.model = ForeignModel(plant, self.north, self.cast)
        self.visitor = plant.folder / "nora-n.json"

    def act(self, scene: Scene) -> None:
        """See `Story.act`; what north's programs wrote is told too."""

        def work() -> str:
            with self.north.explained():
                return scene.work()

        super().act(Scene(scene.name, scene.expected, work))

    def run(self) -> bool:
        """See `Story.run`; the other site ends with the story."""
        try:
            return super().run()
        finally:
            self.north.close()

    def plan(self) -> Sequence[Scene]:
        """See `Story.plan`."""
        return (
            Scene("Two fleets", "each with its own root, people and record", self.begin),
            Scene("Bundles are exchanged", "a pin takes two people, and a file", self.exchange),
            Scene(
                "A receipt of north at south",
                "it holds by what south pinned, and south says of which site it is",
                self.receipt,
            ),
            Scene(
                "The wrong site, and an unknown one",
                "a receipt is refused by the name of the site",
                self.wrong,
            ),
            Scene(
                "A model server of north computes for south",
                "the receipt names it and its vTPM's evidence; both roots verify it",
                self.model.computed,
            ),
            Scene(
                "It is out of reach, and quarantined at north",
                "UNINSPECTED at south each time, never PASS; and PASS again when it is back",
                self.model.taken_away,
            ),
            Scene(
                "Somebody of north at south",
                "what south's mapping says, for minutes, and nothing that wants a factor",
                self.visit,
            ),
            Scene(
                "The link is cut",
                "both sites go on; the overview says since when, and never 0",
                self.cut,
            ),
            Scene(
                "An impostor answers",
                "south's own server in north's place: refused, told once, nothing changes",
                self.impostor,
            ),
            Scene("The link is back", "south sees it by itself", self.back),
            Scene(
                "North is withdrawn",
                "by one person, at once: its receipts are refused, its people's sessions end",
                self.withdrawn,
            ),
        )

    def begin(self) -> str:
        """South has people, north has a camera and a gateway."""
        south, north = self.plant, self.north
        for plant in (south, north):
            plant.found_fleet()
            add_backend_profile(plant)
            at = f"127.0.0.1:{self.shows[plant.fleet]}"
            plant.start_controller("--bundle-at", at, "--bundle-refresh", REFRESH_S)
        north.framegate("trust", "add-tpm-ca", north.folder / "maker.pem")
        gateway = north.add_machine("gw1", "gateway")
        north.join(gateway, north.invite(gateway))
        north.write_golden([1])
        north.start_agent(gateway)
        wait_for("the agent's socket", lambda: north.agent_socket(gateway).exists(), PATIENCE_S)
        north.start_gateway(gateway)
        self.camera = north.add_machine("cam1")
        north.join(self.camera, north.invite(self.camera))
        drawn = f"--design 1 --first 1000 --rate {RATE}"
        north.start_agent(self.camera, "--source", f"exec:{SIM} camera {drawn}")
        self.cast.who["sara"] = south.add_person("sara", "security")
        self.cast.who["sven"] = self.cast.added_by_two("sven", "security")
        wait_for("verdicts", lambda: self.cast.inspected(self.camera), PATIENCE_S)
        return "south: anna, sara and sven, two to decide; north: anna, a camera, a gateway"

    def exchange(self) -> str:
        """Files change hands; south's people look and approve."""
        south, north = self.plant, self.north
        files = {p.fleet: p.folder / f"{p.fleet}.bundle.json" for p in (south, north)}
        for plant in (south, north):
            plant.framegate("site", "bundle", "--out", files[plant.fleet])
        at = f"127.0.0.1:{self.shows['south']}"
        north.framegate("site", "add", "south", "--bundle", files["south"], "--endpoint", at)
        self._start_wire("north")
        at = f"127.0.0.1:{self.wire}"
        argv = ("site", "add", "north", "--bundle", files["north"], "--endpoint", at)
        request = self.cast.request(self.cast.refused(*argv, who="sara"))
        asked = south.framegate("access", "show", request, who=self.cast.who["sven"]).stdout
        if "vouches for: fleet north" not in asked:
            raise PlantError(f"the approver does not see the bundle: {asked}")
        south.framegate("access", "approve", request, who=self.cast.who["sven"])
        south.framegate(*argv, who=self.cast.who["sara"])
        wait_for("the link to north", lambda: self._line("north")["link"] == "up", PATIENCE_S)
        self.cast.show(south.framegate("--sites").stdout)
        return f"pinned by two; {self._told('site-reachable')[0]['detail']}"

    def receipt(self) -> str:
        """Exported at north, verified at south."""
        file = self.north.folder / "shift.jsonl"

        def whole() -> bool:
            self.north.framegate("receipt", "export", "--out", file, "--since", "10m")
            first = file.read_text().splitlines()[-3:-1]  # older ones; the last line is the range
            (self.north.folder / "some.jsonl").write_text("\n".join(first) + "\n")
            return bool(self._verified().returncode == 0)

        wait_for("receipts with all their proofs", whole, PATIENCE_S, every_s=1.0)
        done = self._verified("-o", "json")
        body = json.loads(done.stdout)
        if not body["good"] or body["sites"] != {"north": body["good"]}:
            raise PlantError(done.stdout)
        self.cast.show(self._verified().stdout)
        return f"{body['good']} receipts of site north hold at south, camera and log included"

    def wrong(self) -> str:
        """North's receipts as south's; and a site that nobody pinned."""
        some = self.north.folder / "some.jsonl"
        at_home = self.north.framegate("receipt", "verify", some, "--site", "south", check=False)
        if at_home.returncode != EXIT_UNTRUSTED or "one of site north" not in at_home.stdout:
            raise PlantError(at_home.stdout + at_home.stderr)
        unknown = self.plant.framegate("receipt", "verify", some, "--site", "east", check=False)
        if unknown.returncode != EXIT_DENIED or "site-unknown" not in unknown.stderr:
            raise PlantError(unknown.stderr)
        return at_home.stdout.splitlines()[0]

    def visit(self) -> str:
        """nora is a person of north."""
        south, north = self.plant, self.north
        nora = north.add_person("nora", "operator")
        argv = ("operator", "add", "nora-n", "--of-site", "north", "--person", "nora")
        self._as_admin((*argv, "--role", "viewer", "--out", self.visitor))
        south.framegate("login", "--from", nora, who=self.visitor)
        me = json.loads(south.framegate("whoami", "-o", "json", who=self.visitor).stdout)
        if (me["operator"], me["roles"], me["method"]) != ("nora-n", ["viewer"], "visit"):
            raise PlantError(str(me))
        denied = south.framegate("site", "withdraw", "north", who=self.visitor, check=False)
        if denied.returncode == 0:
            raise PlantError("a visitor withdrew a site")
        left_s = (me["session_expires_ms"] - me_began(south)) // 1000
        return f"nora of north is nora-n at south: viewer, {left_s} s left, no fresh factor"

    def cut(self) -> str:
        """The wire is cut."""
        self.plant.stop(WIRE)
        before = self.cast.inspected(self.camera)
        cut = wait_for("the overview to say so", self._stale, PATIENCE_S)
        if cut["machines"] is not None or not cut["unknown_since_ms"]:
            raise PlantError(f"what is not known has a number: {cut}")
        if self._verified().returncode:
            raise PlantError("a link that is cut took a receipt")
        wait_for("north to go on", lambda: self.cast.inspected(self.camera) > before, PATIENCE_S)
        self.plant.framegate("fleet")
        self.cast.show(self.plant.framegate("--sites").stdout)
        return f"north is {cut['link']}; its frames are inspected, its receipts hold at south"

    def impostor(self) -> str:
        """South's own server where north's was."""
        self._start_wire("south")
        told = wait_for("the refusal", lambda: self._told("site-bundle-refused"), PATIENCE_S)
        if self._verified().returncode:
            raise PlantError("an impostor took a receipt")
        self.plant.stop(WIRE)
        return str(told[0]["detail"])

    def back(self) -> str:
        """The wire is mended."""
        self._start_wire("north")
        wait_for("the link to north", lambda: self._line("north")["link"] == "up", PATIENCE_S)
        return f"{len(self._told('site-reachable'))} times reachable, by the record"

    def withdrawn(self) -> str:
        """sara alone."""
        south = self.plant
        south.framegate("site", "withdraw", "north", who=self.cast.who["sara"])
        refused = self._verified()
        if refused.returncode != EXIT_DENIED or "site-withdrawn" not in refused.stderr:
            raise PlantError(refused.stdout + refused.stderr)
        some = self.north.folder / "some.jsonl"
        other = south.framegate("receipt", "verify", some, "--any-site", check=False)
        if other.returncode != EXIT_UNTRUSTED or "which was withdrawn" not in other.stdout:
            raise PlantError(other.stdout + other.stderr)
        gone = south.framegate("whoami", who=self.visitor, check=False)
        if gone.returncode == 0:
            raise PlantError("a visitor's session outlived the withdrawal")
        self.cast.show(south.framegate("--sites").stdout)
        return other.stdout.splitlines()[0]

    def _start_wire(self, to: str) -> None:
        argv = ("link", "--listen", self.wire, "--to", self.shows[to])
        self.plant.start(WIRE, "framegate-sim", *argv)
        wait_for("the link", lambda: answers(self.wire))

    def _verified(self, *more: object) -> Any:
        some: Path = self.north.folder / "some.jsonl"
        argv = ("receipt", "verify", some, "--site", "north", *more)
        return self.plant.framegate(*argv, check=False)

    def _line(self, site: str) -> dict[str, Any]:
        rows = self.plant.ask("site", "status")
        return next(r for r in rows if r["site"] == site)

    def _stale(self) -> dict[str, Any] | None:
        line = self._line("north")
        return line if line["link"] in {"stale", "down"} else None

    def _told(self, event: str) -> list[dict[str, Any]]:
        rows = self.plant.ask("events", "--limit", "500")
        return [r for r in rows if r["event"] == event]

    def _as_admin(self, argv: tuple[object, ...]) -> None:
        """A mapping takes an admin and somebody who approves, like every other operator."""
        south, sara = self.plant, self.cast.who["sara"]
        wanted = ("--role", "admin", "--for", "30m", "--reason", "a visitor", "-o", "json")
        asked = json.loads(south.framegate("access", "request", *wanted).stdout)
        south.framegate("access", "approve", asked["id"], who=sara)
        denied = south.framegate(*argv, check=False)
        if denied.returncode == 0:
            raise PlantError("a person of another site was mapped by one person")
        south.framegate("access", "approve", self.cast.request(denied.stderr), who=sara)
        south.framegate(*argv)


def me_began(plant: Plant) -> int:
    """Now by the controller's record, ms since the epoch."""
    return int(plant.ask("events", "--limit", "1")[0]["at_ms"])


def main() -> None:
    """make demo-sites."""
    tell(
        SitesDemo,
        partial(Plant, interval_s=INTERVAL_S, fleet="south"),
        name="demo-sites",
        summary="Two fleets that know each other.",
        simulated=(
            "machines, the chip that vouches for a vTPM, people's typing and their authenticators,"
            " wires; TPMs are swtpm; controllers, gateways, model server, agents and commands are"
            " the product."
        ),
    )


if __name__ == "__main__":
    run_to_its_end(main)
