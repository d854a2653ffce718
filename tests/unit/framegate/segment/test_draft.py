"""What a draft of a segment changes: which way, and what opens first."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from framegate.segment.draft import Effect, changes_between
from framegate.segment.policy import Binding, Conduit, End, Mode, Segment, SegmentZone, Transport

LEFT = SegmentZone(
    name="left",
    interfaces=("eth1",),
    mode=Mode.STAGE,
    adjacent=True,
    ports=("p1",),
    gateway=(IPv4Address("10.0.1.1"),),
    peers=False,
)
RIGHT = replace(LEFT, name="right", interfaces=("eth2",), ports=("p2",), gateway=())
WAY = Conduit(
    name="frames",
    source="left",
    destination="right",
    transport=Transport.TCP,
    port=7443,
    trust=frozenset({End.FROM}),
    mode=Mode.STAGE,
)
BOUND = Binding(
    zone="left",
    device="camera.line-1.cam1",
    host="",
    mac="02:00:00:00:00:01",
    port="p1",
    addresses=(IPv4Address("10.0.1.9"),),
)
HOST = replace(BOUND, device="", host="printer", port="", addresses=(IPv4Address("10.0.1.7"),))
SEGMENT = Segment(
    name="line-1",
    life_s=30,
    zones={"left": LEFT, "right": RIGHT},
    conduits={"frames": WAY},
    bindings=(BOUND, HOST),
)


def changed(**members):
    return changes_between({"line-1": SEGMENT}, {"line-1": replace(SEGMENT, **members)})


def of_left(**members):
    return changed(zones={"left": replace(LEFT, **members), "right": RIGHT})


def of_way(**members):
    return changed(conduits={"frames": replace(WAY, **members)})


def test_the_same_is_no_change():
    assert changed() == () == changes_between({}, {})


@pytest.mark.parametrize(
    ("changes", "effect", "what"),
    [
        (of_left(mode=Mode.ENFORCE), Effect.CLOSES, "zone left: enforce, so far stage"),
        (of_left(mode=Mode.OBSERVE), Effect.OPENS, "zone left: observe, so far stage"),
        (of_left(peers=True), Effect.OPENS, "its hosts may speak to each other"),
        (of_left(dot1x=True), Effect.CLOSES, "are closed until 802.1X"),
        (of_left(adjacent=False), Effect.OPENS, "MAC addresses are no longer held"),
        (of_left(interfaces=("eth1", "eth9")), Effect.MOVES, "interface eth9 new"),
        (of_left(interfaces=()), Effect.MOVES, "interface eth1 gone"),
        (of_left(ports=()), Effect.OPENS, "guarded port p1 gone"),
        (of_left(ports=("p1", "p3")), Effect.MOVES, "guarded port p3 new"),
        (of_left(gateway=()), Effect.OPENS, "own address 10.0.1.1 gone"),
        (of_way(mode=Mode.OBSERVE), Effect.OPENS, "conduit frames: observe, so far stage"),
        (of_way(mode=Mode.ENFORCE), Effect.CLOSES, "conduit frames: enforce, so far stage"),
        (of_way(trust=frozenset()), Effect.OPENS, "left needs no trust any more"),
        (of_way(trust=frozenset(End)), Effect.CLOSES, "right has to be trusted"),
        (of_way(port=7444), Effect.OPENS, "tcp/7444, trusted: from, stage, so far left to right"),
        (of_way(transport=Transport.UDP), Effect.OPENS, "udp/7443"),
        (changed(conduits={}), Effect.CLOSES, "conduit frames is gone: left to right, tcp/7443"),
        (changed(life_s=60), Effect.OPENS, "life of an element: 30 s, then 60 s"),
        (changed(life_s=20), Effect.CLOSES, "life of an element: 30 s, then 20 s"),
        (changed(bindings=(BOUND,)), Effect.CLOSES, "printer is bound no more"),
        (
            changed(bindings=(BOUND, replace(HOST, zone="right"))),
            Effect.MOVES,
            "printer: right 02:00:00:00:00:01 10.0.1.7, so far left 02:00:00:00:00:01 10.0.1.7",
        ),
    ],
)
def test_one_change_is_told_once_and_which_way_it_goes(changes, effect, what):
    (change,) = changes
    assert change.effect is effect and what in change.what


def test_what_shuts_again_is_told_the_other_way_round():
    after = {"left": replace(LEFT, peers=True, dot1x=True, adjacent=False), "right": RIGHT}
    wide = replace(SEGMENT, zones=after)
    back = changes_between({"line-1": wide}, {"line-1": SEGMENT})
    assert [(c.effect, c.what) for c in back] == [
        (Effect.OPENS, "zone left: its ports need no 802.1X"),
        (Effect.CLOSES, "zone left: its hosts may not speak to each other"),
        (Effect.CLOSES, "zone left: MAC addresses are held against bindings"),
    ]


def test_what_is_new_opens_and_stands_before_what_closes():
    join = replace(WAY, name="join", trust=frozenset(), port=8443)
    more = replace(HOST, host="scale", port="p1", addresses=(IPv4Address("10.0.1.8"),))
    changes = changed(
        zones={"left": LEFT, "right": RIGHT, "yard": replace(RIGHT, name="yard")},
        conduits={"frames": WAY, "join": join},
        bindings=(BOUND, HOST, more),
    )
    assert [(c.effect, c.what) for c in changes] == [
        (Effect.OPENS, "conduit join: left to right, tcp/8443, trusted: nobody, stage"),
        (Effect.OPENS, "scale is bound to 10.0.1.8 at p1, zone left"),
        (Effect.CLOSES, "zone yard is new"),
    ]
    gone = changed(zones={"left": LEFT}, conduits={})
    assert [c.effect for c in gone] == [Effect.OPENS, Effect.CLOSES]


def test_a_whole_segment_that_comes_or_goes():
    came = changes_between({}, {"line-1": SEGMENT})
    assert [c.effect for c in came] == [Effect.OPENS, Effect.CLOSES]
    assert came[1].what == "line-1: is segmented from now on"
    went = changes_between({"line-1": SEGMENT}, {})
    assert [(c.effect, c.what) for c in went] == [(Effect.OPENS, "line-1: is segmented no more")]
