"""Two acts of `make demo-sites`: a model server of north computes for south, and is taken away."""

from __future__ import annotations

import json
from typing import Any, Final

from framegate.errors import Reason
from framegate.receipt_verifier import verify_receipt
from framegate_host.console import EXIT_UNAVAILABLE
from framegate_simulators.demo.cast import Cast
from framegate_simulators.plant.guest import Guest
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, PlantError, answers, free_port, wait_for

PATIENCE_S: Final = 180.0
WIRE: Final = "model-wire"
"""The link from south's gateway to north's model server."""
RATE: Final = 2
ENOUGH: Final = 3
"""Frames after which a server that is away would have been missed by no chance."""


class ForeignModel:
    """North has pinned south and south north before; their bundles lie in their folders."""

    def __init__(self, south: Plant, north: Plant, cast: Cast) -> None:
        self.south, self.north, self.cast = south, north, cast
        self.wire = free_port()
        self.guest: Guest

    def computed(self) -> str:
        """A confidential guest joins north; south's gateway asks it."""
        south, north = self.south, self.north
        self.guest = Guest(north, "models1")
        self.guest.trust()
        self.guest.join()
        self.guest.serve("--site", south.folder / "south.bundle.json")
        self._join_wire()
        gateway, camera = south.add_machine("gw2", "gateway"), south.add_machine("cam2")
        for machine in (gateway, camera):
            south.join(machine, south.invite(machine))
        south.write_golden([1])
        south.start_agent(gateway)
        wait_for("the agent's socket", lambda: south.agent_socket(gateway).exists(), PATIENCE_S)
        asks = ("--backend", f"127.0.0.1:{self.wire}", "--backend-id", self.guest.id)
        south.start_gateway(gateway, *asks, "--backend-site", "north")
        drawn = f"--design 1 --rate {RATE}"
        south.start_agent(camera, "--source", f"exec:{SIM} camera {drawn}")
        return self._verified(wait_for("a PASS", lambda: self._newest("PASS"), PATIENCE_S))

    def taken_away(self) -> str:
        """Its wire is cut; then north's people quarantine its host."""
        self.south.stop(WIRE)
        cut = self._uninspected()
        self._join_wire()
        self._passes_again()
        self.north.framegate("backend", "quarantine", "models1", "--reason", "a drill")
        held = self._uninspected()
        self.north.framegate("backend", "release", "models1", "--reason", "it was one")
        self._passes_again()
        return f"{cut} and {held} frames UNINSPECTED, no PASS among them; PASS since"

    def _verified(self, passed: str) -> str:
        """At south, whose root alone is not enough; offline, with both."""
        file = self.south.folder / "computed.json"

        def exported() -> bool:
            argv = ("receipt", "export", passed, "--out", file)
            return self.south.framegate(*argv, check=False).returncode == 0

        wait_for("its receipt", exported, PATIENCE_S, every_s=1.0)
        argv = ("receipt", "verify", file, "--without-camera", "--without-log")
        alone = self.south.framegate(*argv, check=False)
        if alone.returncode != EXIT_UNAVAILABLE:
            raise PlantError(f"verified without north's root: {alone.stdout}")
        self.cast.show(self.south.framegate(*argv, "--any-site").stdout)
        here = file.with_suffix(".root.pem").read_bytes()
        there = json.loads(self.north.context.read_text())["root"].encode()
        proof = verify_receipt(
            json.loads(file.read_text()),
            here,
            need_camera=False,
            need_log=False,
            site_roots=[there],
        ).backend
        if proof is None:
            raise PlantError("the receipt names no server")
        return f"{passed[:8]}: PASS, computed on {proof.backend} of {proof.fleet}, {proof.evidence}"

    def _join_wire(self) -> None:
        argv = ("link", "--listen", self.wire, "--to", self.guest.port)
        self.south.start(WIRE, "framegate-sim", *argv)
        wait_for("the wire", lambda: answers(self.wire))

    def _verdicts(self) -> list[dict[str, Any]]:
        """Of south, the newest first; none while its gateway has not shown itself."""
        done = self.south.framegate("verdict", "list", "-o", "json", check=False)
        return list(json.loads(done.stdout)) if done.returncode == 0 else []

    def _newest(self, outcome: str) -> str:
        ids = (str(v["verdict_id"]) for v in self._verdicts() if v["outcome"] == outcome)
        return next(ids, "")

    def _uninspected(self) -> int:
        """How many of the newest verdicts, one after another, are UNINSPECTED for want of the
        server; waits until there are enough.
        """

        def held() -> int:
            run = 0
            for verdict in self._verdicts():
                if verdict["outcome"] != "UNINSPECTED":
                    break
                run += verdict["reason"] in {Reason.BACKEND.value, Reason.INFERENCE.value}
            return run if run >= ENOUGH else 0

        return int(wait_for("UNINSPECTED", held, PATIENCE_S))

    def _passes_again(self) -> None:
        before = self._newest("PASS")
        wait_for("a PASS", lambda: self._newest("PASS") not in {"", before}, PATIENCE_S)
