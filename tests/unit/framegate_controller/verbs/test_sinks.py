"""Sinks: added, listed, tested, removed."""

import pytest

from framegate.errors import Malformed, Refused
from framegate.registry.sink import MAX_SINKS
from framegate_controller.rpc import sinks
from framegate_controller.verbs.sinks import AddSink
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.verbs import AllowedCaller


@pytest.fixture
def desk(bench):
    return AllowedCaller(bench.store, bench.fleet, sinks.ROWS)


def add(desk, name="siem", **more):
    return desk.ask("AddSink", pb.AddSinkRequest(**({"name": name, "kind": "file"} | more)))


def test_a_sink_begins_at_the_first_entry_or_at_the_one_that_records_it(bench, desk):
    assert add(desk).first == 0
    with bench.store.reading() as tx:
        size = tx.log.size()
    row = add(desk, "later", from_now=True, kind="hec", address="https://s.example.net:8088")
    assert (row.first, row.confirmed, row.channel, row.ocsf) == (size, size, "main", "1.8.0")
    added = bench.events("siem-added")
    assert [(e["members"]["sink"], e["members"].get("first")) for e in added] == [
        ("siem", 0),
        ("later", size),
    ]
    assert added[1]["index"] == size
    rows = desk.ask("ListSinks", pb.ListRequest())
    assert [s.name for s in rows.sinks] == ["later", "siem"]
    assert rows.sinks[0].confirms == "the indexer acknowledged it"


def test_a_name_is_given_once_and_no_more_than_so_many(bench, desk):
    add(desk)
    with pytest.raises(Refused, match="conflict"):
        add(desk)
    for number in range(MAX_SINKS - 1):
        add(desk, f"s{number}")
    with pytest.raises(Refused, match="at most"):
        add(desk, "one-more")


def test_a_test_is_an_entry_like_every_other(bench, desk):
    add(desk)
    index = desk.ask("TestSink", pb.SinkRequest(name="siem")).index
    (tested,) = bench.events("siem-tested")
    assert tested["index"] == index


def test_a_sink_that_is_removed_is_gone_and_how_far_it_was_stands_in_the_record(bench, desk):
    add(desk)
    assert desk.ask("RemoveSink", pb.SinkRequest(name="siem")).name == "siem"
    assert bench.events("siem-removed")[0]["members"]["confirmed"] == 0
    assert not desk.ask("ListSinks", pb.ListRequest()).sinks


@pytest.mark.parametrize("call", ["RemoveSink", "TestSink"])
def test_what_is_no_sink_is_not_found(desk, call):
    with pytest.raises(Refused, match="not-found"):
        desk.ask(call, pb.SinkRequest(name="siem"))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../x"},
        {"name": ""},
        {"kind": "carrier-pigeon"},
        {"kind": ""},
        {"ocsf": "1.0.0"},
        {"address": "/etc/shadow"},
        {"channel": "x"},
        {"kind": "hec", "address": "http://splunk.example.net"},
    ],
)
def test_n150_what_is_asked_wrongly_is_refused_before_anybody_is_asked(change):
    with pytest.raises(Malformed):
        AddSink.parse(pb.AddSinkRequest(**({"name": "siem", "kind": "file"} | change)))
