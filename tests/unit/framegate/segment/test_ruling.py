import pytest

from framegate.errors import FramegateError, Reason
from framegate.segment.cases import example_cases, port_of, run_segment_case
from framegate.segment.refusal import Told, Verdict, Why
from framegate.segment.ruling import Connection, DeviceStanding, endpoint, rule
from support.refusals import refused
from support.segments import CAM1, GW1, ZONE, planned_segment

ALL = {CAM1: DeviceStanding(state="trusted"), GW1: DeviceStanding(state="trusted")}


def said(source, destination, port, standings=ALL, **plan):
    segment = planned_segment(**plan)
    transport, number = port_of(port)
    return rule(
        segment,
        standings,
        Connection(
            source=endpoint(segment, source),
            destination=endpoint(segment, destination),
            transport=transport,
            port=number,
        ),
    )


def test_a_trusted_camera_reaches_its_gateway_and_by_which_conduit():
    ruling = said(CAM1, GW1, "tcp/7443")
    assert ruling.allowed and ruling.conduit.name == "frames"


@pytest.mark.parametrize("state", ["quarantined", "suspect", "stale", "pending", "retired"])
def test_whoever_is_not_trusted_does_not_and_is_told_why(state):
    standing = DeviceStanding(state=state, why="quarantined 14:02 by PCR 7")
    ruling = said(CAM1, GW1, "tcp/7443", {**ALL, CAM1: standing})
    assert ruling.told == Told(Verdict.DROP, "frames", Why.TRUST_FROM)
    assert ruling.whose == CAM1 and ruling.missing == "m_cameras4"
    assert ruling.because == "quarantined 14:02 by PCR 7"


def test_the_far_end_has_to_be_trusted_too():
    ruling = said(CAM1, GW1, "tcp/7443", {CAM1: ALL[CAM1]})
    assert ruling.told.why is Why.TRUST_TO and ruling.whose == GW1
    assert ruling.missing == "t_gateways4"


def test_join_is_for_everybody_always():
    for source in (CAM1, "cameras"):
        assert said(source, "controller", "tcp/8443", {}).allowed


@pytest.mark.parametrize(
    ("source", "destination", "port"),
    [
        (CAM1, "press-plc", "tcp/502"),
        (CAM1, GW1, "tcp/22"),
        (CAM1, GW1, "udp/8443"),
        (GW1, CAM1, "tcp/7443"),
        ("controller", "press-plc", "tcp/8443"),
        (CAM1, "control", "tcp/8443"),
        ("camera.line-1.cam2", CAM1, "tcp/7443"),
    ],
)
def test_whatever_no_conduit_carries_is_refused(source, destination, port):
    assert said(source, destination, port).told.verdict is Verdict.DROP


def test_a_zone_without_a_device_has_nobody_who_is_trusted():
    assert said("cameras", GW1, "tcp/7443").told.why is Why.TRUST_FROM


def test_stage_and_observe_have_verdicts_of_their_own():
    relaxed = {"cameras": "observe", "gateways": "observe", "control": "observe"}
    staged = said(CAM1, "press-plc", "tcp/502", modes={**relaxed, "plc": "stage"})
    assert staged.told.verdict is Verdict.WOULD_DROP and not staged.allowed
    observed = said(CAM1, "controller", "tcp/22", modes={**relaxed, "plc": "stage"})
    assert observed.told.verdict is Verdict.OBSERVED and not observed.allowed


def test_the_stricter_of_two_zones_counts():
    assert said(CAM1, "press-plc", "tcp/502", modes={"plc": "observe"}).told.verdict is Verdict.DROP


def test_endpoints_are_ids_addresses_and_zones():
    segment = planned_segment()
    assert endpoint(segment, "10.10.1.11").binding.device == CAM1
    assert endpoint(segment, "fd10:1::11").binding.device == CAM1
    for nobody in ("10.10.1.99", "camera.line-1.cam9", "nowhere", "::"):
        assert refused(lambda n=nobody: endpoint(segment, n)) == Reason.USAGE


def case(**changes):
    given = {
        "name": "a camera's frames",
        "trust": {CAM1: "trusted", GW1: "trusted"},
        "from": CAM1,
        "to": GW1,
        "port": "tcp/7443",
        "expect": "allow",
    }
    return run_segment_case({ZONE: planned_segment()}, {**given, **changes}, "case 1")


def test_cases_take_trust_and_name_the_conduit():
    assert case().good and case(by="frames").good
    assert not case(by="join").good and not case(expect="drop").good
    assert case(trust={CAM1: "quarantined", GW1: "trusted"}, expect="drop", by="frames").good
    assert case(trust={}, to="controller", port="tcp/8443", by="join").good


@pytest.mark.parametrize(
    "changes",
    [
        {"expect": "maybe"},
        {"port": "7443"},
        {"port": "tcp/70000"},
        {"from": "nobody"},
        {"trust": {CAM1: 1}},
        {"trust": []},
        {"segment": "line-9"},
        {"allow": "x"},
    ],
)
def test_a_case_that_is_none(changes):
    with pytest.raises(FramegateError):
        case(**changes)


def test_examples_of_a_segment_hold_of_it():
    segment = planned_segment()
    examples = example_cases(segment)
    assert len(examples) == 2 * len(segment.conduits)
    for number, example in enumerate(examples):
        assert run_segment_case({ZONE: segment}, example, str(number)).good
