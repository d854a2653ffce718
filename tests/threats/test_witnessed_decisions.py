"""N203: a controller that shows somebody another history; N204: a witness that was put back, or is
run twice; N205: what nobody logged reaches a gateway or a camera.
"""

import shutil
from dataclasses import replace

import pytest

from framegate.errors import FramegateError, Reason, Refused
from framegate.record.merkle import consistency_path, data_tree
from framegate.signed.pin import parse_pin
from framegate.transparency.cosignature import cosign
from framegate.transparency.decision import Decision, Kind, Named
from framegate.transparency.following import LogAnswer
from framegate.transparency.head import TreeHead, parse_head, sign_head
from framegate.transparency.note import parse_note
from framegate.transparency.proof import Inclusion
from framegate.transparency.submission import Submission
from framegate.transparency.witnessing import Declined
from framegate_controller.inspection.models import sign_pins_anew
from framegate_controller.people.policies import sign_policy_anew
from framegate_gateway.trust.access import AccessView
from framegate_gateway.trust.feed import TrustView
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_witness.state import WitnessState
from support.decided import Decided, fork_files
from support.refusals import refused, refused_with


@pytest.fixture
def served(decided: Decided):
    """A gateway that demands two of two, and serves: policy, approval and pin are cosigned."""
    decided.promote(decided.approve())
    decided.cosign()
    view = decided.gateway()
    assert not view.admit(decided.access())  # nothing is proved before it asked
    decided.show(view)
    assert view.admit(decided.access())
    view.require(decided.bench.clock())
    return view


def twin_history(
    decided: Decided, *, at: int, size: int, proved: bool = False
) -> tuple[TreeHead, LogAnswer]:
    """Another history that goes on from the real one's first `at` entries to `size`, signed with
    the fleet's real log key and cosigned by both witnesses' real keys: what a controller could show
    whoever it likes, had it also won the witnesses over. `proved`: with the proof that it goes on.
    """
    with decided.bench.store.reading() as tx:
        kept = tx.decisions.entries(0, at)
    false = [
        Decision(kind=Kind.MODEL, subject="false", version=n, sha256="00" * 32, at_ms=n).data
        for n in range(size - at)
    ]
    tree = data_tree([*kept, *false])
    head = TreeHead(decided.key.name, size, tree.root)
    note = sign_head(head, decided.key, decided.bench.keys.signing["log"].sign)
    now_s = decided.bench.clock() // 1000
    for witness in decided.witnesses:
        state = witness.server.state
        note += cosign(head.text, witness.name, state._key, now_s).encode()
    inclusion = Inclusion(false[-1], size - 1, tuple(tree.path(size - 1)))
    certificate = decided.bench.keys.signing["log"].der
    growth = consistency_path(at, size, tree.node) if proved else ()
    answer = LogAnswer(
        note=note, certificate=certificate, growth=tuple(growth), inclusions=(inclusion,)
    )
    return head, answer


# --- N203 ---


@pytest.mark.parametrize("grown", [0, 1, 5], ids=lambda n: f"{n} longer")
def test_n203_another_history_is_refused_by_who_saw_the_first_and_kept_as_evidence(
    decided, served, tmp_path, grown
):
    size = served.log.seen.size
    _, answer = twin_history(decided, at=size - 1, size=size + grown)
    root, now_ms = decided.bench.keys.root.certificate, decided.bench.clock()
    with refused_with(Refused, Reason.LOG_FORKED):
        served.log.take(answer, root, now_ms)
    assert served.log.seen.size == size
    (both,) = fork_files(tmp_path)
    heads = [parse_head(parse_note(both[n].encode()).text) for n in ("seen", "shown")]
    assert heads[0].root != heads[1].root
    assert heads[1].size == size + grown
    served.require(now_ms)  # what was proved stays proved: the fork makes nothing untrue


@pytest.mark.parametrize(
    ("seen", "good"),
    [("log.plant.framegate/0", True), ("log.plant.framegate/1", False), ("log.other/0", False)],
)
def test_n203_after_a_restoration_the_log_of_before_counts_no_more(decided, served, seen, good):
    """It is cosigned as well as it ever was: what came after it was seen already."""
    size = served.log.seen.size
    head, answer = twin_history(decided, at=size, size=size + 1, proved=True)
    assert head.origin == "log.plant.framegate/0"
    served.log._seen = replace(served.log.seen, origin=seen)
    root, now_ms = decided.bench.keys.root.certificate, decided.bench.clock()
    if good:
        served.log.take(answer, root, now_ms)
    else:
        with refused_with(Refused, Reason.LOG_FORKED):
            served.log.take(answer, root, now_ms)


def test_n203_a_history_that_became_shorter_is_refused_after_a_restart_too(decided, served):
    size = served.log.seen.size
    _, answer = twin_history(decided, at=1, size=size - 1)
    again = decided.gateway()  # the same folder
    with refused_with(Refused, Reason.NOT_COSIGNED):
        again.log.take(answer, decided.bench.keys.root.certificate, decided.bench.clock())


def test_n203_witnesses_do_not_cosign_a_second_history_and_keep_both_heads(decided, served):
    size = decided.size
    forked = Submission(size, (), parse_note(decided.forked_head(size)))
    for witness in decided.witnesses:
        reply = witness.ask(forked.body)
        assert (reply.status, reply.body) == (409, b"%d\n" % size)
        (both,) = fork_files(witness.folder)
        assert parse_head(parse_note(both["submitted"].encode()).text).root == b"\x07" * 32
        longer = Submission(size, (b"\1" * 32,), parse_note(decided.forked_head(size + 1)))
        assert witness.ask(longer.body).status == 422


def test_n203_a_head_that_too_few_cosigned_is_not_relied_on(decided):
    decided.promote(decided.approve())
    decided.cosign(0)
    view = decided.gateway()
    view.admit(decided.access())
    with refused_with(Refused, Reason.NOT_COSIGNED):
        decided.show(view)
    assert not view.admit(decided.access())
    one = decided.gateway("another", least=1)
    one.admit(decided.access())
    decided.show(one)
    assert one.admit(decided.access())


def test_n203_one_witness_under_two_names_does_not_count_twice(decided):
    first = decided.witnesses[0].key
    assert refused(lambda: replace(decided.quorum(), witnesses=(first, first))) == Reason.MALFORMED
    named = replace(first, name="witness.example/other")
    assert refused(lambda: replace(decided.quorum(), witnesses=(first, named))) == Reason.MALFORMED


@pytest.mark.parametrize("clock", ["the controller's", "its own"])
def test_n203_a_head_that_is_kept_back_grows_stale_by_either_clock(
    decided, served, clock, monkeypatch
):
    later_ms = decided.bench.clock() + 7_300_000
    now_ms = later_ms if clock == "the controller's" else decided.bench.clock()
    if clock == "its own":  # the controller says that no time passed
        monkeypatch.setattr(
            "framegate_host.cosigned_log.time.time_ns", lambda: later_ms * 1_000_000
        )
    with refused_with(Refused, Reason.NOT_COSIGNED):
        served.require(now_ms)


def test_n203_a_witness_that_saw_another_history_is_told_of_as_a_finding(decided, bench):
    decided.cosign()
    size = decided.size
    stranger = decided.forked_head(size + 4)
    witness = decided.witnesses[0]
    state = witness.server.state
    # somebody with the log's key showed this witness a history of their own
    longer = data_tree([b"x"] * (size + 4))
    head = TreeHead(decided.key.name, size + 4, longer.root)
    note = parse_note(sign_head(head, decided.key, bench.keys.signing["log"].sign))
    state._last[decided.key.name] = replace(
        state._last[decided.key.name], head=head, note=note.data
    )
    assert stranger
    decided.approve()
    decided.cosign()
    (event,) = bench.events("log-forked")
    assert f"cosigned {size + 4} decisions" in event["detail"]
    assert event["members"]["witness"] == witness.name
    decided.cosign()
    assert len(bench.events("log-forked")) == 1  # told once


# --- N204 ---


def test_n204_a_witness_that_was_put_back_is_told_of_and_fools_nobody_who_saw_more(
    decided, served, bench, tmp_path
):
    witness = decided.witnesses[0]
    witness.stop()
    shutil.copytree(witness.folder, tmp_path / "old")
    witness.start()
    decided.promote(decided.approve("cd" * 32, 2))
    decided.cosign()
    decided.show(served)
    size = served.log.seen.size
    witness.stop()
    shutil.rmtree(witness.folder)
    shutil.copytree(tmp_path / "old", witness.folder)
    witness.start()
    # it would cosign another history now, which who saw the first refuses
    before = witness.server.state._last[decided.key.name].head
    assert before.size < size
    bench.clock.pass_s(4_000)  # it is asked again
    decided.cosign()
    (event,) = bench.events("witness-behind")
    assert event["detail"] == (f"{witness.name}: cosigned {size} decisions, knows of {before.size}")
    _, answer = twin_history(decided, at=before.size, size=size)
    with refused_with(Refused, Reason.LOG_FORKED):
        served.log.take(answer, bench.keys.root.certificate, bench.clock())


def test_n204_a_witness_with_a_second_place_for_heads_does_not_start_from_an_old_copy(
    decided, tmp_path
):
    witness, also = decided.witnesses[0], tmp_path / "other-disk"
    witness.stop()
    witness.start(also)
    decided.cosign()
    witness.stop()
    shutil.copytree(witness.folder, tmp_path / "old")
    witness.start(also)
    decided.approve()
    decided.cosign()
    witness.stop()
    shutil.rmtree(witness.folder)
    shutil.copytree(tmp_path / "old", witness.folder)
    assert refused(lambda: WitnessState(witness.folder, also), Refused) == Reason.WITNESS_BEHIND
    WitnessState(witness.folder).close()  # without the second place nobody could tell


def test_n204_a_folder_has_one_witness(decided):
    witness = decided.witnesses[0]
    assert refused(lambda: WitnessState(witness.folder), Refused) == Reason.CONFLICT
    witness.stop()
    WitnessState(witness.folder).close()


def test_n204_the_head_is_on_the_disk_before_the_cosignature_leaves(decided, monkeypatch):
    decided.cosign()
    witness = decided.witnesses[0]
    state, before = witness.server.state, witness.server.state._last[decided.key.name]

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("framegate_host.private_files._replace", full)
    decided.approve()
    reply = []
    decided.turns[0] = decided.cosigning(
        witness, lambda body: reply.append(witness.ask(body)) or reply[-1]
    )
    decided.cosign(0)
    assert [r.status for r in reply] == [503]
    assert state._last[decided.key.name] == before
    monkeypatch.undo()
    decided.cosign(0)
    assert state._last[decided.key.name].head.size == decided.size


def test_n204_a_clock_that_went_back_signs_nothing(decided):
    decided.cosign()
    witness = decided.witnesses[0]
    witness.server.state._clock = lambda: 1_000.0
    decided.approve()
    decided.cosign(0)
    with decided.bench.store.reading() as tx:
        failing = {w.witness: w.error for w in tx.decisions.witnesses()}
    assert "503" in failing[witness.key.text]


# --- N205 ---


def test_n205_a_pin_and_a_policy_are_in_force_once_they_are_cosigned_and_not_before(
    decided, served
):
    access = decided.access()
    decided.promote(decided.approve("cd" * 32, 2))
    with decided.bench.store.writing() as tx:
        sign_policy_anew(tx, decided.bench.keys, "again")
    told = decided.access()
    assert served.admit(told)
    assert (told.policy, told.model_pin) == (access.policy, access.model_pin)  # those before
    assert served.waiting == "the access policy and the model pin"
    decided.cosign()
    decided.show(served)
    again = served.again()
    assert again is not None
    assert served.admit(again)
    assert parse_pin(again.model_pin).model_sha256 == "cd" * 32
    assert (again.policy, served.waiting) == (decided.access().policy, "")


def unlogged(decided: Decided) -> None:
    """A pin that somebody with the model key put into the registry past the log."""
    with decided.bench.store.writing() as tx:
        append, tx.decisions.append = tx.decisions.append, lambda _: 0
        sign_pins_anew(tx, decided.bench.keys)
        tx.decisions.append = append


def test_n205_a_pin_past_the_log_is_never_in_force(decided, served):
    before = decided.access().model_pin
    unlogged(decided)
    decided.cosign()
    decided.show(served)
    told = decided.access()
    assert told.model_pin != before
    assert served.admit(told)
    assert (told.model_pin, served.waiting) == (before, "the model pin")
    fresh = decided.gateway("fresh")  # which has nothing to go on with
    fresh.admit(decided.access())
    decided.show(fresh)
    assert not fresh.admit(decided.access())
    with pytest.raises(Refused) as caught:
        fresh.require(decided.bench.clock())
    assert caught.value.reason == Reason.NOT_COSIGNED
    assert "framegate log show" in caught.value.failures[0].hint


def test_n205_a_logged_pin_of_a_model_that_nobody_approved_is_refused(decided, bench):
    model = decided.approve()
    with bench.store.writing() as tx:
        tx.decisions.append(  # it is another one that was approved
            Decision(kind=Kind.MODEL, subject="x", version=1, sha256="11" * 32, at_ms=1)
        )
    decided.promote(replace(model, digest="22" * 32))
    decided.cosign()
    view = decided.gateway()
    view.admit(decided.access())
    decided.show(view)
    assert not view.admit(decided.access())
    assert Named(Kind.MODEL, "22" * 32) in view.log.wanted


def test_n205_a_zone_without_a_pin_runs_nothing(decided):
    decided.cosign()
    view = decided.gateway()
    view.admit(decided.access())
    decided.show(view)
    assert not view.admit(decided.access())
    assert refused(lambda: view.require(decided.bench.clock())) == Reason.NOT_COSIGNED


def test_n205_a_device_under_a_profile_past_the_log_is_not_trusted(decided, served):
    now_ms = decided.bench.clock()
    with refused_with(Refused, Reason.NOT_COSIGNED):
        served.require_profile("camera.line-1.cam1", "5c" * 32, now_ms)
    with decided.bench.store.reading() as tx:
        logged = tx.profiles.revisions()[0].sha256.hex()
    with refused_with(Refused, Reason.NOT_COSIGNED):
        served.require_profile("camera.line-1.cam1", logged, now_ms)  # it has to ask first
    decided.show(served)
    served.require_profile("camera.line-1.cam1", logged, now_ms)


def test_n205_the_gate_is_closed_until_a_witness_saw_what_the_feed_says(decided, tmp_path):
    decided.promote(decided.approve())
    root = lambda: decided.bench.keys.root.certificate  # noqa: E731 - as the process has it
    view = TrustView(None, AccessView(None, root), monotonic=lambda: 0.0)
    view.decided = decided.gateway()
    view.apply(pb.TrustUpdate(revision=1, snapshot=True, access=decided.access()))
    assert not view.open
    assert view.undecided[0].reason == Reason.NOT_COSIGNED
    with refused_with(Refused, Reason.NOT_COSIGNED):
        view.require("camera.line-1.cam1")
    assert view.access.policy is None
    decided.cosign()
    decided.show(view.decided)
    view.proved()
    assert view.open
    assert view.access.policy is not None
    assert refused(lambda: view.require("camera.line-1.cam1")) == Reason.DEVICE_UNKNOWN


def test_n205_what_is_proved_counts_as_no_heartbeat(decided):
    decided.promote(decided.approve())
    root = lambda: decided.bench.keys.root.certificate  # noqa: E731 - as the process has it
    now = [0.0]
    view = TrustView(None, AccessView(None, root), monotonic=lambda: now[0])
    view.decided = decided.gateway()
    view.apply(pb.TrustUpdate(revision=1, snapshot=True, access=decided.access()))
    decided.cosign()
    decided.show(view.decided)
    now[0] = 60.0
    view.proved()
    assert not view.open  # the feed is silent, whatever the log says


def test_n205_an_entry_under_another_tree_proves_nothing(decided, served):
    answer = decided.answer(decided.gateway("asks").log)
    entry = Decision(kind=Kind.MODEL, subject="x", version=1, sha256="33" * 32, at_ms=1).data
    forged = Inclusion(entry, 0, answer.inclusions[0].path if answer.inclusions else ())
    with refused_with(Refused, Reason.NOT_COSIGNED):
        served.log.take(
            replace(answer, inclusions=(forged,)),
            decided.bench.keys.root.certificate,
            decided.bench.clock(),
        )
    assert not served.log.want(Named(Kind.MODEL, "33" * 32))


def test_n205_a_log_under_a_key_of_another_purpose_is_refused(decided, served):
    answer = decided.answer(served.log)
    for label in ("model", "policy"):
        key = decided.bench.keys.signing[label]
        with pytest.raises(FramegateError):
            served.log.take(
                replace(answer, certificate=key.der),
                decided.bench.keys.root.certificate,
                decided.bench.clock(),
            )


# --- the plant goes on ---


def test_a_dead_witness_is_asked_again_aloud_and_blocks_who_needs_it_alone(decided, bench):
    decided.witnesses[1].stop()
    decided.promote(decided.approve())
    decided.cosign()
    decided.cosign()
    (failed,) = bench.events("witness-failed")
    assert failed["members"]["witness"] == "witness.example/w2"
    needs_one, needs_both = decided.gateway("one", least=1), decided.gateway("both")
    for view in (needs_one, needs_both):
        view.admit(decided.access())
    decided.show(needs_one)
    assert needs_one.admit(decided.access())
    assert refused(lambda: decided.show(needs_both)) == Reason.NOT_COSIGNED
    decided.witnesses[1].start()
    decided.cosign()
    assert [e["members"]["decisions"] for e in bench.events("witness-back")] == [decided.size]
    decided.show(needs_both)
    assert needs_both.admit(decided.access())


def test_a_decision_and_its_entry_are_one_transaction(decided, bench):
    size = decided.size
    with pytest.raises(RuntimeError), bench.store.writing() as tx:
        sign_policy_anew(tx, bench.keys, "again")
        assert tx.decisions.size() == size + 1
        raise RuntimeError
    assert decided.size == size


def test_declined_says_what_the_witness_knows(decided):
    decided.cosign()
    state = decided.witnesses[0].server.state
    note = parse_note(decided.forked_head(decided.size))
    with pytest.raises(Declined) as caught:
        state.cosign(Submission(decided.size, (), note))
    assert (caught.value.status, caught.value.size, caught.value.forked) == (
        409,
        decided.size,
        True,
    )
