"""A running plant whose gateway and camera demand decisions that witnesses saw: docs/guides/
transparency.md, with real programs. What is logged and cosigned is served, what is not is refused.
"""

import hashlib
import json
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from framegate.identity.pem import private_pem
from framegate.signed.release import Provenance, sign_release
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, wait_for
from framegate_simulators.plant.witness import PlantWitness

pytestmark = [pytest.mark.swtpm, pytest.mark.slow, pytest.mark.plants]
SOON_S = 90


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    with Plant(interval_s=20.0, logs=tmp_path_factory.mktemp("logs")) as p, p.explained():
        p.found_fleet()
        p.start_controller()
        p.witnesses = [PlantWitness(p, f"w{n}") for n in (1, 2)]
        for witness in p.witnesses:
            witness.start()
        p.stop("controller")
        cosigners = [x for w in p.witnesses for x in ("--cosigner", w.cosigner)]
        p.start_controller(*cosigners, "--require-cosigned", 2)
        p.demands = [x for w in p.witnesses for x in ("--cosigner", w.key)]
        p.demands += ["--require-cosigned", 2]
        gateway, camera = p.add_machine("gw1", kind="gateway"), p.add_machine("cam1")
        p.write_golden([1])
        for site in (gateway, camera):
            p.join(site, p.invite(site))
        (p.folder / "models").mkdir()
        p.start_agent(gateway)
        p.start_gateway(gateway, "--models", p.folder / "models", *p.demands)
        source = f"exec:{SIM} camera --design 1 --rate 2"
        p.start_agent(camera, "--source", source, *p.demands)
        yield p


def published(p: Plant) -> int:
    return p.ask("log", "show")["published"] or 0


def logged(p: Plant, kind: str) -> list[dict]:
    return p.ask("log", "list", "--kind", kind)


def bundle(p: Plant, version: int) -> str:
    """The default bundle under another version, signed, registered and approved; its digest."""
    private, public = p.folder / "model.key", p.folder / "model.pub"
    if not private.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        private.write_bytes(private_pem(key))
        public.write_bytes(public_pem(key))
    folder = p.folder / "models" / f"v{version}"
    shutil.copytree(DEFAULT_BUNDLE, folder)
    recipe = {**json.loads((folder / "recipe.json").read_text()), "version": version}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    p.framegate("model", "sign", folder, "--key", private)
    digest = load_bundle(folder).digest.hex()
    p.framegate("model", "register", folder, "--key", public)
    p.framegate("model", "approve", digest[:16])
    return digest


def verdicts(p: Plant) -> list[dict]:
    """Of the gateway, as far as it answers now."""
    done = p.framegate("verdict", "list", "--limit", 500, "-o", "json", check=False)
    return json.loads(done.stdout) if done.returncode == 0 else []


def judged_by(p: Plant, digest: str) -> bool:
    return any(v["model_sha256"] == digest for v in verdicts(p))


def test_what_is_not_in_the_log_is_not_served_and_what_is_is(plant):
    p = plant
    # the zone has no pin: nothing in the log says what may run there
    wait_for(
        "the gateway to say what it lacks",
        lambda: "held back until witnesses saw it" in p.log_tail("gateway-gw1", 400),
        SOON_S,
        every_s=0.5,
    )
    refused = p.framegate("gateway", "status", check=False)
    assert "not-cosigned" in refused.stderr + refused.stdout
    first = bundle(p, 70)
    p.framegate("model", "promote", first[:16], "line-1")
    wait_for("the model to judge frames", lambda: judged_by(p, first), SOON_S, every_s=0.5)
    assert [d["subject"] for d in logged(p, "pin")] == ["line-1"]
    assert {w["failing_ms"] for w in p.ask("witness", "list")} == {0}


def test_a_decision_waits_for_a_witness_that_is_away_and_the_one_before_goes_on(plant):
    p, second = plant, plant.witnesses[1]
    second.stop()
    digest = bundle(p, 71)
    before = published(p)
    p.framegate("model", "promote", digest[:16], "line-1")
    wait_for("the controller to say so", lambda: second.stands()["failing_ms"], SOON_S)
    assert p.ask("audit", "list", "--event", "witness-failed")
    seen = len(verdicts(p))
    wait_for("frames to be judged", lambda: len(verdicts(p)) > seen + 3, SOON_S, every_s=0.5)
    assert not judged_by(p, digest)
    assert published(p) == before
    second.start()
    wait_for("the new model to judge", lambda: judged_by(p, digest), SOON_S, every_s=0.5)


def test_the_guide_proves_exports_verifies_and_compares(plant, tmp_path):
    p, out = plant, tmp_path
    key = p.framegate("log", "key").stdout.strip()
    cosigners = [x for w in p.witnesses for x in ("--cosigner", w.key)]
    pinned = ("--key", key, *cosigners, "--require-cosigned", 2)
    p.framegate("log", "prove", "0", "--out", out / "policy.tlog-proof")
    p.framegate("log", "verify", out / "policy.tlog-proof", *pinned)
    p.framegate("log", "export", "--out", out / "decisions")
    root = out / "root.pem"
    root.write_bytes((p.folder / "controller" / "keys" / "root.pem").read_bytes())
    by_root = ("--root", root, *cosigners, "--require-cosigned", 2)
    for how in (pinned, by_root):
        told = json.loads(
            p.framegate("log", "verify", out / "decisions", *how, "-o", "json").stdout
        )
        assert told["decisions"] == len(told["entries"]) and len(told["cosigned_by"]) == 2
    gateway = p.sites["gw1"].machine.folder / "gateway" / "decisions-head"
    camera = p.sites["cam1"].disk / "decisions-head"
    p.framegate("log", "compare", out / "decisions", gateway, camera, "--key", key)
    lines = (out / "decisions").read_bytes().split(b"\n")
    (out / "edited").write_bytes(b"\n".join([lines[0], *lines[2:]]))
    edited = p.framegate("log", "verify", out / "edited", *pinned, check=False)
    assert edited.returncode and "not-cosigned" in edited.stderr
    shown = p.framegate("witness", "show", "--state", p.witnesses[0].folder, "-o", "json")
    assert json.loads(shown.stdout)["logs"][0]["decisions"] == told["decisions"]


def test_a_release_is_approved_proved_and_demanded_before_it_is_installed(plant, tmp_path):
    p, deb = plant, tmp_path / "framegate.deb"
    key = ec.generate_private_key(ec.SECP256R1())
    deb.write_bytes(b"a package")
    files = {deb.name: hashlib.sha256(b"a package").digest()}
    (tmp_path / "release.sigstore.json").write_bytes(
        sign_release(Provenance("9.0", "ab" * 20, {}, files), key)
    )
    (tmp_path / "project.pem").write_bytes(public_pem(key))
    project = ("--key", tmp_path / "project.pem")
    p.framegate("release", "approve", tmp_path / "release.sigstore.json", *project)
    (release,) = logged(p, "release")
    wait_for("cosignatures", lambda: published(p) > release["index"], SOON_S)
    proof = tmp_path / "release.tlog-proof"
    p.framegate("log", "prove", release["sha256"][:16], "--out", proof)
    p.framegate("log", "prove", "0", "--out", tmp_path / "other.tlog-proof")
    log = p.framegate("log", "key").stdout.strip()
    trust = ["--log-key", log, *[x for w in p.witnesses for x in ("--cosigner", w.key)]]
    p.framegate("release", "verify", deb, *project, "--proof", proof, *trust)
    other = p.framegate(
        "release",
        "verify",
        deb,
        *project,
        "--proof",
        tmp_path / "other.tlog-proof",
        *trust,
        check=False,
    )
    assert other.returncode and "not-cosigned" in other.stderr


def test_a_gateway_that_demands_a_witness_nobody_asks_stays_shut(plant, tmp_path):
    p = plant
    stranger = PlantWitness(p, "w3")  # whose key is pinned, and which nobody runs
    p.stop("gateway-gw1")
    pinned = ("--cosigner", stranger.key, "--require-cosigned", 1)
    p.start_gateway(p.sites["gw1"], "--models", p.folder / "models", *pinned)
    wait_for(
        "it to say why",
        lambda: "none by witness.example/w3" in p.log_tail("gateway-gw1", 400),
        SOON_S,
        every_s=0.5,
    )
    seen = len(verdicts(p))
    p.stop("gateway-gw1")
    p.start_gateway(p.sites["gw1"], "--models", p.folder / "models", *p.demands)
    wait_for("it to serve again", lambda: len(verdicts(p)) > seen, SOON_S, every_s=0.5)
