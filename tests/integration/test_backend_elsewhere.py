"""Two plants with real programs and software TPMs: a model server of north computes what south's
gateway inspects. Links are cut, its host is quarantined there, its site is withdrawn here (N214).
"""

import json

import pytest

from framegate.receipt_verifier import ReceiptPending, verify_receipt
from framegate_host.console import EXIT_UNAVAILABLE, EXIT_UNTRUSTED
from framegate_simulators.plant.guest import Guest, add_backend_profile
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, answers, free_port, wait_for
from support.verdicts_of import exported, verdicts

pytestmark = [pytest.mark.swtpm, pytest.mark.slow, pytest.mark.plants]
SOON_S = 150


class TwoSites:
    """South inspects, north computes; `wire` is what south reaches the model server by."""

    def __init__(self, south: Plant, north: Plant) -> None:
        self.south, self.north = south, north
        self.shows = {south.fleet: free_port(), north.fleet: free_port()}
        self.wire = free_port()
        for plant in (south, north):
            plant.found_fleet()
            add_backend_profile(plant)
            at = f"127.0.0.1:{self.shows[plant.fleet]}"
            plant.start_controller("--bundle-at", at, "--bundle-refresh", 10)
            bundle = plant.folder / f"{plant.fleet}.bundle.json"
            plant.framegate("site", "bundle", "--out", bundle)
        self.pin()
        self.guest = Guest(north, "models1")
        self.guest.trust()
        self.guest.join()
        self.guest.serve("--site", south.folder / "south.bundle.json")
        self.join_wire()
        gateway, camera = south.add_machine("gw1", kind="gateway"), south.add_machine("cam1")
        for machine in (gateway, camera):
            south.join(machine, south.invite(machine))
        south.write_golden([1])
        south.start_agent(gateway)
        at = ("--backend", f"127.0.0.1:{self.wire}", "--backend-id", self.guest.id)
        south.start_gateway(gateway, *at, "--backend-site", "north")
        source = f"exec:{SIM} camera --design 1 --rate 2"
        south.start_agent(camera, "--source", source)

    def pin(self):
        at = f"127.0.0.1:{self.shows['north']}"
        bundle = self.north.folder / "north.bundle.json"
        self.south.framegate("site", "add", "north", "--bundle", bundle, "--endpoint", at)

    def join_wire(self):
        argv = ("link", "--listen", self.wire, "--to", self.guest.port)
        self.south.start("wire", "framegate-sim", *argv)
        wait_for("the wire", lambda: answers(self.wire))

    def after(self, newest):
        """Verdicts of south that are newer than the one with this id, the newest first."""
        rows = verdicts(self.south)
        ids = [v["verdict_id"] for v in rows]
        return rows[: ids.index(newest)] if newest in ids else rows

    def turns(self, *reasons):
        """Waits until frames are UNINSPECTED for one of these reasons; from the first of them on
        nothing else came.
        """
        newest = verdicts(self.south)[0]["verdict_id"]

        def stopped():
            rows = self.after(newest)
            return rows if sum(v["reason"] in reasons for v in rows) >= 3 else []

        rows = wait_for(f"UNINSPECTED ({' or '.join(reasons)})", stopped, SOON_S)
        first = max(n for n, v in enumerate(rows) if v["reason"] in reasons)
        assert {v["outcome"] for v in rows[: first + 1]} == {"UNINSPECTED"}

    def passes(self):
        """Waits for a PASS that comes from now on; its id."""
        seen = verdicts(self.south)
        newest = seen[0]["verdict_id"] if seen else ""

        def passed():
            return [v["verdict_id"] for v in self.after(newest) if v["outcome"] == "PASS"]

        return wait_for("a PASS", passed, SOON_S)[0]


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    logs = tmp_path_factory.mktemp("logs")
    with (
        Plant(interval_s=20.0, fleet="south", logs=logs / "south") as south,
        Plant(interval_s=20.0, fleet="north", logs=logs / "north") as north,
        south.explained(),
        north.explained(),
    ):
        yield TwoSites(south, north)


WITHOUT = ("--without-camera", "--without-log")


def test_a_server_of_another_site_computes_and_every_link_may_be_cut(sites):
    south, north = sites.south, sites.north
    file = exported(south, sites.passes())
    receipt, here = json.loads(file.read_text()), file.with_suffix(".root.pem").read_bytes()
    there = json.loads(north.context.read_text())["root"].encode()
    needs = {"need_camera": False, "need_log": False}
    with pytest.raises(ReceiptPending, match="another fleet"):
        verify_receipt(receipt, here, **needs)
    proof = verify_receipt(receipt, here, site_roots=[there], **needs).backend
    said = (proof.backend, proof.fleet, proof.evidence)
    assert said == ("backend.line-1.models1", "north", "azure-snp-vtpm")
    by_root = south.framegate("receipt", "verify", file, *WITHOUT, check=False)
    assert (by_root.returncode, "--any-site" in by_root.stdout) == (EXIT_UNAVAILABLE, True)
    assert (
        "1 of 1 receipts hold"
        in south.framegate("receipt", "verify", file, "--any-site", *WITHOUT).stdout
    )

    south.stop("wire")  # the model server is out of reach
    sites.turns("inference")
    assert south.ask("camera", "show", "cam1")["state"] == "trusted"
    assert north.ask("backend", "show", "models1")["state"] == "trusted"
    sites.join_wire()
    sites.passes()

    north.stop("controller")  # north's bundle does not come, and its hosts have certificates
    wait_for("south to say so", lambda: south.ask("site", "show", "north")["link"] != "up", SOON_S)
    sites.passes()
    north.start_controller()

    north.framegate("backend", "quarantine", "models1", "--reason", "a drill")
    sites.turns("backend", "inference")
    north.framegate("backend", "release", "models1", "--reason", "it was one")
    sites.passes()

    south.framegate("site", "withdraw", "north")
    sites.turns("backend")
    refused = south.framegate("receipt", "verify", file, "--any-site", *WITHOUT, check=False)
    assert (refused.returncode, "was withdrawn" in refused.stdout) == (EXIT_UNTRUSTED, True)
