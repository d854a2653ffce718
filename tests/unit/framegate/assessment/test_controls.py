"""Each control broken in a plant: exactly what depends on it turns to fail, and an auditor's own
program comes to the same.
"""

import importlib.util
import json
import sys
import time

import jsonschema_rs
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from framegate.assessment.bundle import bundle
from framegate.assessment.check import Status, catalogue
from framegate.assessment.facts import facts
from framegate.assessment.facts import measured as fact_measured
from framegate.assessment.framework import frameworks
from framegate.assessment.maturity import Stage, ztmm
from framegate.assessment.reading import Reading, View, two_person_verbs
from framegate.assessment.standing import standing
from framegate_controller.ca.open import found_fleet
from framegate_operator.recorded import record_of, verified
from framegate_simulators.fixtures.assessed_plant import AssessedPlant, exported
from framegate_simulators.fixtures.broken_controls import ALSO, BREAKS
from support.paths import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
SPEC = importlib.util.spec_from_file_location("assess_check", ROOT / "scripts/assess_check.py")
CHECK = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(CHECK)
NOW = int(time.time() * 1000)
FOR_GOALS = {"time-to-acknowledge", "time-to-recover"}
"""Facts that goals are about and no check rests on."""


def pem(keys):
    return keys.root.certificate.public_bytes(Encoding.PEM)


def plant_reading(plant, size=None):
    reading = Reading("plant")
    for entry in plant.entries()[:size]:
        reading.read(json.loads(entry))
    return reading


def stands(plant, size=None):
    return standing(plant_reading(plant, size), plant.end_ms)


@pytest.fixture(scope="module")
def whole():
    return stands(AssessedPlant(NOW))


@pytest.fixture
def write(tmp_path, keys):
    """A plant as a folder that an auditor gets."""

    def written(plant, change=lambda name, content: content):
        export = exported(plant.entries(), keys, NOW)
        taken = verified(export, pem(keys))
        found = standing(record_of(taken).reading, plant.end_ms)
        for name, content in bundle(found, taken.export, taken.entries).items():
            (tmp_path / name).write_bytes(change(name, content))
        (tmp_path / "root.pem").write_bytes(pem(keys))
        return tmp_path

    return written


def test_a_plant_in_which_every_control_is_at_work_passes_every_claim(whole):
    assert {c.status for c in whole.checked.values()} == {Status.PASS}
    claims = [c for claims in whole.claims.values() for c in claims]
    assert {c.status for c in claims} == {Status.PASS}
    assert len(whole.claims) == 12
    assert all(c.fact.entries for c in whole.checked.values() if c.check.most != 0)


def test_there_is_a_way_to_break_each_check_and_each_fact_is_used():
    assert set(BREAKS) == set(catalogue().checks)
    assert {c.fact for c in catalogue().checks.values()} | FOR_GOALS == set(facts())
    used = {name for f in frameworks().values() for claim in f.claims for name in claim.checks}
    assert used == set(catalogue().checks)


@pytest.mark.parametrize("name", sorted(BREAKS))
def test_a_control_that_breaks_fails_its_claims_and_no_others(whole, name):
    plant = AssessedPlant(NOW)
    BREAKS[name](plant)
    found = stands(plant)
    broken = {n for n, c in found.checked.items() if c.status == Status.FAIL}
    assert broken == {name} | ALSO.get(name, frozenset())
    for framework, claims in found.claims.items():
        for claimed in claims:
            fails = bool(broken & set(claimed.claim.checks))
            assert claimed.status == (Status.FAIL if fails else Status.PASS), framework
    lower = [
        (before.stage, after.stage)
        for before, after in zip(whole.functions, found.functions, strict=True)
        if before.stage is not None and after.stage < before.stage
    ]
    used = {n for f in ztmm().functions for n in f.checks}
    assert bool(lower) == bool(broken & used)
    seen = CHECK.Seen([json.loads(e) for e in plant.entries()], NOW, two_person_verbs())
    assert set(CHECK.FACTS) == set(facts())
    measured = [c.fact for c in found.checked.values()]
    measured += [fact_measured(n, View(plant_reading(plant), NOW)) for n in FOR_GOALS]
    for fact in measured:  # the auditor's own figures
        own = CHECK.FACTS[fact.name](seen)
        assert own == (fact.value, fact.part, fact.whole), fact.name


@pytest.mark.parametrize("name", ["", *sorted(BREAKS)[::6]], ids=lambda n: n or "whole")
def test_the_auditors_program_comes_to_the_same(write, keys, name):
    plant = AssessedPlant(NOW)
    if name:
        BREAKS[name](plant)
    told = CHECK.recompute(write(plant), keys.root.certificate)
    assert told["checks"] == len(catalogue().checks)
    assert told["claims"] == sum(len(f.claims) for f in frameworks().values())
    assert told["functions"] == 37


def test_nothing_recorded_is_nowhere_good():
    found = stands(AssessedPlant(NOW), size=0)
    assert Status.PASS not in {c.status for c in found.checked.values()}
    claims = [c for claims in found.claims.values() for c in claims]
    assert Status.PASS not in {c.status for c in claims}
    assert all(a.stage in {None, Stage.TRADITIONAL} for a in found.functions)
    for pillar in found.pillars:
        assert pillar.stage in {None, Stage.TRADITIONAL}
        assert pillar.not_assessed


def test_a_pillar_is_the_least_of_what_was_assessed(whole):
    for pillar in whole.pillars:
        own = [a.stage for a in whole.functions if a.function.pillar == pillar.name]
        assert pillar.stage == min(s for s in own if s is not None)
        assert pillar.assessed + pillar.not_assessed == len(own)
    assert sum(p.assessed + p.not_assessed for p in whole.pillars) == 37


def _forged(name, old, new):
    def change(file, content):
        if file != name:
            return content
        assert old in content
        return content.replace(old, new, 1)

    return change


FORGERIES = {
    "a status": ("results.json", b'"status": "pass"', b'"status": "fail"'),
    "a value": ("results.json", b'"value": 1.0', b'"value": 0.5'),
    "a stage": ("results.json", b'"stage": "advanced"', b'"stage": "optimal"'),
    "a proof": ("proofs.json", b'"size"', b'"Size"'),
    "an entry": ("record.jsonl", b'"right":true', b'"right":null'),
    "OSCAL": ("assessment-results.json", b'"state": "satisfied"', b'"state": "not-satisfied"'),
    "OCSF": ("findings.jsonl", b'"status_id": 1}', b'"status_id": 3}'),
    "a check": ("catalogue.json", b'"least": 1.0', b'"least": 2.0'),
}


@pytest.mark.parametrize("what", sorted(set(FORGERIES) - {"a proof"}))
def test_n196_whoever_edits_the_folder_is_found_out(write, keys, what):
    folder = write(AssessedPlant(NOW), _forged(*FORGERIES[what]))
    with pytest.raises(Exception):  # noqa: B017 - any of its ways to say no
        CHECK.recompute(folder, keys.root.certificate)
    assert CHECK.main([str(folder)]) == 1


def test_n196_a_proof_that_leads_elsewhere_is_found_out(write, keys):
    folder = write(AssessedPlant(NOW))
    proofs = json.loads((folder / "proofs.json").read_text())
    index = next(iter(proofs["paths"]))
    proofs["paths"][index][0] = "00" * 32
    (folder / "proofs.json").write_text(json.dumps(proofs))
    with pytest.raises(CHECK.Differs, match=f"entry {index}"):
        CHECK.recompute(folder, keys.root.certificate)


def test_another_fleets_root_and_old_evidence_are_refused(write, keys, capsys, tmp_path_factory):
    folder = write(AssessedPlant(NOW))
    other = found_fleet(tmp_path_factory.mktemp("other") / "keys", "plant")
    with pytest.raises(CHECK.Differs, match="none of this fleet"):
        CHECK.recompute(folder, other.root.certificate)
    assert CHECK.main([str(folder), "--at", str(NOW)]) == 0
    assert CHECK.main([str(folder), "--at", str(NOW + catalogue().valid_ms + 1)]) == 1
    assert "ended" in capsys.readouterr().out


def test_an_entry_behind_the_last_head_is_no_evidence(keys):
    entries = AssessedPlant(NOW).entries()
    export = exported(entries[:-1], keys, NOW).splitlines()
    export[0] = json.dumps(json.loads(export[0]) | {"entries": len(entries)}).encode()
    export.insert(len(entries), entries[-1])
    with pytest.raises(Exception, match="signed head over every entry"):
        verified(b"\n".join(export) + b"\n", pem(keys))


@pytest.mark.parametrize("model", ["component", "assessment-results"])
def test_oscal_is_valid_and_the_same_each_time(keys, model):
    files = {"component": "component-definition.json"}
    name = files.get(model, f"{model}.json")
    found = []
    for _ in range(2):
        plant = AssessedPlant(NOW)
        BREAKS["backups-made"](plant)
        export = exported(plant.entries(), keys, NOW)
        entries = verified(export, pem(keys)).entries
        found.append(bundle(stands(plant), b"x", entries)[name])
    assert found[0] == found[1]
    schema = json.loads((ROOT / f"tests/vectors/oscal/oscal_{model}_schema.json").read_text())
    validator = jsonschema_rs.validator_for(schema)
    body = json.loads(found[0])
    assert not [f"{e.message} at {e.instance_path}" for e in validator.iter_errors(body)]
    assert next(iter(body.values()))["metadata"]["oscal-version"] == "1.2.1"
    body[next(iter(body))].pop("metadata")
    assert list(validator.iter_errors(body))


def test_every_claim_is_a_valid_compliance_finding():
    plant = AssessedPlant(NOW)
    BREAKS["record-sent"](plant)
    lines = bundle(stands(plant), b"x", plant.entries())["findings.jsonl"].splitlines()
    embedded = OcsfJsonSchemaEmbedded(get_ocsf_schema("1.8.0"))
    schema = embedded.get_class_schema("compliance_finding", [])
    validator = jsonschema_rs.validator_for(schema)
    for line in lines:
        event = json.loads(line)
        assert not [f"{e.message} at {e.instance_path}" for e in validator.iter_errors(event)]
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"] == 200_301
    assert {json.loads(line)["compliance"]["status_id"] for line in lines} == {1, 3}
