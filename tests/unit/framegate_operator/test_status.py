"""One screen: what the gateways said, what nobody knows, and the one thing to do next."""

import json

import pytest
from rich.console import Console

from framegate_operator import status as module
from framegate_operator import tables
from framegate_operator.status import Screen
from framegate_operator.traffic import (
    LINE_SILENT_S,
    QUIET_S,
    GatewayFacts,
    Traffic,
    frames_cells,
    frames_json,
    traffic_of,
)
from framegate_proto.v1 import framegate_pb2 as pb

NOW = 1_800_000_000_000
CAM, GW = "camera.line-1.cam1", "gateway.line-1.gw1"


def camera(streams=1, last_s=0.4, ended_s=None, begun_s=100.0, device=CAM, **members):
    def at(age_s):
        return 0 if age_s is None else NOW - int(age_s * 1000)

    ages = {"last_frame_ms": at(last_s), "ended_ms": at(ended_s), "begun_ms": at(begun_s)}
    return pb.CameraTraffic(device=device, streams=streams, frames_per_s=2.0, **ages | members)


def gateway(*cameras, device=GW, lines=(), broker="", gate_open=True):
    answer = pb.GatewayStatus(
        gateway=device, cameras=cameras, lines=lines, broker=broker, gate_open=gate_open, now_ms=NOW
    )
    return GatewayFacts(device, "127.0.0.1:1", answer)


def down(device=GW):
    return GatewayFacts(device, "127.0.0.1:1", None, "unavailable: no answer")


def line(age_s=0.5, taking=("mqtt",), refusing=()):
    return pb.LineRow(
        line="press-7", taking=taking, refusing=refusing, heard_ms=NOW - int(age_s * 1000)
    )


def machine(device=CAM, state="trusted", **members):
    kind, zone, name = device.split(".")
    given = {"result_remaining_ms": 20_000, **members}
    return pb.DeviceSummary(device=device, kind=kind, zone=zone, name=name, state=state, **given)


def screen(*facts, devices=None, waiting=()):
    machines = [machine(), machine(GW)] if devices is None else devices
    return Screen(pb.FleetStatusReply(fleet="plant"), machines, traffic_of(facts), waiting)


def silence(*facts, device=CAM):
    return traffic_of(facts).silence(device)


def test_a_camera_whose_frames_come():
    traffic = traffic_of((gateway(camera()),))
    assert (traffic.silence(CAM), frames_cells(traffic, CAM)) == ("", ("2.0", "0 s ago"))


def test_the_source_ended():
    gone = camera(streams=0, last_s=125, ended_s=124, in_peace=True)
    assert silence(gateway(gone)) == "no frame for 2 min: the source ended"


def test_the_stream_broke_off():
    gone = camera(streams=0, last_s=40, ended_s=35)
    assert silence(gateway(gone)) == "no frame for 40 s: its stream broke off 35 s ago"


def test_a_stream_that_stands_and_gives_nothing():
    quiet = camera(last_s=QUIET_S + 31)
    assert silence(gateway(quiet)) == (
        "no frame for 1 min: its stream stands, and its source gives none"
    )


def test_a_stream_that_has_just_begun_is_not_silent_yet():
    assert silence(gateway(camera(last_s=None, begun_s=1.0))) == ""


def test_a_frame_of_this_very_moment_is_a_frame():
    assert silence(gateway(camera(last_s=0.0))) == ""


def test_unknown_is_not_zero():
    traffic = traffic_of((down(),))
    assert frames_cells(traffic, CAM) == ("?", "?")
    assert frames_json(traffic, CAM)["known"] is False
    assert traffic.silence(CAM) == "unknown: not every gateway of its zone answers"


def test_without_a_gateway_in_its_zone_nothing_is_known():
    assert silence(gateway(device="gateway.line-2.gw9")).startswith("unknown: no gateway")


def test_a_camera_that_left_a_gateway_may_be_at_the_one_that_does_not_answer():
    gone = camera(streams=0, last_s=40, ended_s=35)
    assert silence(gateway(gone), down("gateway.line-1.gw2")).startswith("unknown")
    assert silence(gateway(camera()), down("gateway.line-1.gw2")) == "", "it is here"
    assert silence(gateway(gone), down("gateway.line-2.gw2")).startswith("no frame"), "other zone"


def test_a_camera_that_was_never_seen():
    traffic = traffic_of((gateway(),))
    assert frames_cells(traffic, CAM) == ("0", "never")
    assert "--source" in traffic.silence(CAM) and frames_json(traffic, CAM)["known"] is True


def test_two_gateways_that_saw_one_camera():
    gone = camera(streams=0, last_s=40, ended_s=35, outcomes={"PASS": 2, "DEFECT": 1})
    here = camera(last_s=0.2, outcomes={"PASS": 3})
    for order in ((gone, here), (here, gone)):
        traffic = traffic_of((gateway(order[0]), gateway(order[1], device="gateway.line-1.gw2")))
        facts = traffic.of(CAM)
        assert facts is not None and facts.silence == "" and facts.streams == 1
        assert dict(facts.outcomes) == {"PASS": 5, "DEFECT": 1} and facts.last_frame_s == 0.2


def test_all_is_well():
    assert screen(gateway(camera())).next == "all is well: framegate verdict watch"


@pytest.mark.parametrize(
    ("told", "word"),
    [
        (screen(devices=[]), "framegate gateway invite"),
        (screen(down()), "gw1 does not answer at 127.0.0.1:1"),
        (screen(gateway(camera(), gate_open=False)), "is shut"),
        (screen(gateway(), devices=[machine(GW)]), "framegate camera invite"),
        (
            screen(gateway(), devices=[machine(state="suspect"), machine(GW)]),
            "framegate camera why cam1",
        ),
        (
            screen(gateway(), devices=[machine(state="pending"), machine(GW)]),
            "framegate camera approve cam1",
        ),
        (
            screen(gateway(), devices=[machine(state="quarantined"), machine(GW)]),
            "framegate camera release cam1",
        ),
        (screen(gateway(camera(), broker="away")), "does not reach its broker"),
        (screen(gateway(camera(), lines=[line(LINE_SILENT_S + 1)])), "press-7 is silent"),
        (
            screen(gateway(camera(), lines=[line(refusing=("modbus:plc:502",))])),
            "at modbus:plc:502: parts divert",
        ),
        (screen(gateway(camera(streams=0, in_peace=True))), "the source ended"),
        (
            screen(gateway(camera(outcomes={"UNINSPECTED": 1}, reason="part-unknown"))),
            "(part-unknown): framegate part list",
        ),
        (
            screen(gateway(camera(outcomes={"UNINSPECTED": 1}, reason="frame-frozen"))),
            "its picture stands still",
        ),
        (
            screen(gateway(camera(outcomes={"UNINSPECTED": 1}, reason="timeout"))),
            "(timeout): framegate verdict list --camera cam1",
        ),
        (
            screen(gateway(camera()), waiting=[pb.AccessRow(requester="ben", state="pending")]),
            "ben waits for somebody: framegate access list",
        ),
    ],
)
def test_the_one_thing_to_do(told: Screen, word: str):
    assert word in told.next


def test_what_stands_in_the_way_of_the_most_comes_first():
    gone = camera(streams=0, ended_s=1, in_peace=True)
    told = screen(
        gateway(gone, broker="away"),
        down("gateway.line-1.gw2"),
        devices=[machine(state="quarantined"), machine(GW), machine("gateway.line-1.gw2")],
    )
    assert told.next.startswith("gw2 does not answer")


def test_a_camera_that_is_being_worked_on_is_nothing_to_do():
    devices = [machine(maintenance_until_ms=NOW, state="quarantined"), machine(GW)]
    assert "cam1" not in screen(gateway(), devices=devices).next


def test_the_screen_shows_what_is_known_and_a_question_mark_for_the_rest(capsys):
    module._show(screen(gateway(camera(), lines=[line()], broker="connected")))
    shown = capsys.readouterr().out
    assert "cam1" in shown and "2.0" in shown and "connected" in shown and "press-7" in shown
    module._show(screen(down()))
    shown = capsys.readouterr().out
    assert "down" in shown and "?" in shown and "does not answer" in shown


@pytest.mark.parametrize("width", [60, 80, 120])
def test_what_is_said_of_a_camera_leaves_the_table_a_table(width, monkeypatch, capsys):
    for each in (tables, module):
        monkeypatch.setattr(each, "data", Console(width=width, highlight=False))
    bad = camera(outcomes={"UNINSPECTED": 46, "PASS": 74, "DEFECT": 68}, reason="part-unknown")
    module._show(screen(gateway(bad)))
    shown = capsys.readouterr().out.splitlines()
    (titles,) = [line for line in shown if line.startswith("camera")]
    assert "last frame" in titles and titles.endswith("UNINSPECTED")
    (row,) = [line for line in shown if line.startswith("cam1 ")]
    assert row.split()[-3:] == ["74", "68", "46"]
    assert "cam1: UNINSPECTED: part-unknown" in shown


def test_a_hostile_part_of_an_answer_does_not_steer_the_terminal(capsys):
    evil = camera(outcomes={"UNINSPECTED": 1}, reason="\x1b[2J[red]x")
    module._show(screen(gateway(evil)))
    assert "\x1b[2J" not in capsys.readouterr().out


def test_the_same_as_data():
    body = json.loads(json.dumps(module._json(screen(gateway(camera(), lines=[line()]), down()))))
    assert [g["up"] for g in body["gateways"]] == [True, False]
    assert body["cameras"][0]["frames"]["frames_per_s"] == 2.0 and body["next"]
    assert body["lines"][0]["silent"] is False


def test_nobody_asked_nothing_known():
    empty = Traffic((), {}, (), frozenset())
    assert empty.silence(CAM).startswith("unknown")


def test_a_zone_and_a_line_that_divert_nothing_stand_before_anything_else(capsys):
    from framegate.pilot.policy import Pilot, Stage
    from framegate_operator.status import Screen, _json, _show_stages
    from framegate_operator.traffic import LineFacts, Traffic

    pilots = {
        zone: Pilot(zone=zone, stage=stage, until_ms=until, life_s=600)
        for zone, stage, until in (
            ("line-1", Stage.OBSERVE, 2_000),
            ("line-2", Stage.WARN, 500),
        )
    }
    lines = (
        LineFacts("press-7", "gateway.line-1.gw1", ("mqtt",), (), 1.0, "warn"),
        LineFacts("press-8", "gateway.line-1.gw1", ("mqtt",), (), 99.0, "observe"),
        LineFacts("press-9", "gateway.line-1.gw1", ("mqtt",), (), 1.0),
    )
    traffic = Traffic((), {}, lines, frozenset())
    screen = Screen(pb.FleetStatusReply(), (), traffic, (), pilots, 1_000)
    _show_stages(screen)
    shown = " ".join(capsys.readouterr().out.split())
    assert "ZONE line-1 DIVERTS NOTHING" in shown and "line-2" not in shown
    assert "LINE press-7 DIVERTS NOTHING" in shown and "press-9" not in shown
    assert _json(screen)["pilots"] == {"line-1": "observe"}
    unknown = Screen(pb.FleetStatusReply(), (), traffic, ())
    _show_stages(unknown)
    assert "not known" in capsys.readouterr().out and _json(unknown)["pilots"] is None
