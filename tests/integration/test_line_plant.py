"""N123 and the line as a whole, through the real commands: kills, fail-over, frames over a
broker that sees no pixel, proofs, export, a liar.
"""

import json
import signal
import stat
from pathlib import Path

import cv2
import pytest

from framegate_simulators.plant.chaos_line import chaos
from framegate_simulators.plant.line_plant import LINE, LinePlant
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, wait_for

pytestmark = [pytest.mark.swtpm, pytest.mark.slow]


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    with (
        Plant(interval_s=3.0, logs=tmp_path_factory.mktemp("logs")) as plant,
        plant.explained(),
        LinePlant(plant) as plant_line,
    ):
        yield plant_line


def test_parts_in_are_outcomes_out(line):
    line.healed()
    before = len(line.conveyor.parts)
    line.conveyor.run(12)
    outside, ledger = line.outside(before), line.ledger()
    assert (
        outside.exact
        and outside.parts_in == 12
        and outside.let_through >= 4
        and outside.bad_let_through == 0
    )
    wait_for("the ledger to have every part decided", lambda: line.ledger()["open"] == 0, 10)
    assert ledger["parts"] == len(line.conveyor.parts)


def test_one_screen_tells_of_the_line_its_outputs_and_the_broker(line):
    line.healed()

    def told():
        body = line.plant.ask("status")
        (row,) = body["lines"] or [None]
        return body if row is not None and not row["silent"] and not row["refusing"] else None

    body = wait_for("the line to be heard by a gateway", told, 30)
    assert body["lines"][0]["line"] == LINE and "mqtt" in body["lines"][0]["taking"]
    assert {g["broker"] for g in body["gateways"]} == {"connected"}
    cameras = {c["name"]: c["frames"] for c in body["cameras"]}
    assert cameras["cam1"]["known"] and cameras["cam1"]["streams"] == 1, cameras
    for view in (("camera", "list"), ("top",)):
        rows = {r["device"]: r for r in line.plant.ask(*view)}
        assert rows[line.cameras[0]]["frames"]["streams"] == 1
    assert line.plant.ask("camera", "why", "cam1")["frames"]["known"]


@pytest.mark.plants
def test_gateways_and_the_line_report_and_the_record_has_it(line):
    line.healed()
    line.plant.stop_agent(line.camera)  # triggers without pictures: the line asks to be stopped
    line.conveyor.run(6)
    line.start_camera()

    def told(event):
        rows = line.plant.ask("audit", "list", "--event", event)
        return rows[0] if rows else None

    stop = wait_for("the line's own report", lambda: told("line-stop-asked"), 60)
    assert stop["device"] == stop["actor"] == f"line.{LINE}"
    assert wait_for("the line to be away no more", lambda: told("incident-opened"), 30)
    (incident,) = [i for i in line.plant.ask("incident", "list") if i["about"] == f"line.{LINE}"]
    shown = line.plant.framegate("incident", "show", incident["incident"]).stdout
    assert "line-stop-asked" in shown and f"line.{LINE}" in shown
    reporters = {f"gateway.line-1.{g.name}" for g in line.gateways}

    def heard():
        rows = line.plant.ask("audit", "list", "-n", "2000")
        reports = [r for r in rows if r["kind"] == "report"]
        accepted = [a["device"] for r in reports for a in r["accepted"]]
        return reporters <= {r["reporter"] for r in reports} and line.cameras[0] in accepted

    wait_for("a report of each gateway, and frames accepted in one", heard, 90)
    line.healed()


def test_n123_fail_over_to_the_second_gateway_without_a_lost_part(line):
    line.healed()
    first, before = line.serving(), len(line.conveyor.parts)
    line.conveyor.start(16)
    wait_for("some parts", lambda: len(line.conveyor.parts) > before + 5)
    line.plant.stop(f"gateway-{first.name}", signal.SIGKILL)
    line.conveyor.finish_count()
    outside = line.outside(before)
    assert outside.exact and line.serving() is not first

    def inspected(since: int) -> bool:
        said = [line.diverter.decisions.get((p.part, p.sequence)) for p in line.conveyor.parts]
        return not {"PASS", "DEFECT"}.isdisjoint(said[since:])

    # how many parts the other one is late for depends on how busy this machine is
    failed_over = len(line.conveyor.parts)
    for _ in range(20):
        line.conveyor.start(8)
        line.conveyor.finish_count()
        if inspected(failed_over):
            break
    assert inspected(failed_over), "the second gateway inspects"
    line.start_gateway(first)


@pytest.mark.plants
def test_n123_everything_dies_and_nothing_uninspected_is_let_through(line):
    result = chaos(line, 8, seed=3)
    assert result["exact"] and result["uninspected_let_through"] == 0, result
    for target in ("camera", "broker"):
        line.kill(target)
    line.healed()
    assert line.outside().exact


def test_every_frame_is_proved_offline(line, tmp_path):
    line.healed()
    line.plant.stop_agent(line.camera)
    line.start_camera()
    wait_for("the camera to be back", line.streaming, 40)
    out = tmp_path / "r.jsonl"

    def verified():
        line.plant.framegate(
            "receipt", "export", "--camera", line.cameras[0], "--since", "30s", "--out", out
        )
        done = line.plant.command(
            "framegate",
            "receipt",
            "verify",
            out,
            "--root",
            out.with_suffix(".root.pem"),
            "-o",
            "json",
            check=False,
        )
        body = json.loads(done.stdout)
        return body if done.returncode == 0 and body["good"] > 3 else None

    assert wait_for("all receipts to be signed and logged", verified, 30, 1.0)["refused"] == []
    lines = out.read_text().splitlines()
    edited = json.loads(lines[0])
    edited["verdict"] = json.loads(lines[1])["verdict"]
    out.write_text(json.dumps(edited) + "\n")
    bad = line.plant.framegate("receipt", "verify", out, check=False)
    assert bad.returncode == 6 and "REFUSED" in bad.stdout
    shown = line.plant.ask(
        "receipt",
        "show",
        json.loads(line.plant.framegate("verdict", "list", "--limit", "1", "-o", "json").stdout)[0][
            "verdict_id"
        ],
    )
    assert (
        shown["result"]["firmware_profile"].startswith("simulated-camera")
        and shown["result"]["evidence_sha256"] == shown["claims"]["attestation_doc_hash"]
    )


@pytest.mark.plants
def test_lineage_picture_masks_export_and_erasure(line, tmp_path):
    p = line.plant
    line.healed()
    verdict = next(v for v in p.ask("verdict", "list", "--limit", "30") if v["outcome"] == "DEFECT")
    assert p.ask("lineage", "show", verdict["verdict_id"][:20])["verdict"]["outcome"] == "DEFECT"
    assert "firmware profile" in p.framegate("lineage", "show", verdict["verdict_id"]).stdout
    assert (
        json.loads(
            p.framegate("lineage", "show", verdict["verdict_id"], "-o", "openlineage").stdout
        )["eventType"]
        == "COMPLETE"
    )
    p.framegate("verdict", "show", verdict["verdict_id"], "--picture", tmp_path / "v.png")
    assert cv2.imread(str(tmp_path / "v.png")).shape[1] > 1280
    ok = p.framegate(
        "frame",
        "export",
        verdict["verdict_id"],
        "--reason",
        "claim 17",
        "--to",
        "quality",
        "--out",
        tmp_path / "x.png",
    )
    assert "1 frames left" in ok.stderr and (tmp_path / "x.png").exists()
    assert (
        p.framegate(
            "frame",
            "export",
            verdict["verdict_id"],
            "--reason",
            "claim 17",
            "--to",
            "usb",
            "--out",
            tmp_path / "y.png",
            check=False,
        ).returncode
        == 4
    )
    none = p.framegate(
        "dataset",
        "export",
        line.cameras[0],
        "--reason",
        "x",
        "--to",
        "quality",
        "--out",
        tmp_path / "ds",
        check=False,
    )
    assert none.returncode == 2 and "--trusted-only" in none.stderr
    mask = tmp_path / "mask.toml"
    mask.write_text("[[region]]\npoints = [[0, 0], [0.3, 0], [0.3, 0.3], [0, 0.3]]\n")
    p.framegate("mask", "set", "cam1", mask)
    wait_for("the camera to have its masks", lambda: line.camera.status().get("masks") == 1, 20)
    line.healed()

    def masked():
        line.conveyor.run(3)
        latest = p.ask("verdict", "list", "--limit", "1")[0]
        chain = p.ask("lineage", "show", latest["verdict_id"])
        return (
            latest
            if chain["frame"]["mask_version"] == 1 and latest["outcome"] != "UNINSPECTED"
            else None
        )

    latest = wait_for("a verdict on a masked frame", masked, 30)
    p.framegate("verdict", "show", latest["verdict_id"], "--picture", tmp_path / "m.png")
    card = cv2.imread(str(tmp_path / "m.png"), cv2.IMREAD_GRAYSCALE)
    right = card[-640:, -640:]
    assert right[20:170, 20:170].mean() < 10, "the region is black in what left the camera"
    old = p.framegate(
        "frame",
        "export",
        verdict["verdict_id"],
        "--reason",
        "x",
        "--to",
        "quality",
        "--out",
        tmp_path / "z.png",
        check=False,
    )
    assert old.returncode != 0
    assert p.ask("data", "status")["rows"]
    p.framegate("data", "erase", line.cameras[0], "--reason", "works council", "--yes")
    assert (
        p.framegate(
            "verdict",
            "show",
            verdict["verdict_id"],
            "--picture",
            tmp_path / "gone.png",
            check=False,
        ).returncode
        == 3
    )
    assert any(r["erased"] for r in p.ask("data", "status")["rows"])


@pytest.mark.plants
def test_frames_over_mqtt_and_a_broker_that_sees_no_pixel(line):
    """A second camera sends through mosquitto, which keeps everything on disk for this test;
    neither its disk nor its memory has a picture.
    """
    p = line.plant
    folder = p.folder / "broker"
    conf = folder / "mosquitto.conf"
    store = folder / "store"
    store.mkdir()
    store.chmod(stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
    conf.write_text(
        conf.read_text().replace(
            "persistence false",
            f"persistence true\npersistence_location {store}/\nautosave_interval"
            " 1\nautosave_on_changes true",
        )
    )
    for gateway in line.gateways:
        p.stop(f"gateway-{gateway.name}")
        p.start_gateway(gateway, "--frames-over-broker")
    camera = p.add_machine("cam-mqtt")
    p.join(camera, p.invite(camera))
    p.stop("broker")
    p.restart_broker()
    p.start_agent(
        camera,
        "--source",
        f"exec:{SIM} camera --design 1 --first 70000 --rate 4",
        "--broker",
        f"127.0.0.1:{p.broker_port}",
        "--broker-name",
        "broker.plant.framegate",
    )
    wait_for(
        "verdicts on frames that came over the broker",
        lambda: (
            sum(v for k, v in camera.status().get("outcomes", {}).items() if k != "UNINSPECTED") > 5
        ),
        60,
    )
    pid = p.process("broker").pid
    p.stop_agent(camera)
    memory = _memory(pid)
    disk = b"".join(f.read_bytes() for f in store.rglob("*") if f.is_file())
    from framegate_simulators.boards.boards import draw_board

    jpeg = cv2.imencode(
        ".jpg",
        draw_board(70001, design=1, clean_capture=True).frame,
        [cv2.IMWRITE_JPEG_QUALITY, 90],
    )[1].tobytes()
    assert b"framegate/v1/frames" in memory, "its memory was really read"
    for place in (memory, disk):
        assert jpeg[:24] not in place and jpeg[2000:2032] not in place
    assert jpeg[:2] == b"\xff\xd8"


def _memory(pid: int) -> bytes:
    regions = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for row in maps:
            span, rights = row.split()[:2]
            if "rw" not in rights:
                continue
            first, last = (int(x, 16) for x in span.split("-"))
            try:
                memory.seek(first)
                regions.append(memory.read(min(last - first, 1 << 26)))
            except OSError:
                continue
    return b"".join(regions)


@pytest.mark.plants
def test_commands_say_what_to_do(line, tmp_path):
    p = line.plant
    none = p.command(
        "framegate-line", "status", "--line", LINE, "--ledger", tmp_path / "none.db", check=False
    )
    assert none.returncode == 7 and "framegate-line run" in none.stderr
    missing = p.command("framegate-line", "run", "--line", LINE, check=False)
    assert missing.returncode == 2 and "--camera" in missing.stderr
    config = tmp_path / "line.toml"
    config.write_text('line = "press-7"\nspeed = 3\n')
    unknown = p.command("framegate-line", "run", "--config", config, check=False)
    assert unknown.returncode == 2 and "speed" in unknown.stderr
    second = p.command(
        "framegate-line",
        "run",
        "--line",
        LINE,
        "--camera",
        line.cameras[0],
        "--credentials",
        p.line_keys(LINE),
        "--broker",
        "127.0.0.1:1",
        "--broker-name",
        "x",
        "--ledger",
        p.ledger(LINE),
        check=False,
    )
    assert second.returncode == 7 and "another adapter runs" in second.stderr
    asked = ("framegate-line", "status", "--line", LINE, "--ledger", p.ledger(LINE))
    status = json.loads(p.command(*asked, "-o", "json").stdout)
    answers = status["answers"]
    assert status["running"] and any(name.startswith("broker ") for name in answers)
    assert all(peer["answers"] for peer in answers.values()), answers
    assert "answers, for" in p.command(*asked).stdout
    assert (
        "PASS"
        in p.command(
            "framegate-line", "parts", "--line", LINE, "--ledger", p.ledger(LINE), "--limit", "200"
        ).stdout
    )
    bad = p.framegate("receipt", "show", "nothing", check=False)
    assert bad.returncode == 3 and "verdict list" in bad.stderr


@pytest.mark.plants
def test_n119_a_frame_leaves_by_two_people_once_and_says_whose_word_it_was(line, tmp_path):
    """Last of this module: from here on decisions of this plant take two."""
    p = line.plant
    sara = p.add_person("sara", "security")
    for gateway in line.gateways:
        p.stop(f"gateway-{gateway.name}")
        line.start_gateway(gateway)
    line.healed()
    line.conveyor.run(3)
    verdict = next(
        v for v in p.ask("verdict", "list", "--limit", "10") if v["outcome"] != "UNINSPECTED"
    )["verdict_id"]
    argv = (
        "frame",
        "export",
        verdict,
        "--reason",
        "claim 18",
        "--to",
        "quality",
        "--out",
        tmp_path / "two.png",
    )
    alone = p.framegate(*argv, check=False)
    assert "approval-needed" in alone.stderr and not (tmp_path / "two.png").exists()
    tokens = alone.stderr.replace(";", " ").split()
    request = tokens[tokens.index("approve") + 1]
    assert p.framegate("access", "approve", request, check=False).returncode == 4  # not one's own
    p.framegate("access", "approve", request, "--reason", "claim checked", who=sara)
    other = p.framegate(
        "frame",
        "export",
        verdict,
        "--reason",
        "another reason",
        "--to",
        "quality",
        "--out",
        tmp_path / "other.png",
        check=False,
    )
    assert "approval-needed" in other.stderr
    p.framegate(*argv)
    assert cv2.imread(str(tmp_path / "two.png")) is not None
    again = p.framegate(
        "frame",
        "export",
        verdict,
        "--reason",
        "claim 18",
        "--to",
        "quality",
        "--out",
        tmp_path / "again.png",
        check=False,
    )
    assert "approval-needed" in again.stderr
    taken = [e for e in p.ask("audit", "list", "-n", "50") if e.get("event") == "approval-taken"]
    assert len(taken) == 1 and "approved by sara" in taken[0]["detail"]
