"""A running plant: a signed model is approved, promoted, swapped without a lost frame, rolled
back; parts are taught, changed and taken away.
"""

import hashlib
import json
import shutil
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from framegate.wire import NO_MODEL
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, wait_for

pytestmark = [pytest.mark.swtpm, pytest.mark.slow, pytest.mark.plants]


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    with Plant(interval_s=2.0, logs=folder) as p, p.explained():
        p.found_fleet()
        p.start_controller()
        gateway, camera = p.add_machine("gw1", kind="gateway"), p.add_machine("cam1")
        p.write_golden([1])
        for site in (gateway, camera):
            p.join(site, p.invite(site))
        (p.folder / "models").mkdir()
        p.start_agent(gateway)
        p.start_gateway(gateway, "--models", p.folder / "models")
        p.start_agent(camera, "--source", f"exec:{SIM} camera --design 1 --rate 2")
        wait_for(
            "verdicts", lambda: sum(p.sites["cam1"].status().get("outcomes", {}).values()) > 3, 60
        )
        yield p


def verdicts(p: Plant, limit: int = 100) -> list[dict]:
    return p.ask("verdict", "list", "--limit", limit)


def bundle(p: Plant, version: int, key) -> Path:
    """The default bundle under another version, signed by the operator's command."""
    folder = p.folder / "models" / f"v{version}"
    shutil.copytree(DEFAULT_BUNDLE, folder)
    recipe = {**json.loads((folder / "recipe.json").read_text()), "version": version}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    p.framegate("model", "sign", folder, "--key", key)
    return folder


@pytest.fixture(scope="module")
def signer(plant):
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = plant.folder / "model.key", plant.folder / "model.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def test_a_model_is_registered_approved_promoted_swapped_and_rolled_back(plant, signer):
    p, (private, public) = plant, signer
    first, second = bundle(p, 50, private), bundle(p, 51, private)
    digests = [load_bundle(b).digest.hex() for b in (first, second)]
    assert p.framegate("model", "verify", first, "--key", public).stdout.strip() == digests[0]
    assert p.ask("gateway", "status")[0]["model_state"].startswith("not pinned")
    for folder, digest in zip((first, second), digests, strict=True):
        p.framegate("model", "register", folder, "--key", public)
        early = p.framegate("model", "promote", digest[:16], "line-1", check=False)
        assert early.returncode and "an approved model" in early.stderr
        p.framegate("model", "approve", digest[:16], "--reason", "figures looked at")
    p.framegate("model", "promote", digests[0][:16], "line-1")
    wait_for(
        "the first model to judge frames",
        lambda: any(v["model_sha256"] == digests[0] for v in verdicts(p)),
        60,
        every_s=0.5,
    )
    since = {v["verdict_id"] for v in verdicts(p, 500)}  # all: a slow start has many
    p.framegate("model", "promote", digests[1][:16], "line-1")
    wait_for(
        "the second model to judge frames",
        lambda: any(v["model_sha256"] == digests[1] for v in verdicts(p)),
        60,
        every_s=0.5,
    )
    during = [v for v in verdicts(p, 500) if v["verdict_id"] not in since]
    assert {v["model_sha256"] for v in during} == set(digests) and not [
        v for v in during if v["outcome"] == "UNINSPECTED"
    ], "no frame was lost over the swap"
    # what got no answer in time is sent again, and then has two verdicts
    triggers = sorted({v["trigger_sequence"] for v in during})
    assert triggers == list(range(triggers[0], triggers[-1] + 1))
    status = p.ask("gateway", "status")[0]
    assert (
        status["model_sha256"] == digests[1]
        and status["model_state"].startswith("pinned, signed by key")
        and status["known_answers"] >= 20
    )
    back = p.framegate("model", "promote", digests[0][:16], "line-1", check=False)
    assert back.returncode and "model-rollback" in back.stderr and "rollback" in back.stderr
    p.framegate("model", "rollback", "line-1", "--reason", "too many false alarms")
    wait_for(
        "the first model again",
        lambda: p.ask("gateway", "status")[0]["model_sha256"] == digests[0],
        60,
        every_s=0.5,
    )
    rows = {r["digest"]: r for r in p.ask("model", "list")}
    assert (
        rows[digests[0]]["zones"] == ["line-1"]
        and rows[digests[1]]["zones"] == []
        and rows[digests[0]]["state"] == "approved"
    )
    withdrawn = p.framegate("model", "approve", digests[0][:16], "--withdraw", check=False)
    assert withdrawn.returncode and "in force in line-1" in withdrawn.stderr
    p.framegate("model", "approve", digests[1][:16], "--withdraw")
    shown = p.ask("model", "show", digests[0][:16])
    assert [pin["rollback"] for pin in shown["pins"]] == [False, True] and "drawn boards" in shown[
        "card"
    ]["trained_on"]["source"]
    table = p.framegate("model", "list").stdout
    assert "board-defects 50" in table and "withdrawn" in table


def test_N104_a_bundle_that_is_not_at_hand_or_was_swapped_is_said_and_the_present_one_goes_on(
    plant, signer
):
    p, (private, public) = plant, signer
    folder = bundle(p, 60, private)
    digest = load_bundle(folder).digest.hex()
    p.framegate("model", "register", folder, "--key", public)
    p.framegate("model", "approve", digest[:16])
    (folder / "card.json").write_text("{}")
    p.framegate("model", "promote", digest[:16], "line-1")
    wait_for(
        "the gateway to say so",
        lambda: "not in force" in p.ask("gateway", "status")[0]["model_state"],
        30,
        every_s=0.5,
    )
    before = len(verdicts(p, 500))
    wait_for("frames to go on", lambda: len(verdicts(p, 500)) > before + 3, 30, every_s=0.5)
    assert verdicts(p)[0]["outcome"] in {"PASS", "DEFECT"}
    shutil.rmtree(folder)
    bundle(p, 60, private)
    (folder / "card.json").write_bytes((DEFAULT_BUNDLE / "card.json").read_bytes())
    wait_for(
        "the mended bundle to be in force",
        lambda: p.ask("gateway", "status")[0]["model_sha256"] == digest,
        60,
        every_s=0.5,
    )
    unsigned = p.framegate(
        "model", "register", p.folder / "models" / "v50", "--key", public, check=False
    )
    assert unsigned.returncode and "conflict" in unsigned.stderr


def test_n104_a_gateway_that_comes_up_under_a_bad_pin_says_so_and_recovers_by_itself(plant, signer):
    """Its bundle is away when the process begins: it comes up, runs no model and says that; its
    camera is told UNINSPECTED, and not left without an answer; once the bundle is there it goes on.
    """
    p, (private, public) = plant, signer
    folder, away = bundle(p, 70, private), p.folder / "away"
    digest = load_bundle(folder).digest.hex()
    p.framegate("model", "register", folder, "--key", public)
    p.framegate("model", "approve", digest[:16])
    p.framegate("model", "promote", digest[:16], "line-1")
    wait_for("the pin to be in force", lambda: runs(p) == digest, 90, every_s=0.5)
    gateway = p.sites["gw1"]
    p.stop(f"gateway-{gateway.name}", signal.SIGKILL)
    folder.rename(away)
    before, begun_ms = outcomes(p), time.time_ns() // 1_000_000
    p.start_gateway(gateway, "--models", p.folder / "models")
    wait_for(
        "the camera to be told UNINSPECTED",
        lambda: outcomes(p).get("UNINSPECTED", 0) > before.get("UNINSPECTED", 0) + 4,
        120,
        every_s=0.5,
    )
    status = p.ask("gateway", "status")[0]
    assert "not in force" in status["model_state"] and status["gate_open"], status
    told = [v for v in verdicts(p) if v["issued_at_ms"] >= begun_ms]
    assert told and {v["outcome"] for v in told} == {"UNINSPECTED"}, "and nothing was inspected"
    assert {v["model_sha256"] for v in told} == {NO_MODEL.hex()}, "by no model, as they say"
    away.rename(folder)
    wait_for(
        "frames to be inspected again, by the pinned model",
        lambda: any(
            v["model_sha256"] == digest and v["outcome"] in {"PASS", "DEFECT"}
            for v in verdicts(p)
            if v["issued_at_ms"] >= begun_ms
        ),
        120,
        every_s=0.5,
    )
    wait_for("it to say so", lambda: runs(p) == digest, 60, every_s=0.5)
    p.framegate("model", "rollback", "line-1", "--reason", "that was a test")


def runs(p: Plant) -> str:
    """The digest of the model that the gateway says it runs."""
    return p.ask("gateway", "status")[0]["model_sha256"]


def outcomes(p: Plant) -> dict[str, int]:
    """What the camera was told so far."""
    return dict(p.sites["cam1"].status().get("outcomes", {}))


def test_a_part_is_learnt_from_the_line_added_changed_and_taken_away(plant):
    p = plant
    out = p.folder / "learnt.png"
    done = p.framegate("part", "learn", "drawn-1", "--out", out, "--frames", 5, "--for", 50)
    assert "from 5 frames" in done.stderr or "from" in done.stderr
    assert np.asarray(cv2.imread(str(out), cv2.IMREAD_GRAYSCALE)).shape == (640, 640)
    golden = p.folder / "golden-1.png"
    cv2.imwrite(str(golden), draw_board(0, design=1, defects=0, clean_capture=True).golden)
    p.framegate("part", "add", "drawn-1", "--golden", golden, "--source", "board 1, lot 12")

    digest = hashlib.sha256(golden.read_bytes()).hexdigest()
    wait_for(
        "frames to be compared with it",
        lambda: verdicts(p)[0]["golden_sha256"] == digest,
        30,
        every_s=0.5,
    )
    p.framegate(
        "part",
        "add",
        "drawn-1",
        "--golden",
        golden,
        "--source",
        "board 1, lot 12",
        "--min-size",
        64,
    )
    wait_for(
        "nothing to be a defect",
        lambda: [v["outcome"] for v in verdicts(p)[:12]] == ["PASS"] * 12,
        120,
        every_s=0.5,
    )
    rows = p.ask("part", "list")
    assert (
        rows[0]["version"] == 2
        and rows[0]["source"] == "board 1, lot 12"
        and rows[0]["approved_by"] == ["operator.anna"]
    )
    p.framegate("part", "show", "drawn-1", "--out", p.folder / "shown")
    assert next((p.folder / "shown").iterdir()).read_bytes() == golden.read_bytes()
    p.framegate("part", "add", "drawn-1", "--remove")
    wait_for(
        "its frames to be UNINSPECTED",
        lambda: (
            (verdicts(p)[0]["outcome"], verdicts(p)[0]["reason"]) == ("UNINSPECTED", "part-unknown")
        ),
        30,
        every_s=0.5,
    )
    bad = p.framegate("part", "add", "x", "--golden", p.context, "--source", "s", check=False)
    assert bad.returncode and "PNG or JPEG" in bad.stderr
