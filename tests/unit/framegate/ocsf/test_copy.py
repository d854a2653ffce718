"""A SIEM's copy of the record against signed heads: the first missing or altered entry is named."""

import copy
import json
import random

import pytest

from framegate.errors import Malformed
from framegate.ocsf.copy import TrustedHeads, verify_copy
from framegate.ocsf.event import ocsf_event
from framegate.ocsf.logged import LoggedEvent, OcsfVersion
from framegate.receipt_verifier import leaf_hash
from framegate.record.verify import AuditRefused
from framegate_operator.siem_copies import read_copies


def event_of(raw, restorations=0, version=OcsfVersion.V1_8):
    return ocsf_event(LoggedEvent.parse("plant", raw, restorations), version)


@pytest.fixture
def events(signed_log):
    return [event_of(raw) for raw in signed_log.entries]


def trusted(log, heads=None, leading=()):
    return TrustedHeads(log.heads if heads is None else heads, log.anchor, "plant", leading)


def refused(log, events, **more):
    with pytest.raises(AuditRefused) as error:
        verify_copy(events, trusted(log, **more))
    return error.value.check, error.value.entry


@pytest.mark.parametrize("version", list(OcsfVersion))
def test_a_whole_copy_holds_in_any_order_and_though_entries_came_twice(signed_log, version):
    events = [event_of(raw, version=version) for raw in signed_log.entries]
    mixed = [*events, events[4], events[4], events[9]]
    random.Random(7).shuffle(mixed)  # noqa: S311 - an order, no secret
    done = verify_copy(mixed, trusted(signed_log))
    assert (done.first, done.entries, done.again, done.lost) == (0, len(events), 3, 0)
    assert done.log.signed == len(events)


def test_what_a_siem_adds_beside_does_no_harm(signed_log, events):
    for event in events:
        event |= {"_time": 1, "ingest": {"x": 1}}
        event["metadata"] |= {"processed_time": 12}
    assert verify_copy(events, trusted(signed_log)).entries == len(events)


@pytest.mark.parametrize("gone", [0, 1, 19, 20, 31, 32])
def test_an_entry_that_is_missing_is_named(signed_log, events, gone):
    assert refused(signed_log, events[:gone] + events[gone + 1 :]) == ("missing", gone)


def test_the_first_of_several_that_are_missing_is_named(signed_log, events):
    assert refused(signed_log, events[:5] + events[9:]) == ("missing", 5)
    assert refused(signed_log, events[:12]) == ("missing", 12)
    assert refused(signed_log, []) == ("missing", 0)


def _edit(event, path, value):
    for name in path[:-1]:
        event = event[name]
    event[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("severity_id",), 1),
        (("message",), "nothing happened"),
        (("time",), 1),
        (("actor", "user", "name"), "berta"),
        (("actor",), None),
        (("type_uid",), 300_403),
        (("metadata", "event_code"), "release"),
        (("entity", "name"), "camera.line-1.other"),
        (("raw_data_hash", "value"), "00"),
        (("metadata", "profiles"), ["host", "cloud"]),
        (("activity_id",), True),
        (("raw_data",), "{}"),
        (("raw_data",), "\ud800"),
    ],
)
def test_an_event_that_is_not_what_its_entry_says_is_named(signed_log, events, path, value):
    changed = copy.deepcopy(events)
    _edit(changed[12], path, value)
    assert refused(signed_log, changed) == ("altered", 12)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("raw_data",), None),
        (("metadata", "uid"), None),
        (("metadata", "sequence"), "12"),
        (("metadata", "version"), "1.0.0"),
        (("metadata",), []),
    ],
)
def test_what_is_no_event_of_ours_is_refused(signed_log, events, path, value):
    changed = copy.deepcopy(events)
    _edit(changed[12], path, value)
    assert refused(signed_log, changed)[0] == "event"


@pytest.mark.parametrize("uid", ["plant:12:1", "plant:13", "other:12", "plant:12:x", "plant:12:-1"])
def test_an_id_of_another_entry_fleet_or_branch_is_altered(signed_log, events, uid):
    changed = copy.deepcopy(events)
    changed[12]["metadata"]["uid"] = uid
    assert refused(signed_log, changed) == ("altered", 12)


def test_an_entry_that_was_edited_with_its_event_breaks_the_chain(signed_log, events):
    body = json.loads(events[12]["raw_data"]) | {"detail": "nothing happened"}
    raw = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    changed = [*events[:12], event_of(raw), *events[13:]]
    assert refused(signed_log, changed) == ("chain", 12)


def test_a_copy_that_was_rewritten_to_its_end_has_not_the_signed_root(signed_log):
    raws, previous = [], None
    for index, entry in enumerate(signed_log.entries):
        body = json.loads(entry)
        if index == 12:
            body["detail"] = "nothing happened"
        if previous is not None:
            body["previous"] = previous
        raws.append(json.dumps(body, separators=(",", ":"), sort_keys=True).encode())
        previous = leaf_hash(raws[-1]).hex()
    check, entry = refused(signed_log, [event_of(raw) for raw in raws])
    assert (check, entry) == ("root", 7)  # the last head before it that holds is over 7


def test_two_events_of_one_entry_that_differ_are_named(signed_log, events):
    body = json.loads(events[12]["raw_data"]) | {"detail": "nothing happened"}
    raw = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    assert refused(signed_log, [*events, event_of(raw)]) == ("altered", 12)


def test_a_copy_without_a_signed_head_proves_nothing(signed_log, events):
    assert refused(signed_log, events, heads=[])[0] == "unsigned"


def test_heads_of_another_fleet_or_key_are_refused(signed_log, events):
    bent = [signed_log.heads[-1].replace(b'"sig":"', b'"sig":"AAAA')]
    assert refused(signed_log, events, heads=bent)[0] == "head-signature"


def test_a_sink_that_was_added_later_is_held_against_the_entries_before_it(signed_log, events):
    leading = signed_log.entries[:10]
    done = verify_copy(events[10:], trusted(signed_log, leading=leading))
    assert (done.first, done.entries) == (10, len(events) - 10)
    assert refused(signed_log, events[11:], leading=leading) == ("missing", 10)
    assert refused(signed_log, events[10:])[0] == "missing"


WRAPPED = {
    "elastic": lambda e: {"_index": "x", "_id": "1", "_source": e},
    "splunk": lambda e: {"preview": False, "result": {"_raw": json.dumps(e), "_time": "1"}},
    "hec": lambda e: {"time": 1, "event": e},
    "otlp": lambda e: {"timeUnixNano": "1", "body": {"stringValue": json.dumps(e)}},
    "bare": lambda e: e,
}


@pytest.mark.parametrize("how", WRAPPED)
def test_exports_of_siems_are_read(tmp_path, signed_log, events, how):
    file = tmp_path / "export.jsonl"
    file.write_text("\n".join(json.dumps(WRAPPED[how](e)) for e in events) + "\n\n")
    assert verify_copy(read_copies([file]), trusted(signed_log)).entries == len(events)


def test_arrays_and_syslog_lines_and_several_files_are_read(tmp_path, signed_log, events):
    (tmp_path / "a").write_text(json.dumps(events[:5]) + "\n")
    head = '<108>1 2026-11-26T10:00:00.000Z plant framegate - quarantine [meta sequenceId="1"] '
    lines = (head.encode() + b"\xef\xbb\xbf" + json.dumps(e).encode() for e in events[5:])
    (tmp_path / "b").write_bytes(b"\n".join(lines))
    done = verify_copy(read_copies([tmp_path / "a", tmp_path / "b"]), trusted(signed_log))
    assert done.entries == len(events)


@pytest.mark.parametrize(
    "line",
    ["no json", "{", "[1]", "{}", '{"_source":{"x":1}}', "[" * 9000, '"' * 3, '{"event":"{"}'],
)
def test_lines_that_hold_no_event_are_named(tmp_path, events, line):
    file = tmp_path / "export"
    file.write_text(f"{json.dumps(events[0])}\n{line}\n")
    with pytest.raises(Malformed, match="line 2 of"):
        list(read_copies([file]))


def test_a_line_without_an_end_is_not_read_into_memory(tmp_path):
    file = tmp_path / "export"
    file.write_bytes(b"{" * 2_000_000)
    with pytest.raises(Malformed, match="too-large"):
        list(read_copies([file]))
