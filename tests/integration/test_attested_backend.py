"""A model server on a confidential guest, with real programs and a software TPM: it joins by what
its provider says, computes, is named in receipts, and loses its standing (N213, N214).
"""

import json

import pytest

from framegate.receipt_verifier import verify_receipt
from framegate_simulators.machine.cloud import ChipWorks
from framegate_simulators.plant.guest import Guest, add_backend_profile
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, wait_for
from support.verdicts_of import exported, verdicts

pytestmark = [pytest.mark.swtpm, pytest.mark.slow, pytest.mark.plants]
SOON_S = 120


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    with Plant(interval_s=20.0, logs=tmp_path_factory.mktemp("logs")) as p, p.explained():
        p.found_fleet()
        add_backend_profile(p)
        p.works, p.revoked = ChipWorks(), p.folder / "ark.crl"
        p.revoked.write_bytes(p.works.revocation_list(p.works.chain()[1]))
        p.revoked.touch()
        p.start_controller("--snp-revocations", p.revoked)
        p.write_golden([1])
        yield p


def test_a_guest_computes_is_named_and_withdrawn(plant):
    p = plant
    guest = Guest(p, "models1", p.works)
    assert "ek-chain" in guest.ask_to_join(), "the chip's maker is nobody's here"
    guest.trust()
    assert "revoked by its maker" in guest.ask_to_join(), "its firmware's key was taken back"
    p.revoked.write_bytes(p.works.revocation_list())
    guest.join()
    gateway, camera = p.add_machine("gw1", kind="gateway"), p.add_machine("cam1")
    for site in (gateway, camera):
        p.join(site, p.invite(site))
    guest.serve()
    p.start_agent(gateway)
    p.start_gateway(gateway, "--backend", f"127.0.0.1:{guest.port}", "--backend-id", guest.id)
    source = f"exec:{SIM} camera --design 1 --rate 2"
    p.start_agent(camera, "--source", source)
    wait_for("a PASS", lambda: any(v["outcome"] == "PASS" for v in verdicts(p)), SOON_S)
    passed = next(v for v in verdicts(p) if v["outcome"] == "PASS")
    out = exported(p, passed["verdict_id"])
    root = out.with_suffix(".root.pem").read_bytes()
    receipt = json.loads(out.read_text())
    proof = verify_receipt(receipt, root, need_camera=False, need_log=False).backend
    assert proof is not None and proof.backend == "backend.line-1.models1"
    assert (proof.fleet, proof.evidence) == (p.fleet, "azure-snp-vtpm")
    p.framegate("backend", "quarantine", "models1", "--reason", "a drill")
    wait_for("UNINSPECTED", lambda: any(v["reason"] == "backend" for v in verdicts(p)), SOON_S)
    rows = verdicts(p)
    first = max(n for n, v in enumerate(rows) if v["reason"] == "backend")
    assert all(v["outcome"] == "UNINSPECTED" for v in rows[:first]), "the newest first"
