"""N211: what a machine sends in a posture's place, so that nothing more can be said of it."""

import json
from dataclasses import replace

import pytest

from framegate.machines.lifecycle import Event, State
from framegate_controller.events.snapshot import Teller
from framegate_controller.fleet.facts import facts_of

CAM1 = "camera.line-1.cam1"
NONE = {
    "text": b"no JSON at all",
    "nul": b'{"a": "\x00"}',
    "escaped nul": b'{"a": "\\u0000"}',
    "not UTF-8": b"\xff\xfe\xfd",
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "a number": b"1e999",
    "others": b'{"firewall": {}}',
    "a surrogate": b'{"a": "\\ud800"}',
}


def told(bench) -> dict[str, dict]:
    """What gateways of the zone are told of each machine."""
    with bench.store.reading() as tx:
        snapshot = Teller(tx, bench.fleet).snapshot("line-1")
    return {d.device: {**json.loads(d.facts), "state": d.state} for d in snapshot.devices}


@pytest.mark.parametrize("posture", NONE.values(), ids=NONE)
def test_n211_what_is_no_posture_makes_its_machine_suspect_and_stops_nobody(bench, posture):
    """On both stores: a NUL that a database does not take was one way to stay trusted."""
    forge = bench.enrol()
    bench.enrol("cam2")
    bench.clock.pass_s(1)
    forge.posture = posture
    assert bench.attest(forge).state == "suspect"
    with bench.store.reading() as tx:
        assert posture in tx.evidence.last(CAM1).raw, "what it sent is kept as it came"
    assert bench.device().shown.posture == ""
    seen = told(bench)
    assert seen[CAM1]["state"] == "suspect" and seen[CAM1]["posture"] == {}
    assert seen["camera.line-1.cam2"]["state"] == "trusted"
    bench.move(Event.QUARANTINE)
    assert bench.state() == "quarantined"


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"firewall": {}}', "[" * 100_000, "\ufffd"])
def test_n211_rows_that_have_what_is_none_are_read_as_rows_without_one(bench, text):
    """As the version before wrote them."""
    bench.enrol()
    with bench.store.writing() as tx:
        row = tx.devices.get(CAM1)
        tx.devices.put(replace(row, shown=replace(row.shown, posture=text)))
    assert told(bench)[CAM1]["posture"] == {}
    assert facts_of(bench.device(), 0)["posture"] == {}


def test_a_posture_is_kept_as_it_came(bench):
    forge = bench.enrol()
    assert bench.attest(forge).state == State.TRUSTED
    assert bench.device().shown.posture.encode() == forge.posture
    assert told(bench)[CAM1]["posture"]
