"""A policy of before playbooks, as fleets of then have it, brought to this version in one step."""

import contextlib
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from framegate.access.policy import SCHEMA, default_files, parse_policy
from framegate.access.policy_update import PLAYBOOK_RULES, updated_policy
from framegate.access.questions import verb_request
from framegate.access.verbs import find_verb, verbs
from framegate.errors import Refused
from framegate_operator import policies, policy_versions
from framegate_operator.permissions import role_table
from framegate_proto.v1 import framegate_pb2 as pb
from support.paths import ROOT

pytestmark = pytest.mark.slow

FOLDER = ROOT / "tests/vectors/access/before-playbooks"
BEFORE = {path.name: path.read_text() for path in sorted(FOLDER.iterdir())}
OWN = '@id("ours") forbid (principal, action == Action::"data.erase", resource);\n'


def playbook_may(policy, verb, approvals=1):
    return policy.decide(
        verb_request(
            find_verb(verb),
            operator="hold",
            roles=(),
            zone="line-1",
            frozen=False,
            fleet="plant",
            approvals=approvals,
            quorum=2,
            factor_age_s=-1,
            source="",
            playbook_mode="act",
        )
    ).allow


def test_a_policy_of_before_has_all_verbs_and_playbooks_after_one_step():
    done = updated_policy(BEFORE)
    policy, default = parse_policy(done.files), parse_policy(default_files())
    assert not policy.missing and set(done.verbs) == set(parse_policy(BEFORE).missing) != set()
    assert done.rules == (PLAYBOOK_RULES,) and not done.silent
    assert role_table(policy) == role_table(default), "everybody may what they may in a new fleet"
    for verb in verbs():
        assert playbook_may(policy, verb) == playbook_may(default, verb)
    assert playbook_may(policy, "device.quarantine")
    assert not playbook_may(policy, "device.quarantine", approvals=0)
    assert not playbook_may(policy, "device.release")


def test_what_it_permitted_to_people_it_permits_after_it():
    before = parse_policy(BEFORE | {"own.cedar": OWN})
    after = parse_policy(updated_policy(BEFORE | {"own.cedar": OWN}).files)
    old, new = role_table(before), role_table(after)
    assert {v: new[v] for v in before.actions if v in new} == {
        v: old[v] for v in before.actions if v in old
    }
    assert set(new["data.erase"].values()) == {"no"}


def test_its_own_files_stay_and_a_second_time_adds_nothing():
    texts = BEFORE | {"own.cedar": OWN}
    done = updated_policy(texts)
    assert {n: t for n, t in done.files.items() if n not in {SCHEMA, PLAYBOOK_RULES}} == {
        n: t for n, t in texts.items() if n != SCHEMA
    }
    again = updated_policy(done.files)
    assert again.files == done.files and again.added == () and not again.silent


def test_rules_about_playbooks_that_somebody_took_out_come_back_only_where_asked_for():
    texts = {n: t for n, t in default_files().items() if n != PLAYBOOK_RULES}
    done = updated_policy(texts)
    assert (
        done.silent
        and done.added == ()
        and not playbook_may(parse_policy(done.files), "device.quarantine")
    )
    asked = updated_policy(texts, playbooks=True)
    assert asked.rules == (PLAYBOOK_RULES,) and not asked.silent
    ours = texts | {"p.cedar": '@id("p") forbid (principal is Playbook, action, resource);'}
    assert updated_policy(ours, playbooks=True).rules == ()


def test_a_file_of_that_name_is_not_written_over():
    with pytest.raises(Refused, match="conflict"):
        updated_policy(BEFORE | {PLAYBOOK_RULES: OWN})


@pytest.fixture
def controller(monkeypatch):
    """A controller with the policy of before in force; what it is asked to apply."""
    asked = []
    stub = SimpleNamespace(
        ApplyPolicy=lambda r: asked.append(r) or pb.PolicyReply(version=r.base + 1)
    )
    monkeypatch.setattr(policy_versions, "load_context", lambda _c: None)
    monkeypatch.setattr(policy_versions, "operator_stub", lambda _c: contextlib.nullcontext(stub))
    monkeypatch.setattr(policy_versions, "fetch_policy", lambda _c: parse_policy(BEFORE, 4))
    return asked


def test_one_command_asks_for_all_of_it_in_place_of_what_was_read(controller):
    done = CliRunner().invoke(policies.app, ["update"])
    assert done.exit_code == 0, done.output
    (request,) = controller
    assert request.base == 4 and request.note
    texts = {file.name: file.text for file in request.files}
    assert texts == dict(updated_policy(BEFORE).files)
    assert "the rules of playbooks.cedar" in done.output and "siem.add" in done.output


def test_a_folder_is_changed_and_in_a_dry_run_it_is_not(tmp_path, controller):
    for name, text in BEFORE.items():
        (tmp_path / name).write_text(text)
    dry = CliRunner().invoke(policies.app, ["update", str(tmp_path), "--dry-run"])
    assert dry.exit_code == 0 and not (tmp_path / PLAYBOOK_RULES).exists()
    done = CliRunner().invoke(policies.app, ["update", str(tmp_path)])
    assert done.exit_code == 0 and not controller
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == dict(updated_policy(BEFORE).files)
