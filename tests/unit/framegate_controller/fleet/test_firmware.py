"""Firmware rules as they are read for each device: what is verified again and what is
remembered.
"""

import contextlib
import dataclasses
from datetime import timedelta

import pytest

from framegate.errors import Reason, Refused
from framegate.identity.certificates import from_ms
from framegate.machines.lifecycle import State
from framegate.machines.rollout import Plan, RolloutState, Seen
from framegate.profile.model import PROFILE_TYPE
from framegate.signed.dsse import seal_envelope
from framegate_controller.ca.open import found_fleet
from framegate_controller.fleet import profiles
from framegate_controller.fleet.firmware import FirmwareRules
from framegate_controller.fleet.profiles import add_profile, import_profile, revoke_signer
from framegate_controller.fleet.rollouts import change_rollout, place_in, start_rollout, tick_all
from framegate_controller.store.ports import Moved
from framegate_controller.store.shared.firmware import (
    InMemoryAllowlists,
    InMemoryAtRevision,
    InMemoryProfiles,
)
from framegate_controller.store.sql.rows import Rows
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of
from support.invited_camera import CAMERA as INVITED_CAMERA

CAMERA = dataclasses.replace(INVITED_CAMERA, state=State.TRUSTED, profile="simulated-camera")


PLAN = Plan(0, (50, 100), 1, 60, False)


@pytest.fixture
def rules():
    return FirmwareRules()


@pytest.fixture
def verified(monkeypatch):
    """Signatures that were verified, by envelope."""
    seen = []
    real = profiles.open_profile
    monkeypatch.setattr(
        profiles,
        "open_profile",
        lambda envelope, *rest: (seen.append(envelope), real(envelope, *rest))[1],
    )
    return seen


def read(bench, rules, device=CAMERA, fleet=None):
    with bench.store.reading() as tx:
        return rules.for_device(tx, fleet or bench.fleet, device)


def revisions(accepted):
    return [p.profile.revision for p in accepted.profiles]


@contextlib.contextmanager
def statements():
    """The statements that ran in the block."""
    ran = []

    def noting(run):
        return lambda self, statement, *values: (
            ran.append(statement),
            run(self, statement, *values),
        )[1]

    with pytest.MonkeyPatch.context() as patch:
        for name in ("run", "one", "all", "scalar", "scalars"):
            patch.setattr(Rows, name, noting(getattr(Rows, name)))
        yield ran


def toml(revision, model="simulated-camera"):
    return profile_toml(Firmware(model), model, revision).encode()


def sealed(bench, revision):
    key = bench.keys.signing["profile"]
    return seal_envelope(PROFILE_TYPE, toml(revision), key.der, key.sign)


def brought(bench, revision=2):
    """A rollout of another revision."""
    with bench.store.writing() as tx:
        import_profile(tx, bench.keys, sealed(bench, revision), in_force=False)
        return start_rollout(tx, bench.keys, "simulated-camera", PLAN)


def test_where_nothing_changed_one_statement_says_so(bench, rules, verified):
    with bench.store.writing() as tx:
        tx.devices.add(CAMERA)
    first = read(bench, rules)
    with statements() as ran:
        again = read(bench, rules)
    assert (revisions(first), len(verified), len(ran)) == ([1], 1, 1)
    assert again.profiles[0] is first.profiles[0] and again.rollout is None
    with bench.store.writing() as tx:
        tx.raise_revision()
    assert read(bench, rules).profiles[0] is first.profiles[0], (
        "what changed of people or machines is nothing to it"
    )


def test_a_new_profile_counts_at_once_and_nothing_is_verified_twice(bench, rules, verified):
    read(bench, rules)
    with bench.store.writing() as tx:
        add_profile(tx, bench.keys, toml(2))
    verified.clear()
    assert revisions(read(bench, rules)) == [2]
    brought(bench, 3)
    verified.clear()
    assert revisions(read(bench, rules)) == [2, 3]
    assert len(verified) == 1, "the one that is in force was verified before"


def test_a_revoked_signer_counts_no_more_at_once(bench, rules):
    read(bench, rules)
    with bench.store.writing() as tx:
        revoke_signer(tx, bench.keys, bench.keys.signing["profile"].certificate, "stolen")
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            read(bench, rules)
        assert (
            refused.value.reason == Reason.PROFILE_INVALID
            and "stolen" in refused.value.failures[0].actual
        )


def test_a_signer_whose_certificate_ends_counts_no_more(bench, rules):
    read(bench, rules)
    ends = bench.keys.signing["profile"].certificate.not_valid_after_utc
    life = ends - from_ms(bench.clock()) + timedelta(seconds=1)
    bench.clock.pass_s(life.total_seconds())
    with pytest.raises(Refused) as refused:
        read(bench, rules)
    assert refused.value.reason == Reason.CERTIFICATE_EXPIRED
    bench.clock.pass_s(-life.total_seconds())
    assert revisions(read(bench, rules)) == [1]


def test_nothing_counts_under_another_root(bench, rules, tmp_path):
    read(bench, rules)

    class Ring:
        keys = found_fleet(tmp_path / "other", "plant")

    with pytest.raises(Refused) as refused:
        read(bench, rules, fleet=dataclasses.replace(bench.fleet, ring=Ring()))
    assert refused.value.reason == Reason.CERTIFICATE


def test_what_an_undone_transaction_saw_is_not_remembered(bench, rules):
    read(bench, rules)
    with pytest.raises(ZeroDivisionError), bench.store.writing() as tx:
        add_profile(tx, bench.keys, toml(2))
        assert revisions(rules.for_device(tx, bench.fleet, CAMERA)) == [2], "it sees its own"
        raise ZeroDivisionError
    assert revisions(read(bench, rules)) == [1]
    with bench.store.writing() as tx:  # raises the revision to the same number
        add_profile(tx, bench.keys, toml(3))
    assert revisions(read(bench, rules)) == [3]


def test_a_profile_that_was_edited_in_the_store_is_noticed_when_it_is_read(bench, rules):
    read(bench, rules)
    bench.sql("UPDATE profiles SET envelope = ? WHERE name = 'simulated-camera'", sealed(bench, 9))
    assert revisions(read(bench, rules)) == [1], "what was verified before stands"
    with bench.store.writing() as tx:
        tx.raise_firmware_revision()
    with pytest.raises(Refused) as refused:
        read(bench, rules)
    assert refused.value.reason == Reason.PROFILE_INVALID
    bench.sql("DELETE FROM profiles WHERE name = 'simulated-camera'")
    with pytest.raises(Refused) as refused:
        read(bench, FirmwareRules())
    assert refused.value.reason == Reason.PROFILE_MISSING


def test_a_device_that_joins_while_a_rollout_runs_comes_last_and_reading_writes_nothing(
    bench, rules
):
    record = brought(bench)
    accepted = read(bench, rules)
    assert revisions(accepted) == [1, 2] and accepted.rollout.device.step == PLAN.steps - 1
    with bench.store.reading() as tx:
        assert tx.rollouts.device(record.id, CAMERA.id) is None


def test_what_a_rollout_came_to_counts_at_once(bench, rules):
    record = brought(bench)
    read(bench, rules)
    for _ in range(PLAN.steps):
        bench.clock.pass_s(61)
        with bench.store.writing() as tx:
            tick_all(tx)
    enforced = read(bench, rules)
    assert revisions(enforced) == [2, 1] and enforced.rollout.record.state == RolloutState.ENFORCED
    with bench.store.writing() as tx:
        change_rollout(tx, tx.rollouts.find(record.id), "retire", "t")
    retired = read(bench, rules)
    assert revisions(retired) == [2] and retired.rollout is None


def test_an_aborted_rollout_is_read_for_those_it_had_reached_and_no_others(bench, rules, verified):
    record = brought(bench)
    with bench.store.writing() as tx:
        change_rollout(tx, record, "abort", "t")
    verified.clear()
    assert revisions(read(bench, rules)) == [1] and len(verified) == 1
    with bench.store.writing() as tx:
        seen = place_in(tx, record, CAMERA)
        tx.rollouts.put_device(dataclasses.replace(seen, seen=Seen.UPDATED))
    assert revisions(read(bench, rules)) == [1, 2]


def test_what_was_seen_of_a_rollout_that_moved_meanwhile_is_looked_at_again(bench, rules):
    record = brought(bench)
    accepted = read(bench, rules)
    with bench.store.writing() as tx:
        change_rollout(tx, record, "pause", "t")
    affirmed = {accepted.rollout.old.sha256: False, accepted.rollout.new.sha256: False}
    with pytest.raises(Moved), bench.store.writing() as tx:
        accepted.rollout.note(tx, accepted.rollout.look(affirmed))
    again = read(bench, rules)
    with bench.store.writing() as tx:
        again.rollout.note(tx, again.rollout.look(affirmed))
    with bench.store.reading() as tx:
        assert (
            tx.rollouts.find(record.id).state,
            tx.rollouts.device(record.id, CAMERA.id).seen,
        ) == (RolloutState.PAUSED, Seen.FAILED)


def test_allowlists_are_parsed_once_and_one_that_was_edited_is_noticed(bench, rules):
    profile = read(bench, rules).profiles[0].profile
    (digest,) = profile.ima.allowlists
    with bench.store.reading() as tx:
        assert rules.allowlists(tx, [profile])[digest] is rules.allowlists(tx, [profile])[digest]
    with bench.store.writing() as tx:
        other = tx.evidence.add_allowlist(allowlist_of("other", "1"), 1)
    bench.sql(
        "UPDATE allowlists SET content = (SELECT content FROM allowlists WHERE sha256 = ?) WHERE"
        " sha256 = ?",
        other.digest,
        digest,
    )
    with bench.store.reading() as tx, pytest.raises(Refused) as refused:
        FirmwareRules().allowlists(tx, [profile])
    assert refused.value.reason == Reason.ALLOWLIST
    bench.sql("DELETE FROM allowlists")
    with bench.store.reading() as tx:
        assert FirmwareRules().allowlists(tx, [profile]) == {}, "one that is gone is not there"
        assert digest in rules.allowlists(tx, [profile])


def test_what_is_remembered_is_bounded(bench, rules):
    loaded = read(bench, rules).profiles[0]
    profiles, lists, counts = (
        InMemoryProfiles(most=2),
        InMemoryAllowlists(most=1),
        InMemoryAtRevision(most=2),
    )
    for n in range(5):
        profiles.keep(bytes([n]), loaded)
        counts.keep(str(n), 7, n)
    assert [profiles.get(bytes([n])) is loaded for n in range(5)] == [
        False,
        False,
        False,
        True,
        True,
    ]
    assert [counts.get(str(n), 7) for n in range(5)] == [None, None, None, 3, 4] and counts.get(
        "4", 8
    ) is None
    with bench.store.writing() as tx:
        for name in ("a", "b"):
            lists.keep(last := tx.evidence.add_allowlist(allowlist_of(name, "1"), 1))
    assert lists.get(last.digest) is last
    counts.keep("0", 0, 1)
    assert counts.get("0", 0) is None
