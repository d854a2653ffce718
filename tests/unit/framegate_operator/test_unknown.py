"""That there is nothing, or nothing to do, is said only where it is known: a source that is down,
or a result that is over, leaves it unknown.
"""

import contextlib
import json
from types import SimpleNamespace

import pytest

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate_operator import (
    connection,
    machine_details,
    part_types,
    verdict_names,
    verdict_reviews,
    verdicts,
)
from framegate_operator.part_types import ask_types
from framegate_operator.status import Screen
from framegate_operator.traffic import GatewayFacts, frames_json, gateway_silence, traffic_of
from framegate_proto.v1 import framegate_pb2 as pb
from support.refusals import refused

CAM, GW = "camera.line-1.cam1", "gateway.line-1.gw1"
NONE = Refused.of(Reason.NOT_FOUND, "it", "none")
EMPTY = pb.Verdicts()
DOWN = Unavailable.of(Reason.UNAVAILABLE, "an answer", "the connection was refused")


class Stub:
    """A gateway that answers with nothing, or raises."""

    def __init__(self, said) -> None:
        self.said = said

    def __getattr__(self, name):
        def call(_request, **_how):
            if isinstance(self.said, FramegateError):
                raise self.said
            return self.said

        return call


@pytest.fixture
def plant(monkeypatch):
    """Gateways that say what they are told to, in order; an error is raised."""

    def stand(*said):
        endpoints = [(f"gateway.line-1.gw{n}", f"h:{n}") for n in range(len(said))]
        stubs = dict(zip([d for d, _ in endpoints], said, strict=True))

        @contextlib.contextmanager
        def stub(_operator, device, _address, *_timeout):
            yield Stub(stubs[device])

        for module in (connection, verdict_names, part_types, verdicts, verdict_reviews):
            monkeypatch.setattr(module, "gateways", lambda _operator: endpoints)
            monkeypatch.setattr(module, "gateway_stub", stub)

    return stand


def asked() -> Reason:
    return refused(lambda: connection.first_answer(None, lambda stub: stub.Picture(None), NONE))


@pytest.mark.parametrize("said", [(DOWN, NONE), (NONE, DOWN), (DOWN, NONE, NONE), (DOWN,), ()])
def test_what_one_gateway_lacks_another_that_is_silent_may_have(plant, said):
    plant(*said)
    assert asked() == Reason.UNAVAILABLE


@pytest.mark.parametrize("said", [(NONE,), (NONE, NONE)])
def test_what_every_gateway_lacks_is_not_there(plant, said):
    plant(*said)
    assert asked() == Reason.NOT_FOUND


def test_another_refusal_is_told_and_an_answer_counts_however_many_are_silent(plant):
    denied = Refused.of(Reason.POLICY_DENIED, "it", "denied")
    plant(DOWN, denied)
    assert asked() == Reason.POLICY_DENIED
    plant(DOWN, NONE, pb.PictureReply(png=b"x"))
    device, reply = connection.first_answer(None, lambda stub: stub.Picture(None), NONE)
    assert (device, reply.png) == ("gateway.line-1.gw2", b"x")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ((), Reason.UNAVAILABLE),
        ((DOWN,), Reason.UNAVAILABLE),
        ((EMPTY, DOWN), Reason.UNAVAILABLE),
        ((EMPTY,), Reason.NOT_FOUND),
    ],
)
def test_no_defect_yet_is_said_only_where_every_gateway_says_so(plant, said, reason, capsys):
    plant(*said)
    assert refused(lambda: verdict_names.verdict_named(None, "latest")) == reason
    assert ("does not answer" in capsys.readouterr().err) == (DOWN in said)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ((), Reason.UNAVAILABLE),
        ((DOWN,), Reason.UNAVAILABLE),
        ((EMPTY, DOWN), Reason.UNAVAILABLE),
        ((EMPTY, EMPTY), Reason.NOT_FOUND),
    ],
    ids=["none", "down", "half", "all"],
)
def test_a_verdict_to_review_is_missing_only_where_every_gateway_says_so(plant, said, reason):
    plant(*said)
    assert refused(lambda: verdict_reviews._envelope(None, "00aa")) == reason


def test_a_verdict_is_reviewed_although_another_gateway_is_silent(plant, monkeypatch):
    said = pb.Verdicts(verdicts=[b"signed"])
    verdict = SimpleNamespace(verdict_id="00aabb", gateway="gateway.line-1.gw1")
    monkeypatch.setattr(verdict_names, "verified_verdict", lambda _, envelope: verdict)
    plant(DOWN, said)
    assert verdict_reviews._envelope(None, "00aa") == b"signed"


@pytest.mark.parametrize(
    ("said", "whole"),
    [
        ((), False),
        ((DOWN,), False),
        ((pb.Verdicts(), DOWN), False),
        ((pb.Verdicts(),), True),
    ],
)
def test_part_types_are_whole_only_where_every_gateway_was_asked(plant, said, whole):
    plant(*said)
    assert ask_types(None).whole is whole


def test_verdicts_are_watched_at_the_first_gateway_that_answers(plant):
    plant(DOWN, pb.GatewayStatus())
    assert verdicts._first_up(None)[0] == "gateway.line-1.gw1"
    for none in ((), (DOWN, DOWN)):
        plant(*none)
        assert refused(lambda: verdicts._first_up(None)) == Reason.UNAVAILABLE


def facts(*, up=True, gate=True):
    status = pb.GatewayStatus(gateway=GW, gate_open=gate) if up else None
    return GatewayFacts(GW, "h:1", status, "" if up else "unavailable: refused")


def machine(device=CAM, *, left_ms=20_000, state="trusted"):
    kind, zone, name = device.split(".")
    return pb.DeviceSummary(
        device=device, kind=kind, zone=zone, name=name, state=state, result_remaining_ms=left_ms
    )


def next_of(device, *gateways, left_ms=20_000):
    summary = machine(device, left_ms=left_ms)
    silence = machine_details._silence(summary, traffic_of(gateways))
    return machine_details._next(summary, False, silence)


def test_nothing_to_do_at_a_gateway_that_answers_with_its_gate_open():
    assert next_of(GW, facts()) == "nothing to do"
    assert gateway_silence(traffic_of((facts(),)), GW) == ""


@pytest.mark.parametrize("reason", ["part-unknown", "frame-frozen", "timeout"])
def test_a_trusted_camera_whose_frames_are_not_inspected_is_something_to_do(capsys, reason):
    sent = pb.CameraTraffic(
        device=CAM, streams=1, frames_per_s=2.0, last_frame_ms=1, begun_ms=1, reason=reason
    )
    sent.outcomes["UNINSPECTED"] = 3
    answer = pb.GatewayStatus(gateway=GW, cameras=[sent], gate_open=True, now_ms=2)
    who = {"device": CAM, "kind": "camera", "zone": "line-1", "name": "cam1"}
    summary = pb.DeviceSummary(**who, state="trusted", result_remaining_ms=9_000)
    traffic = traffic_of((GatewayFacts(GW, "h:1", answer),))
    machine_details._tell_why(pb.DeviceDetail(summary=summary), traffic)
    said = capsys.readouterr().out
    assert "nothing to do" not in said and "Next: " in said and "framegate " in said


@pytest.mark.parametrize("gateways", [(), (facts(up=False),), (facts(gate=False),)])
def test_something_to_do_at_a_gateways_host_whose_process_does_not_serve(gateways):
    assert "framegate gateway status" in next_of(GW, *gateways)


@pytest.mark.parametrize("device", [CAM, GW])
def test_something_to_do_where_a_trusted_machines_result_is_over(device):
    told = next_of(device, facts(), left_ms=0)
    assert told != "nothing to do" and "framegate" in told


@pytest.mark.parametrize("gateways", [(), (facts(up=False),)])
def test_something_to_do_at_a_camera_of_which_no_gateway_tells(gateways):
    assert next_of(CAM, *gateways) != "nothing to do"


@pytest.mark.parametrize("device", [CAM, GW])
def test_not_all_is_well_where_a_result_is_over(device):
    left = {CAM: 20_000, GW: 20_000, device: 0}
    camera = pb.CameraTraffic(device=CAM, streams=1, frames_per_s=2.0, last_frame_ms=1, begun_ms=1)
    status = pb.GatewayStatus(gateway=GW, gate_open=True, cameras=[camera], now_ms=2)
    traffic = traffic_of((GatewayFacts(GW, "h:1", status),))
    machines = [machine(d, left_ms=ms) for d, ms in left.items()]
    screen = Screen(pb.FleetStatusReply(fleet="plant"), machines, traffic, ())
    assert "its result is over" in screen.next
    fresh = [machine(CAM), machine(GW)]
    assert "all is well" in Screen(screen.fleet, fresh, traffic, ()).next


def test_a_camera_that_two_gateways_saw_is_told_as_data_too():
    def seen(passed, now_ms=60_000):
        row = pb.CameraTraffic(
            device=CAM, streams=1, last_frame_ms=59_000, outcomes={"PASS": passed}
        )
        return pb.GatewayStatus(gate_open=True, now_ms=now_ms, cameras=[row])

    gateways = (GatewayFacts(GW, "a:1", seen(3)), GatewayFacts(GW + "b", "b:1", seen(4)))
    told = json.loads(json.dumps(frames_json(traffic_of(gateways), CAM)))
    assert told["outcomes"] == {"PASS": 7} and told["streams"] == 2


def test_a_gateway_that_hears_no_feed_answers_nobody_and_others_are_listed():
    """It cannot know who asks: that is no verdict on whoever did."""
    shut = Refused.of(Reason.TRUST_FEED, "a trust feed", "silence, for its disk has no room")
    with pytest.raises(Unavailable) as caught:
        connection._AtGateway(None).mended(shut)
    assert "no room" in str(caught.value)
    denied = Refused.of(Reason.POLICY_DENIED, "leave", "none")
    assert not connection._AtGateway(None).mended(denied)


def test_what_to_do_about_a_gate_that_its_host_keeps_shut():
    problem = f"{Reason.TRUST_FEED}: silence, for its disk has no room"
    shut = GatewayFacts(GW, "h:1", None, problem)
    assert "answers nobody" in gateway_silence(traffic_of((shut,)), GW)
    assert "does framegate-gateway run" not in next_of(GW, shut)
    assert "its disk" in next_of(GW, shut)
    gone = GatewayFacts(GW, "h:1", None, "unavailable: nothing listens")
    assert "does framegate-gateway run" in next_of(GW, gone)


@pytest.mark.parametrize(
    ("event", "before", "late"),
    [
        ("late", "trusted", True),
        ("release", "quarantined", False),
        ("release", "suspect", False),
        ("reconsidered", "suspect", False),
        ("approved", "pending", False),
        ("", "", True),
    ],
)
def test_a_machine_that_was_let_go_has_missed_nothing(event, before, late, capsys):
    summary = pb.DeviceSummary(device=GW, kind="gateway", name="gw1", state="stale")
    moved = pb.EventRow(event=event, from_state=before, to_state="stale", actor="anna")
    detail = pb.DeviceDetail(summary=summary, events=[moved] if event else [])
    machine_details._tell_why(detail, traffic_of([]))
    told = " ".join(capsys.readouterr().out.split())
    assert ("no fresh evidence in time" in told) is late
    assert ("yet to prove itself anew" in told) is not late
    assert ("Next: wait for that" in told) is not late
    assert "framegate gateway attest-now gw1" in told, "what to do where it does not come"
