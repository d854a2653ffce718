"""People, policy and care in a running plant, through the commands that people use: two-person
acts at controller and gateway, freezing, maintenance, CA rotation.
"""

import json
import os
import subprocess

import cv2
import pytest

from framegate_simulators.plant.processes import BIN, wait_for

pytestmark = [pytest.mark.swtpm, pytest.mark.slow, pytest.mark.plants]


def test_errors_end_with_the_next_command_and_leave_no_traceback(site):
    p = site.plant
    for argv in (
        ("camera", "show", "nobody"),
        ("camera", "release", "cam1"),
        ("access", "approve", "zz"),
        ("operator", "disable", "nobody"),
        ("policy", "validate", p.folder),
        ("audit", "show", "999999"),
        ("ca", "rotate", "root"),
        ("zone", "freeze", "Bad Zone", "--reason", "x"),
        ("auth", "can-i", "no.such"),
    ):
        done = p.framegate(*argv, check=False)
        assert done.returncode and "Traceback" not in done.stderr, done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("next:") or "do " in done.stderr, (argv, done.stderr)


def test_dry_runs_change_nothing_and_say_so(site):
    p = site.plant
    done = p.framegate("camera", "quarantine", "cam1", "--reason", "x", "--dry-run")
    assert "dry run" in done.stderr and p.state_of(site.camera) == "trusted"
    done = p.framegate(
        "camera",
        "invite",
        "new",
        "--profile",
        "simulated-camera",
        "--out",
        p.folder / "never.ticket",
        "--dry-run",
    )
    assert "new" not in [c["name"] for c in p.ask("camera", "list")]


def test_waiting_for_somebody_elses_approval(site):
    p = site.plant
    p.framegate("camera", "quarantine", "cam1", "--reason", "x")
    environment = {**os.environ, "FRAMEGATE_CONTEXT": str(p.context)}
    waiting = subprocess.Popen(
        [str(BIN / "framegate"), "camera", "release", "cam1", "--reason", "fine", "--wait"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    row = wait_for(
        "the request",
        lambda: next(
            (r for r in p.ask("access", "list")["requests"] if r["verb"] == "device.lift"), None
        ),
        20,
    )
    assert row["requester"] == "anna" and row["needed"] == 1
    shown = p.ask("access", "show", row["id"])
    assert shown["content_type"] and shown["content_sha256"] == row["content_sha256"]
    assert shown["summary"] == row["summary"] and shown["members"]
    said = p.framegate("access", "approve", row["id"][:4], who=site.sara)
    assert shown["content_sha256"] in said.stderr and "own words" in said.stderr
    assert waiting.wait(30) == 0, waiting.stderr.read()
    wait_for("cam1 to heal", lambda: p.state_of(site.camera) == "trusted", 20)
    site.goes_on()


def test_a_denied_request_ends_the_waiting(site):
    p = site.plant
    alone = p.framegate("zone", "set", "line-1", "--feed-silence", "grace", check=False)
    p.framegate("access", "deny", site.request(alone.stderr), "--reason", "no", who=site.sara)
    assert (
        p.framegate("zone", "set", "line-1", "--feed-silence", "grace", check=False).returncode != 0
    )
    assert (
        next(z for z in p.ask("zone", "list") if z["zone"] == "line-1")["feed_silence"] == "close"
    )


def test_a_frozen_zone_takes_no_machine_and_goes_on_inspecting(site):
    p = site.plant
    late = p.add_machine("cam2")
    ticket = p.invite(late)
    p.framegate("zone", "freeze", "line-1", "--reason", "audit week", who=site.sara)
    refused = p.framegate(
        "camera",
        "invite",
        "cam3",
        "--profile",
        "simulated-camera",
        "--out",
        p.folder / "t",
        check=False,
    )
    assert "zone-frozen" in refused.stderr and "framegate zone thaw" in refused.stderr
    joined = p.join(late, ticket, check=False)
    assert (
        joined.returncode != 0 and "zone-frozen" in joined.stderr and "audit week" in joined.stderr
    )
    assert "FROZEN" in p.framegate("zone", "list").stdout
    site.goes_on()
    p.framegate("zone", "thaw", "line-1", who=site.sara)
    p.join(late, ticket)
    p.framegate("camera", "retire", "cam2", "--yes")


def test_maintenance_stops_inspection_and_ends(site):
    p = site.plant
    p.framegate("maintenance", "start", "cam1", "--for", "30m", "--reason", "new lens")
    before = site.uninspected()
    wait_for("frames to be refused", lambda: site.uninspected() > before + 2, 20)
    assert (
        "maintenance" in json.dumps(site.camera.status()) and p.state_of(site.camera) == "trusted"
    )
    assert "new lens" in p.framegate("maintenance", "list").stdout
    p.framegate("maintenance", "end", "cam1")
    site.goes_on()
    assert p.framegate("maintenance", "end", "cam1", check=False).returncode != 0


def test_somebody_who_is_disabled_is_out_at_the_gateway_too(site):
    p = site.plant
    asked = json.loads(
        p.framegate(
            "access",
            "request",
            "--role",
            "admin",
            "--for",
            "30m",
            "--reason",
            "people",
            "-o",
            "json",
        ).stdout
    )
    p.framegate("access", "approve", asked["id"], who=site.sara)
    alone = p.framegate("operator", "add", "vera", "--role", "viewer@line-1", check=False)
    p.framegate("access", "approve", site.request(alone.stderr), who=site.sara)
    vera = p.add_person("vera", "viewer@line-1")
    wait_for(
        "vera to be known at the gateway",
        lambda: p.framegate("verdict", "list", check=False, who=vera).returncode == 0,
        15,
    )
    assert p.framegate("audit", "list", check=False, who=vera).returncode == 4
    p.framegate("operator", "disable", "vera", "--reason", "left")
    # straight at the gateway, with the certificate that still lives for hours
    from framegate.errors import FramegateError, Reason
    from framegate_operator.connection import gateway_stub
    from framegate_operator.contexts import read_context
    from framegate_proto.v1 import framegate_pb2 as pb

    def out() -> bool:
        try:
            with gateway_stub(
                read_context(vera),
                "gateway.line-1.gw1",
                f"127.0.0.1:{p.gateway_ports(site.gateway)[1]}",
            ) as stub:
                stub.ListVerdicts(pb.ListVerdictsRequest(limit=1))
        except FramegateError as error:
            assert error.reason == Reason.SIGNED_OUT
            return True
        return False

    wait_for("vera to be out at the gateway", out, 10)


@pytest.mark.parametrize("label", ["device-ca", "gateway-ca", "operator-ca"])
def test_a_ca_is_rotated_and_nobody_notices(site, label):
    p = site.plant
    plan = p.framegate("ca", "rotate", label, "--plan").stdout
    assert (
        "goes on signing" in plan
        and next(r["state"] for r in p.ask("ca", "show") if r["label"] == label) == "present"
    )
    old = next(
        r["serial"] for r in p.ask("ca", "show") if r["label"] == label and r["state"] == "present"
    )
    site.goes_on()
    uninspected = site.uninspected()
    site.by_two("ca", "rotate", label)
    wait_for(
        "the new CA to sign",
        lambda: (
            next(
                r["serial"]
                for r in p.ask("ca", "show")
                if r["label"] == label and r["state"] == "present"
            )
            != old
        ),
        40,
        every_s=0.5,
    )
    for _ in range(2):
        site.goes_on()
    if label == "operator-ca":
        assert p.framegate("whoami").returncode == 0  # a session under the old one goes on
    # with the session of before: what gateways show now, its controller vouches for
    assert p.framegate("verdict", "list").returncode == 0
    assert p.framegate("gateway", "status").returncode == 0
    assert site.uninspected() == uninspected, site.camera.status()
    events = [e["event"] for e in p.ask("events", "--limit", 200)]
    assert {"ca-made", "ca-rotated"} <= set(events)


def test_a_witness_of_ones_own_and_proofs_for_others(site, tmp_path):
    p = site.plant
    kept = tmp_path / "heads"
    first = json.loads(p.framegate("audit", "witness", kept, "-o", "json", who=site.sara).stdout)
    second = json.loads(p.framegate("audit", "witness", kept, "-o", "json", who=site.sara).stdout)
    assert second["grew_from"] == first["size"] <= second["size"]
    p.framegate("audit", "prove", 3, "--out", tmp_path / "proof.json", who=site.sara)
    export = tmp_path / "log"
    p.framegate("audit", "export", "--out", export, who=site.sara)
    assert (
        json.loads(
            p.framegate(
                "audit", "verify", tmp_path / "proof.json", "--root", f"{export}.root.pem"
            ).stdout
        )["entry"]["index"]
        == 3
    )
    done = json.loads(
        p.framegate(
            "audit",
            "verify",
            export,
            "--root",
            f"{export}.root.pem",
            "--witness",
            kept,
            "-o",
            "json",
        ).stdout
    )
    assert done["verified"] and done["witnessed"] == second["size"]
    lines = export.read_bytes().splitlines()
    export.write_bytes(b"\n".join([*lines[:5], *lines[6:]]) + b"\n")
    bad = p.framegate(
        "audit", "verify", export, "--root", f"{export}.root.pem", "-o", "json", check=False
    )
    assert bad.returncode == 6 and json.loads(bad.stdout)["entry"] == 4


def test_help_fits_a_screen_and_completion_knows_the_machines(site):
    p = site.plant
    assert len(p.framegate("--help").stdout.splitlines()) <= 24
    environment = {
        **os.environ,
        "FRAMEGATE_CONTEXT": str(p.context),
        "_FRAMEGATE_COMPLETE": "complete_bash",
        "COMP_WORDS": "framegate camera show c",
        "COMP_CWORD": "3",
    }
    done = subprocess.run(
        [str(BIN / "framegate")],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=30,
    )
    assert "cam1" in done.stdout.split()


def test_contexts_watch_top_and_qr(site, tmp_path):
    p = site.plant
    home = {**os.environ, "HOME": str(tmp_path)}
    home.pop("FRAMEGATE_CONTEXT", None)

    def run(*argv: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "framegate"), *map(str, argv)],
            capture_output=True,
            text=True,
            env=home,
            check=False,
            timeout=30,
        )

    assert (
        run("context", "add", "plant-a", p.context).returncode == 0
        and run("context", "add", "plant-b", site.sara, "--no-use").returncode == 0
    )
    assert json.loads(run("whoami", "-o", "json").stdout)["operator"] == "anna"
    assert (
        run("context", "use", "plant-b").returncode == 0
        and json.loads(run("whoami", "-o", "json").stdout)["operator"] == "sara"
    )
    assert [c["name"] for c in json.loads(run("context", "list", "-o", "json").stdout)] == [
        "plant-a",
        "plant-b",
    ]
    assert run("context", "use", "nowhere").returncode != 0
    top = p.framegate("top", "--seconds", 1.5, "--every", 0.5)
    assert "cam1" in top.stdout and "fleet plant" in top.stdout
    watching = subprocess.Popen(
        [str(BIN / "framegate"), "camera", "list", "--watch", "0.2"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "FRAMEGATE_CONTEXT": str(p.context)},
    )
    seen: list[str] = []
    for line in iter(watching.stdout.readline, ""):
        seen += ["cam1"] if "cam1" in line else []
        if len(seen) == 2:
            break
    watching.kill()
    watching.wait()
    assert len(seen) == 2
    p.framegate(
        "camera",
        "invite",
        "qr-cam",
        "--profile",
        "simulated-camera",
        "--qr",
        "--out",
        p.folder / "qr.ticket",
    )
    (picture,) = p.folder.glob("qr.ticket*.png")
    # OpenCV's other reader fails on one sound code in four, drawn by whatever library
    read, _, _ = cv2.QRCodeDetectorAruco().detectAndDecode(cv2.imread(str(picture)))
    assert read.strip() == (p.folder / "qr.ticket").read_text().strip()


def test_n29_hostile_words_steer_no_terminal_and_no_spreadsheet(site):
    """An operator's reason is an attacker's text: in every output that shows it, it is text."""
    p = site.plant
    hostile = "=cmd|'/C calc'!A0\x1b[2J\x1b]0;owned\x07\u202e[red]x[/]\r\n2026-01-01 INFO forged"
    p.framegate("maintenance", "start", "cam1", "--for", "5m", "--reason", hostile)
    p.framegate("access", "request", "--role", "auditor", "--for", "5m", "--reason", hostile)
    for argv in (
        ("events",),
        ("events", "-o", "json"),
        ("audit", "list"),
        ("audit", "list", "-o", "csv"),
        ("audit", "list", "-o", "json"),
        ("access", "list"),
        ("maintenance", "list"),
        ("camera", "show", "cam1"),
        ("camera", "list"),
        ("top", "--seconds", "0.3"),
        ("zone", "list"),
    ):
        done = p.framegate(*argv, who=site.sara)
        for text in (done.stdout, done.stderr):
            assert not {c for c in text if not c.isprintable() and c != "\n"}, argv
            assert not any(
                line.startswith(("=", "2026-01-01 INFO")) for line in text.splitlines()
            ), argv
            assert ",=cmd" not in text
    assert "forged" in p.framegate("audit", "list", who=site.sara).stdout
    for log in p.logs.glob("*.log"):
        assert not any(
            line.startswith("2026-01-01") for line in log.read_text(errors="replace").splitlines()
        )
    p.framegate("maintenance", "end", "cam1")


def test_n87_no_secret_is_in_a_log_or_readable_by_others(site):
    """Passwords, codes, keys and enrolment codes: in no log of any process, and in no file that
    others can read.
    """
    p = site.plant
    secrets = [
        b"correct horse battery",
        *(c.encode() for c in p.recovery_codes),
        *(u.split("secret=")[1].split("&")[0].encode() for u in p.authenticators.values()),
    ]
    secrets += [f.read_bytes().strip() for f in p.folder.glob("*.enrolment")]
    for path in p.logs.glob("*.log"):
        text = path.read_bytes()
        assert not any(s in text for s in secrets), path
    for path in (p.folder / "controller").rglob("*"):
        if (path.is_file() and path.suffix in {".key", ".db", ".tpm"}) or path.name == "passphrase":
            assert path.stat().st_mode & 0o077 == 0, path
    assert p.context.stat().st_mode & 0o077 == 0
    database = b"".join(f.read_bytes() for f in (p.folder / "controller").glob("registry.db*"))
    assert not any(s in database for s in secrets)
