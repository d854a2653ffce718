"""`framegate segment explain --drop`: what was missing, why, then and now, and what mends it."""

import json

import pytest

from framegate.segment.flow import FlowKey
from framegate.segment.refusal import FEED_LOST, Told, Verdict, Why
from framegate_operator.segments import _explain_drop
from framegate_proto.v1 import framegate_pb2 as pb
from support.segments import CAM1, planned_segment

ENFORCER = "enforcer.line-1.sw1"
SEGMENTS = {"line-1": planned_segment()}


class Controller:
    """The record and one device, as the controller tells of them."""

    def __init__(self, told, said="", state="quarantined", device=CAM1, port="tcp/7443"):
        key = FlowKey(told, "cameras", "gateways", port)
        members = {
            "reporter": ENFORCER,
            "reason": key.text,
            "count": 3,
            "first_ms": 1,
            "last_ms": 2,
        }
        members["said"] = said
        entry = {"index": 7, "at_ms": 1, "kind": "event", "event": key.kind.value}
        entry |= {"device": device, "members": members}
        self._row = pb.LogRow(index=7, entry=json.dumps(entry).encode())
        self._state = state

    def ReadLog(self, request, stream):
        assert stream
        return [self._row]

    def Show(self, request):
        summary = pb.DeviceSummary(state=self._state, since_ms=1_000, result_remaining_ms=5)
        failed = pb.Failure(reason="pcr-digest", expected="PCR 7 as signed", actual="another")
        return pb.DeviceDetail(
            summary=summary, failures=[failed] if self._state != "trusted" else []
        )


def explained(controller, capsys):
    assert not _explain_drop(controller, SEGMENTS, 7, "json")
    return json.loads(capsys.readouterr().out)


def test_a_quarantined_device_is_named_with_since_when_and_by_which_check(capsys):
    told = explained(Controller(Told(Verdict.DROP, "frames", Why.TRUST_FROM)), capsys)
    assert told["conduit"] == "frames" and told["device"] == CAM1
    assert "quarantined since 1970-01-01 00:00Z" in told["because"]
    assert "PCR 7 as signed" in told["because"] and told["next"] == "framegate camera why cam1"
    assert told["enforcer"] == ENFORCER and told["at"].startswith("1970-01-01")


def test_a_life_that_ended_for_a_lost_feed_names_the_way_to_the_controller(capsys):
    said = f"10.10.1.11 to 10.10.2.10: {CAM1}: its life in the set ended, for {FEED_LOST}"
    lost = Controller(Told(Verdict.DROP, "frames", Why.TRUST_FROM), said, state="trusted")
    told = explained(lost, capsys)
    assert "trusted now" in told["because"] and FEED_LOST in told["then"]
    assert f"from {ENFORCER} to the controller" in told["next"]


@pytest.mark.parametrize(
    ("told", "because", "step"),
    [
        (Told(Verdict.DROP, "-", Why.NO_CONDUIT), "no conduit", "segment diff"),
        (Told(Verdict.DROP, "p-intr", Why.MAC), "as somebody else: mac", "behind port p-intr"),
        (Told(Verdict.DROP, "p-cam1", Why.UNADMITTED), "802.1X", "segment diff"),
        (Told(Verdict.WOULD_DROP, "-", Why.NO_CONDUIT), "no conduit", "segment diff"),
    ],
    ids=["no-conduit", "spoofed", "unadmitted", "staged"],
)
def test_every_refusal_has_a_reason_in_words_and_a_step(told, because, step, capsys):
    said = explained(Controller(told), capsys)
    assert because in said["because"] and step in said["next"]
