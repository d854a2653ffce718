"""The whole house, through the commands people use: join, inspect, quarantine, reboot, power
cut, verdicts on a real broker.
"""

import json
import shutil
import signal
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from framegate.identity.certificates import from_ms
from framegate.signed.statement import Verdict, verify_verdict
from framegate_agent.state import StateFile
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, wait_for

pytestmark = [pytest.mark.swtpm, pytest.mark.slow]


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    with (
        Plant(interval_s=2.0, logs=tmp_path_factory.mktemp("logs")) as running,
        running.explained(),
    ):
        running.found_fleet()
        running.start_controller()
        running.start_broker()
        gateway, camera = running.add_machine("gw1", "gateway"), running.add_machine("cam1")
        for site in (gateway, camera):
            running.join(site, running.invite(site))
        running.write_golden([1])
        running.start_agent(gateway)
        running.start_gateway(gateway)
        running.start_agent(camera, "--source", f"exec:{SIM} camera --design 1 --rate 2")
        wait_for("frames to be inspected", lambda: inspected(running) > 2, 40)
        yield running


def inspected(plant: Plant) -> int:
    outcomes = plant.sites["cam1"].status().get("outcomes", {})
    return int(outcomes.get("PASS", 0)) + int(outcomes.get("DEFECT", 0))


def more(plant: Plant, timeout_s: float = 30) -> None:
    before = inspected(plant)
    wait_for("more inspected frames", lambda: inspected(plant) > before, timeout_s)


def test_verdicts_are_listed_verified_and_pictured(plant, tmp_path):
    wait_for("a defect", lambda: plant.ask("verdict", "list", "--outcome", "DEFECT"), 20)
    verdicts = plant.ask("verdict", "list", "--limit", "50")
    assert {v["outcome"] for v in verdicts} <= {"PASS", "DEFECT", "UNINSPECTED"} and all(
        v["gateway"] == "gateway.line-1.gw1" for v in verdicts
    )
    defect = next(v for v in verdicts if v["outcome"] == "DEFECT")
    plant.framegate("verdict", "picture", defect["verdict_id"], "--out", tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    missing = plant.framegate(
        "verdict", "picture", "nothing", "--out", tmp_path / "y.png", check=False
    )
    assert missing.returncode == 3 and "verdict list" in missing.stderr
    assert "board-1-" in plant.framegate("verdict", "list").stdout
    wait_for(
        "a verdict as it comes",
        lambda: "board-1-" in plant.framegate("verdict", "watch", "--seconds", "2").stdout,
        60,
    )


def test_n114_broker_has_signed_unretained_verdicts_and_refuses_strangers(plant):
    import ssl
    import threading

    import paho.mqtt.client as mqtt
    from cryptography import x509
    from paho.mqtt.enums import CallbackAPIVersion

    context = json.loads(plant.context.read_text())
    root, authorities = (
        x509.load_pem_x509_certificate(context["root"].encode()),
        x509.load_pem_x509_certificates(context["authorities"].encode()),
    )
    pem = plant.folder / "mqtt.pem"
    pem.write_text(context["key"] + context["certificate"])
    tls = ssl.create_default_context(cadata=context["root"])
    tls.check_hostname = False
    tls.load_cert_chain(pem)
    got, seen = [], threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.tls_set_context(tls)
    client.on_message = lambda _c, _u, m: (got.append(m), seen.set())
    client.on_connect = lambda c, *_: c.subscribe("framegate/v1/verdicts/+/+", qos=1)
    client.connect("127.0.0.1", plant.broker_port)
    client.loop_start()
    assert seen.wait(20)
    client.disconnect()
    client.loop_stop()
    message = got[0]
    assert (
        not message.retain
        and message.topic == "framegate/v1/verdicts/gateway.line-1.gw1/camera.line-1.cam1"
    )
    envelope = json.loads(message.payload)
    assert envelope["payloadType"] == Verdict.TYPE
    import time

    verdict = verify_verdict(
        message.payload, authorities, root, from_ms(time.time_ns() // 1_000_000)
    )
    assert verdict.device == "camera.line-1.cam1"
    stranger = mqtt.Client(CallbackAPIVersion.VERSION2)
    plain = ssl.create_default_context(cadata=context["root"])
    plain.check_hostname = False
    stranger.tls_set_context(plain)
    stranger.connect_timeout = 3
    with pytest.raises((ssl.SSLError, OSError)):
        stranger.connect("127.0.0.1", plant.broker_port)
        stranger.loop(2)
        rc = stranger.loop(2)
        if rc:
            raise OSError(rc)


def test_quarantine_and_release_heal_without_a_restart(plant):
    plant.framegate("camera", "quarantine", "cam1", "--reason", "test")
    wait_for(
        "UNINSPECTED(quarantined)",
        lambda: plant.sites["cam1"].status()["uninspected"].get("quarantined"),
        10,
    )
    why = plant.framegate("camera", "why", "cam1", check=False)
    assert why.returncode == 6 and "framegate camera release cam1" in why.stdout
    again = plant.framegate("camera", "quarantine", "cam1", check=False)
    assert again.returncode == 5
    plant.framegate("camera", "release", "cam1")
    more(plant)
    assert plant.state_of(plant.sites["cam1"]) == "trusted"


def test_power_cut_heals_without_an_operator(plant):
    cam = plant.sites["cam1"]
    cam.machine.power_cut()
    plant.stop_agent(cam)
    cam.machine.power_on()
    plant.start_agent(cam)
    wait_for("cam1 inspected again", lambda: inspected(plant) > 1, 30)
    assert plant.ask("camera", "show", "cam1")["reset_count"] >= 2
    assert plant.state_of(cam) == "trusted"


@pytest.mark.plants
def test_long_silence_is_stale_and_heals(plant):
    cam = plant.sites["cam1"]
    plant.stop_agent(cam)
    wait_for("cam1 to be stale", lambda: plant.state_of(cam) == "stale", 15, 0.3)
    why = plant.ask("camera", "why", "cam1")
    assert why["state"] == "stale"
    own = StateFile(cam.disk).load().own_certificate
    wait_for(
        "its certificate to expire", lambda: own.not_valid_after_utc < datetime.now(UTC), 15, 0.3
    )
    plant.start_agent(cam)
    wait_for("cam1 inspected again", lambda: inspected(plant) > 1, 30)
    assert plant.state_of(cam) == "trusted"


def test_n24_a_copied_disk_is_refused_on_another_machine(plant):
    cam, clone = plant.sites["cam1"], plant.add_machine("clone")
    shutil.copytree(cam.disk, clone.disk, dirs_exist_ok=True)
    plant.start_agent(clone)
    reasons = wait_for(
        "the copy to be refused", lambda: [f[0] for f in clone.status().get("failures", [])], 15
    )
    plant.stop_agent(clone)
    assert reasons == ["ek-unknown"] and plant.state_of(cam) == "trusted"


def test_controller_that_is_killed_comes_back_and_nobody_needs_help(plant):
    plant.stop("controller", signal.SIGKILL)
    before = plant.sites["cam1"].status()["outcomes"].get("UNINSPECTED", 0)
    # whichever comes first at this short interval: the gate closes for want of a feed, or the
    # camera's grant or certificate runs out
    wait_for(
        "frames to be UNINSPECTED",
        lambda: plant.sites["cam1"].status()["outcomes"].get("UNINSPECTED", 0) > before,
        30,
    )
    plant.start_controller()
    more(plant, 40)
    wait_for(
        "cam1 to be trusted", lambda: plant.state_of(plant.sites["cam1"]) == "trusted", 15, 0.3
    )


def test_gateway_process_that_is_restarted_gets_new_keys_and_frames(plant):
    """N121: the new process has keys of its own; only after its host quoted them do cameras
    seal for it.
    """
    plant.stop("gateway-gw1")
    wait_for(
        "frames to be withheld",
        lambda: plant.sites["cam1"].status()["uninspected"].get("no-grant"),
        20,
    )
    plant.start_gateway(plant.sites["gw1"])
    more(plant, 40)


def test_n87_no_secret_in_logs_and_files_are_private(plant):
    logs = b"".join(p.read_bytes() for p in plant.logs.glob("*.log"))
    tickets = [(plant.folder / f"{n}.ticket").read_text().strip() for n in ("gw1", "cam1")]
    context = json.loads(plant.context.read_text())
    for secret in (
        *tickets,
        context["key"].split("\n")[1],
        "BEGIN PRIVATE KEY",
        "BEGIN EC PRIVATE KEY",
    ):
        assert secret.encode() not in logs
    private = [
        plant.context,
        *plant.folder.glob("controller/keys/*.key"),
        plant.folder / "controller" / "registry.db",
        *plant.folder.glob("*/disk/*.json"),
        *plant.folder.glob("*.ticket"),
    ]
    assert len(private) > 10
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert stat.S_IMODE((plant.folder / "gw1" / "agent.sock").stat().st_mode) == 0o660


@pytest.mark.plants
def test_machine_of_no_ticket_and_wrong_ticket_are_told_what_to_do(plant, tmp_path: Path):
    site = plant.add_machine("spare")
    at = ("--state", tmp_path, "--tcti", site.machine.tcti)
    (tmp_path / "shopping.txt").write_text("milk\n")
    for given, code in (("nowhere", 3), (tmp_path / "shopping.txt", 2)):
        nothing = plant.command("framegate-agent", "join", given, *at, check=False)
        assert nothing.returncode == code and "framegate camera invite" in nothing.stderr
    other = plant.add_machine("other")
    ticket = plant.invite(other)
    wrong = plant.join(site, ticket, check=False)
    assert wrong.returncode != 0 and "another machine" in wrong.stderr
    assert plant.join(other, ticket).returncode == 0
    used = plant.join(other, ticket, check=False)
    assert used.returncode != 0 and "ticket-used" in used.stderr
    idle = plant.command("framegate-agent", "status", "--state", tmp_path, check=False)
    assert idle.returncode == 7


@pytest.mark.plants
def test_agent_whose_tpm_goes_away_ends_with_a_word_for_its_supervisor(plant):
    site = plant.add_machine("mortal")
    plant.join(site, plant.invite(site))
    plant.start_agent(site)
    wait_for("it to attest", lambda: site.status().get("attested"), 20)
    site.machine.power_cut()
    assert site.agent.wait(40) == 7
    assert "framegate-agent doctor" in plant.log_tail(
        "agent-mortal"
    ) and "Traceback" not in plant.log_tail("agent-mortal", 200)


def test_no_frame_or_key_reaches_a_disk(plant):
    for path in plant.folder.rglob("*"):
        if (
            path.is_file()
            and path.stat().st_size < 5_000_000
            and "golden" not in path.parts
            and path.name != "x.png"
        ):
            raw = path.read_bytes()
            assert b"\xff\xd8\xff\xe0\x00\x10JFIF" not in raw, path


def test_a_new_listener_is_told_at_once_and_not_at_the_next_interval(plant):
    """The plant's interval is raised for this one camera's agent by nobody: what counts is that
    the event names the port within moments.
    """
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        told = wait_for(
            "the listener to be told",
            lambda: [
                e
                for e in plant.ask("events", "--all", "--limit", 200)
                if e["event"] == "posture-changed" and f":{port}" in e["detail"]
            ],
            20,
        )
    assert told[0]["device"].startswith(("camera.", "gateway."))


def test_a_result_is_shown_and_checked_offline(plant, tmp_path):
    shown = plant.ask("camera", "show", "cam1")
    (tmp_path / "ear.jwt").write_text(plant.framegate("result", "show", "cam1", "-o", "jwt").stdout)
    root = plant.folder / "controller" / "keys" / "root.pem"
    claims = json.loads(
        plant.framegate(
            "result", "verify", tmp_path / "ear.jwt", "--root", root, "-o", "json"
        ).stdout
    )
    assert (
        claims["sub"] == shown["device"]
        and claims["submods"]["framegate"]["ear.status"] == "affirming"
    )
    assert (
        "signature and certificate hold"
        in plant.framegate("result", "verify", tmp_path / "ear.jwt", "--root", root).stdout
    )
    spoiled = (tmp_path / "ear.jwt").read_text().replace("eyJ", "eyK", 2)
    (tmp_path / "ear.jwt").write_text(spoiled)
    assert (
        plant.framegate(
            "result", "verify", tmp_path / "ear.jwt", "--root", root, check=False
        ).returncode
        != 0
    )


@pytest.mark.plants
def test_an_auditor_learns_lints_and_explains_from_the_fleet(plant, tmp_path):
    plant.framegate(
        "profile", "learn", "--from", "cam1", "--name", "learnt", "--out", tmp_path / "learnt.toml"
    )
    assert "must hold" in plant.framegate("profile", "explain", tmp_path / "learnt.toml").stdout
    assert plant.framegate("profile", "lint", tmp_path / "learnt.toml", check=False).returncode == 0
    assert [r["name"] for r in plant.ask("profile", "list") if r["in_force"]] == [
        "simulated-camera",
        "simulated-gateway",
    ]
    done = plant.framegate(
        "replay",
        "--profile",
        tmp_path / "learnt.toml",
        "--device",
        "cam1",
        "--allowlist",
        tmp_path / "learnt.allowlist",
        "-o",
        "json",
        check=False,
    )
    assert done.returncode == 0 and all(
        r["would"] for r in json.loads(done.stdout) if r["was"] and not r["problem"]
    )


@pytest.mark.plants
def test_a_mainboard_is_changed(plant):
    """`camera replace`: the new machine joins in the old one's place, and the old one is nobody
    from that moment on.
    """
    old = plant.add_machine("old-board")
    plant.join(old, plant.invite(old))
    plant.start_agent(old)
    wait_for("the old machine to be trusted", lambda: plant.state_of(old) == "trusted", 20)
    new = plant.add_machine("new-board")
    shown = json.loads(
        plant.command("framegate-agent", "ek", "--tcti", new.machine.tcti, "-o", "json").stdout
    )
    ticket = plant.folder / "replacement.ticket"
    plant.framegate(
        "camera",
        "replace",
        "old-board",
        "--ek-hash",
        shown["ek_sha256"],
        "--reason",
        "mainboard",
        "--out",
        ticket,
    )
    assert plant.state_of(old) == "trusted", "a ticket alone changes nothing"
    plant.join(new, ticket)
    detail = plant.ask("camera", "show", "old-board")
    # no agent runs on it: on a busy machine its next attestation may be late by now
    assert detail["state"] in {"trusted", "stale"} and detail["ek_sha256"] == shown["ek_sha256"]
    assert any(e["event"] == "replaced" for e in detail["events"])
    wait_for(
        "the old machine to be told",
        lambda: old.status().get("failures") or old.status().get("state") != "trusted",
        30,
    )
    plant.stop_agent(old)
    again = plant.join(old, ticket, check=False)
    assert again.returncode != 0 and "ticket" in again.stderr
    plant.framegate("camera", "retire", "old-board", "--yes")
