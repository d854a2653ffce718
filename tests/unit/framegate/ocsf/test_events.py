"""Every entry of the record in OCSF: valid by the schema, and by what the schema does not check."""

import gzip
import json
import re
from pathlib import Path

import jsonschema_rs
import ocsf_json_schema
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from framegate.errors import Malformed, Reason
from framegate.ocsf.classes import CLASSES, USER
from framegate.ocsf.event import ocsf_event
from framegate.ocsf.logged import LoggedEvent, OcsfVersion
from framegate.ocsf.mapping import mappings, maps
from framegate.ocsf.techniques import techniques
from framegate.receipt_verifier import leaf_hash
from framegate.record.entry import NO_ENTRY
from framegate.record.events import events
from support.ocsf_entries import every_entry, every_event
from support.paths import ROOT

EVERY = [LoggedEvent.parse("plant", raw) for raw in every_entry()]
V1_9 = OcsfVersion.V1_9


@pytest.fixture(scope="module")
def published():
    """OCSF 1.8.0 as it is published."""
    folder = Path(ocsf_json_schema.__file__).parent
    return json.loads((folder / "ocsf/1.8.0.json").read_text())


@pytest.fixture(scope="module")
def validators(published):
    """A validator for each class and set of profiles that the record uses, made when asked for."""
    schema, by_uid = OcsfJsonSchemaEmbedded(get_ocsf_schema("1.8.0")), {}
    names = {c["uid"]: name for name, c in published["classes"].items()}

    def of(event):
        profiles = [p for p in event["metadata"]["profiles"] if p != "record_integrity"]
        key = event["class_uid"], *profiles
        if key not in by_uid:
            made = schema.get_class_schema(names[event["class_uid"]], profiles)
            by_uid[key] = jsonschema_rs.validator_for(made)
        return by_uid[key]

    return of


def test_every_event_and_nothing_else_has_a_mapping():
    assert set(mappings()) == set(events()) | {"receipt-batch", "report"}


def test_every_entry_is_valid_by_the_schema_of_its_class(validators):
    for entry in EVERY:
        event = ocsf_event(entry)
        faults = [f"{e.message} at {e.instance_path}" for e in validators(event).iter_errors(event)]
        assert not faults, (entry.name, faults)


def test_the_schema_refuses_what_lacks_a_member(validators):
    event = ocsf_event(EVERY[0])
    for name in ("metadata", "time", "severity_id", "entity"):
        assert list(validators(event).iter_errors({k: v for k, v in event.items() if k != name}))


def test_ids_and_captions_are_those_of_the_schema(published):
    """What the schema lets pass: a wrong type_uid, a wrong caption."""
    classes = {c["uid"]: c for c in published["classes"].values()}
    for entry in EVERY:
        event = ocsf_event(entry)
        kind = classes[event["class_uid"]]
        captions = kind["attributes"]["activity_id"]["enum"]
        activity = event["activity_id"]
        assert event["class_name"] == kind["caption"]
        assert event["type_uid"] == event["class_uid"] * 100 + activity
        assert event["type_name"] == f"{kind['caption']}: {event['activity_name']}"
        assert event["category_uid"] == kind.get("category_uid", 0)
        assert event["category_name"] == kind.get("category_name", "Uncategorized")
        if activity != 99:
            assert event["activity_name"] == captions[str(activity)]["caption"]
        for name in ("severity", "status", "action", "disposition"):
            if name in event:
                enum = kind["attributes"][f"{name}_id"]["enum"]
                assert event[name] == enum[str(event[f"{name}_id"])]["caption"]


def test_activities_of_the_table_are_those_of_the_schema(published):
    classes = {c["uid"]: c for c in published["classes"].values()}
    for kind in CLASSES:
        if kind.uid in {0, USER.uid}:  # 3007 came with 1.9.0
            continue
        captions = classes[kind.uid]["attributes"]["activity_id"]["enum"]
        for activity, caption in kind.activities.items():
            assert captions[str(activity)]["caption"] == caption


def _deprecated(published, where, value, path=()):
    """Paths of attributes in `value` that the schema marks as deprecated or does not know."""
    for name, inner in value.items():
        declared = where["attributes"].get(name)
        if declared is None:
            if where["attributes"] and where.get("name") not in {"object", "json_t"}:
                yield (*path, name, "unknown")
            continue
        if "@deprecated" in declared:
            yield (*path, name)
        below = published["objects"].get(declared.get("object_type", ""))
        for item in inner if isinstance(inner, list) else [inner]:
            if below is not None and isinstance(item, dict):
                yield from _deprecated(published, below, item, (*path, name))


def test_no_attribute_is_deprecated_or_unknown_and_nothing_is_unmapped(published):
    classes = {c["uid"]: c for c in published["classes"].values()}
    for entry in EVERY:
        event = ocsf_event(entry)
        kind = classes[event["class_uid"]]
        assert "@deprecated" not in kind
        assert list(_deprecated(published, kind, event)) == [], entry.name
        assert "unmapped" not in event
        assert "extensions" not in event["metadata"]


def test_1_9_uses_no_class_that_it_deprecates(validators):
    gone = {2001, 3001, 3005, 5002}
    for entry in EVERY:
        event = ocsf_event(entry, V1_9)
        assert event["class_uid"] not in gone
        assert event["metadata"]["version"] == "1.9.0"
        assert not {"comment", "ticket"} & set(event)
        assert "record_integrity" in event["metadata"]["profiles"]
        if event["class_uid"] != USER.uid:  # the rest of it is as 1.8.0 has it
            chain = event.pop("attestation_list")
            assert not list(validators(event).iter_errors(event)), entry.name
            assert len(chain) == 1


@pytest.fixture(scope="module")
def schema_1_9():
    """The published schema of Detection Finding, and of what the profile record_integrity adds."""
    raw = (ROOT / "tests/vectors/ocsf/detection_finding-1.9.0.json.gz").read_bytes()
    return json.loads(gzip.decompress(raw))


def test_1_9_attests_as_the_published_schema_of_record_integrity_has_it(schema_1_9):
    ref = {"$ref": "#/$defs/attestation", "$defs": schema_1_9["$defs"]}
    attestation = jsonschema_rs.Draft7Validator(ref)
    for entry in EVERY:
        (attested,) = ocsf_event(entry, V1_9)["attestation_list"]
        faults = [f"{e.message} at {e.instance_path}" for e in attestation.iter_errors(attested)]
        assert not faults, (entry.name, faults)


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": None},
        {"fingerprint": {"value": "ab"}},
        {"fingerprint": {"value": "ab", "algorithm_id": 3, "chain": "x"}},
        {"prev_event": {"uid": 7}},
        {"previous": "x"},
        {"chain_uid": 7},
    ],
    ids=["none", "no-algorithm", "unknown", "previous-uid", "own-member", "chain"],
)
def test_that_schema_refuses_what_is_no_attestation(schema_1_9, change):
    ref = {"$ref": "#/$defs/attestation", "$defs": schema_1_9["$defs"]}
    attested = ocsf_event(EVERY[1], V1_9)["attestation_list"][0] | change
    attested = {name: value for name, value in attested.items() if value is not None}
    assert not jsonschema_rs.Draft7Validator(ref).is_valid(attested)


def test_1_9_findings_are_valid_by_their_published_schema(schema_1_9):
    """But for what profiles add to the class: they are not in what is published of it."""
    valid, profiles = jsonschema_rs.Draft7Validator(schema_1_9), {"actor", "attestation_list"}
    findings = [e for e in EVERY if ocsf_event(e, V1_9)["class_uid"] == 2004]
    assert findings
    for entry in findings:
        event = ocsf_event(entry, V1_9)
        bare = {n: v for n, v in event.items() if n not in profiles}
        faults = [f"{e.message} at {e.instance_path}" for e in valid.iter_errors(bare)]
        assert not faults, (entry.name, faults)


def test_1_9_carries_the_records_own_chain():
    first, second = EVERY[0], EVERY[1]
    begun = ocsf_event(first, V1_9)["attestation_list"][0]
    assert first.text("previous") == NO_ENTRY
    assert "prev_event" not in begun
    assert begun["fingerprint"]["value"] == leaf_hash(first.raw).hex()
    chained = ocsf_event(second, V1_9)["attestation_list"][0]
    assert chained["prev_event"]["fingerprint"]["value"] == second.text("previous")
    assert chained["prev_event"]["uid"] == "plant:0"
    assert "attestation_list" not in ocsf_event(first)


def test_the_same_entry_gives_the_same_event_and_carries_its_bytes():
    for entry in EVERY:
        event = ocsf_event(entry)
        assert event == ocsf_event(LoggedEvent.parse("plant", entry.raw))
        assert event["raw_data"].encode() == entry.raw
        assert event["metadata"]["uid"] == f"plant:{entry.index}"
        assert event["metadata"]["sequence"] == entry.index


def test_severity_is_that_of_the_event_as_it_was_recorded():
    recorded = {name: event.severity for name, event in every_event()}
    for entry in EVERY:
        if entry.kind == "event":
            assert ocsf_event(entry)["severity_id"] == recorded[entry.name], entry.name


def test_an_index_that_was_given_again_after_a_restoration_has_another_uid():
    raw = EVERY[0].raw
    before, after = (LoggedEvent.parse("plant", raw, n) for n in (0, 2))
    assert (before.uid, after.uid) == ("plant:0", "plant:0:2")


def test_an_entry_of_a_later_version_is_a_base_event(validators):
    body = json.loads(EVERY[0].raw)
    for change in ({"event": "of-a-later-version"}, {"kind": "of-a-later-version"}):
        event = ocsf_event(LoggedEvent.parse("plant", json.dumps(body | change).encode()))
        assert (event["class_uid"], event["type_uid"]) == (0, 99)
        assert event["activity_name"] == "of-a-later-version"
        assert not list(validators(event).iter_errors(event))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"{}",
        b'{"index":-1,"at_ms":1,"kind":"event","previous":""}',
        b'{"index":true,"at_ms":1,"kind":"event","previous":""}',
        b'{"index":1,"at_ms":"1","kind":"event","previous":""}',
        b'{"index":1,"at_ms":1,"kind":[],"previous":""}',
        b'{"index":1,"at_ms":1,"kind":"event"}',
        b'{"index":1,"at_ms":1,"kind":"event","previous":"","members":[]}',
        b"[" * 70_000,
        b" " * 70_000,
    ],
)
def test_what_is_no_entry_is_malformed(raw):
    with pytest.raises(Malformed):
        LoggedEvent.parse("plant", raw)


def test_an_event_is_not_mapped_twice():
    with pytest.raises(ValueError, match="mapped twice"):
        maps("zone-set")(lambda event: None)


def test_every_reason_has_techniques_or_is_said_to_have_none():
    table = techniques()
    assert set(table.reasons) | table.none == set(Reason)
    assert not set(table.reasons) & table.none
    assert set(table.events) <= set(events())


def test_techniques_have_ids_names_and_the_version_they_are_of():
    for chosen in (*techniques().reasons.values(), *techniques().events.values()):
        assert chosen
        for technique in chosen:
            atlas = technique.matrix == "MITRE ATLAS"
            assert re.fullmatch(r"AML\.T\d{4}(\.\d{3})?" if atlas else r"T\d{4}", technique.uid)
            assert technique.version == ("5.6.0" if atlas else "18.1")
            assert technique.attack()["version"] == f"{technique.matrix} {technique.version}"


def test_refused_evidence_names_its_techniques():
    refused = next(e for e in EVERY if e.name == "evidence-refused")
    finding = ocsf_event(refused)["finding_info"]
    assert finding["types"] == ["pcr-digest", "ima-file"]
    assert {a["technique"]["uid"] for a in finding["attacks"]} == {"T0856", "T0889"}
