"""A model server on a confidential guest, with real programs and a software TPM: it joins by what
its provider says, computes, is named in receipts, and loses its standing (N213, N214).
"""

import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate

from framegate.receipt_verifier import verify_receipt
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.cloud import ChipWorks, manufacture_guest
from framegate_simulators.machine.ima import allowlist_of
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import BIN, PlantError, wait_for

pytestmark = [pytest.mark.swtpm, pytest.mark.slow, pytest.mark.plants]
SOON_S = 120
MODEL = "simulated-backend"


def pem(certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def add_profile(p: Plant) -> None:
    """That of backends' hosts, whose kind it names."""
    file, allowlist = (p.folder / f"{MODEL}.{n}" for n in ("toml", "allowlist"))
    file.write_text(profile_toml(Firmware(MODEL), MODEL))
    allowlist.write_bytes(allowlist_of(MODEL, Firmware(MODEL).release))
    state = ("--state", p.folder / "controller")
    p.command("framegate-controller", "profile", "add", file, "--allowlist", allowlist, *state)


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    with Plant(interval_s=20.0, logs=tmp_path_factory.mktemp("logs")) as p, p.explained():
        p.found_fleet()
        add_profile(p)
        p.start_controller()
        p.write_golden([1])
        yield p


def guest(p: Plant, name: str):
    """A confidential guest that was approved; its machine."""
    works, folder = ChipWorks(), p.folder / name
    folder.mkdir()
    (folder / "delivered").touch()  # no TPM maker delivered it: it has no EK certificate
    site = p.add_machine(name, "backend", firmware=Firmware(MODEL))
    manufacture_guest(site.machine.tpm, works)
    root, chain, ticket = (p.folder / f"{name}.{n}" for n in ("ark.pem", "chain.pem", "ticket"))
    root.write_bytes(pem(works.root))
    chain.write_bytes(b"".join(pem(load_der_x509_certificate(d)) for d in works.chain()))
    p.framegate("backend", "invite", name, "--profile", MODEL, "--out", ticket)
    argv = ("join", ticket, *p._agent_arguments(site), "--endorsement-chain", chain)
    refused = p.command("framegate-agent", *argv, check=False)
    assert "ek-chain" in refused.stderr + refused.stdout, "the chip's maker is nobody's here"
    p.framegate("trust", "add-tpm-ca", root)
    p.command("framegate-agent", *argv, check=False)
    p.framegate("backend", "approve", name, "--reason", "ours: the VM id was compared")
    return site


def verdicts(p: Plant) -> list[dict]:
    try:
        return p.ask("verdict", "list")
    except PlantError:  # no gateway has shown itself so far
        return []


def test_a_guest_computes_is_named_and_withdrawn(plant):
    p = plant
    backend = guest(p, "models1")
    gateway, camera = p.add_machine("gw1", kind="gateway"), p.add_machine("cam1")
    for site in (gateway, camera):
        p.join(site, p.invite(site))
    p.start_agent(backend)
    port, _ = p.gateway_ports(backend)
    argv = ("backend", "--agent-socket", p.agent_socket(backend), "--port", port)
    p.start("backend-models1", "framegate-gateway", *argv, "-v")
    p.start_agent(gateway)
    at = ("--backend", f"127.0.0.1:{port}", "--backend-id", "backend.line-1.models1")
    p.start_gateway(gateway, *at)
    source = f"exec:{BIN}/framegate-sim camera --design 1 --rate 2"
    p.start_agent(camera, "--source", source)
    wait_for("a PASS", lambda: any(v["outcome"] == "PASS" for v in verdicts(p)), SOON_S)
    passed = next(v for v in verdicts(p) if v["outcome"] == "PASS")
    out = p.folder / "receipt.json"
    p.framegate("receipt", "export", passed["verdict_id"], "--out", out)
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
