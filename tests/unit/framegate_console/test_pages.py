"""What pages work out of what they are told."""

import pytest

from framegate.errors import Malformed
from framegate_console.charts import HEIGHT, WIDTH, curve
from framegate_console.event_stream import event
from framegate_console.pages.line import Totals, cards, counted, things, verdict_at_a_glance
from framegate_console.pages.signin import _back
from framegate_console.rendering import short, when
from framegate_console.told_alike import Look
from framegate_console.visit import _fields
from framegate_operator.traffic import GatewayFacts, traffic_of
from framegate_proto.v1 import framegate_pb2 as pb

CAM, GW = "camera.line-1.cam1", "gateway.line-1.gw1"


def look(state: str = "trusted", gate: bool = True, answers: bool = True, **camera) -> Look:
    devices = [
        pb.DeviceSummary(
            device=CAM, kind="camera", zone="line-1", name="cam1", state=state, **camera
        ),
        pb.DeviceSummary(device=GW, kind="gateway", zone="line-1", name="gw1", state="trusted"),
    ]
    sent = pb.CameraTraffic(
        device=CAM,
        streams=1,
        begun_ms=900,
        last_frame_ms=999,
        frames_per_s=2.5,
        outcomes={"PASS": 7, "DEFECT": 1},
    )
    status = pb.GatewayStatus(gate_open=gate, cameras=[sent], now_ms=1000, broker="connected")
    facts = GatewayFacts(GW, "127.0.0.1:1", status if answers else None, "" if answers else "away")
    return Look(devices, traffic_of((facts,)))


def glance(seen: Look, waiting: int = 0) -> str:
    return verdict_at_a_glance(seen, list(things(seen, waiting, ())))


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        ("good", look()),
        ("bad", look("suspect")),
        ("bad", look("quarantined")),
        ("bad", look("stale")),
        ("look", look("pending")),
        ("look", look(maintenance_until_ms=5)),
        ("bad", look(gate=False)),
        ("bad", look(answers=False)),
    ],
)
def test_a_line_is_protected_or_says_why_not(expected, seen):
    assert glance(seen) == expected


def test_what_waits_wants_a_look_and_no_more():
    assert glance(look(), waiting=2) == "look"


def test_nobody_answering_is_unknown_not_zero():
    assert Totals.of(look(answers=False)).rate is None
    assert Totals.of(look()).rate == 2.5
    assert Totals.of(look()).outcomes == {"PASS": "7", "DEFECT": "1", "UNINSPECTED": "0"}
    assert set(Totals.of(look(answers=False)).outcomes.values()) == {"?"}
    unknown = cards(look(answers=False))[0]
    assert not unknown.known and {n for _, n in unknown.outcomes} == {"?"}
    assert counted(3, known=False) == "≥ 3", "who answered counted these, others may have more"


def test_those_that_need_somebody_come_first():
    seen = look()
    for name, state in (("a", "trusted"), ("b", "suspect"), ("c", "stale")):
        seen.devices.append(
            pb.DeviceSummary(device=f"camera.line-1.{name}", kind="camera", name=name, state=state)
        )
    assert [c.device.name for c in cards(seen)][:2] == ["b", "c"]


def test_a_curve_is_interrupted_where_nobody_knew():
    drawn = curve([1.0, 2.0, None, 2.0])
    assert drawn.most == 2.0 and drawn.path.count("M") == 2
    assert drawn.path.endswith(f"{WIDTH:.1f} 2.0") and drawn.path.startswith(
        f"M0.0 {HEIGHT / 2:.1f}"
    )
    assert curve([]).path == "" and curve([0.0, 0.0]).path.count("L") == 1


@pytest.mark.parametrize(
    "text", ["a\nevent: gone", "a\r\ndata: x", "a\rretry: 0", "\n\nevent: gone\n\n"]
)
def test_n170_no_text_ends_an_event_or_begins_another(text):
    lines = event("", text).plain.decode().split("\n")
    assert lines[-2:] == ["", ""]
    assert all(line.startswith("data: ") for line in lines[:-2])


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/",
        "https://evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "",
        "evil",
        "/signin",
        "///evil.example",
        "/%0d%0aSet-Cookie:x",
    ],
)
def test_n171_signing_in_leads_to_no_other_site(path):
    back = _back(path)
    assert back == "/" or (back.startswith("/%0d") and "\r" not in back)


def test_signing_in_leads_back_to_the_page_that_was_asked_for():
    assert _back("/camera/camera.line-1.cam1?x=1#y") == "/camera/camera.line-1.cam1"


@pytest.mark.parametrize(
    "body",
    [
        b"a=1&a=2",
        b"a",
        b"\xff=1",
        b"&".join(b"k%d=1" % n for n in range(100)),
        b"a=" + b"x" * 300_000,
    ],
)
def test_a_form_is_read_strictly(body):
    with pytest.raises(Malformed):
        _fields(body)


def test_a_form_has_each_field_once():
    assert _fields(b"a=1&b=&c=%C3%BC+x") == {"a": "1", "b": "", "c": "ü x"}
    assert _fields(b"") == {}


def test_a_moment_is_told_in_utc_for_the_browser_to_move():
    assert 'datetime="1970-01-01T00:00:01.000+00:00"' in when(1000)
    assert "1970-01-01 00:00:01 UTC" in when(1000) and when(0) == "–"
    assert short("abcdefghijklmnop") == "abcdefghijkl"
