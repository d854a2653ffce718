"""What a controller does with what a witness answers, and what its log begins with."""

from dataclasses import replace

import pytest

from framegate.errors import Reason, Unavailable
from framegate.transparency.decision import Kind, parse_decision
from framegate.transparency.head import parse_head
from framegate.transparency.note import parse_note
from framegate.transparency.submission import parse_submission
from framegate_controller import bounded_http
from framegate_controller.clockwork.cosigning import AGAIN_MS, Reply
from framegate_controller.clockwork.witness_http import asking
from framegate_controller.record.decisions import (
    decisions_key,
    present_head,
    published_head,
    signed_head,
)
from framegate_controller.store.shared.decisions import begin_log
from framegate_controller.store.shared.restorations import add_restoration
from framegate_simulators.chaos.relay import Mode, Relays


def stands(decided, number: int = 0):
    with decided.bench.store.reading() as tx:
        by_key = {w.witness: w for w in tx.decisions.witnesses()}
    return by_key[decided.witnesses[number].key.text]


def kinds(decided) -> list[str]:
    with decided.bench.store.reading() as tx:
        return [parse_decision(e).kind for e in tx.decisions.entries(0, 1000)]


def answering(decided, *replies):
    """The first witness, asked through somebody who answers in its place."""
    asked, left = [], list(replies)

    def ask(body: bytes) -> Reply:
        asked.append(parse_submission(body))
        reply = left.pop(0) if left else decided.witnesses[0].ask(body)
        if isinstance(reply, Exception):
            raise reply
        return reply

    decided.turns[0] = decided.cosigning(decided.witnesses[0], ask)
    return asked


def test_every_decision_is_logged_as_what_it_is(decided):
    assert kinds(decided) == [Kind.POLICY, Kind.PROFILE, Kind.PROFILE]  # what a founding decides
    decided.promote(decided.approve())
    assert kinds(decided)[3:] == [Kind.MODEL, Kind.PIN]


def test_a_fleet_of_before_begins_its_log_with_what_is_in_force(decided):
    decided.promote(decided.approve())
    before = sorted(kinds(decided))
    with decided.bench.store.writing() as tx:
        rows = tx.rows
        from sqlalchemy import delete

        from framegate_controller.store.sql import decisions

        for table in (decisions._ENTRIES, decisions._NODES, decisions._HEADS):
            rows.run(delete(table))
        assert begin_log(tx) == len(before)
        assert begin_log(tx) == 0
    assert sorted(kinds(decided)) == before


def test_a_head_is_signed_once_for_each_size_and_asked_for_again_after_an_hour(decided):
    asked = answering(decided)
    decided.cosign(0)
    decided.cosign(0)
    assert [s.old for s in asked] == [0]
    decided.bench.clock.pass_s(AGAIN_MS / 1000 + 1)
    decided.cosign(0)
    assert [s.old for s in asked] == [0, decided.size]
    assert asked[0].note == asked[1].note
    assert not stands(decided).failing_ms


def test_a_witness_that_knows_the_log_already_says_from_where_it_wants_the_proof(decided):
    decided.cosign(0)
    decided.approve()
    with decided.bench.store.writing() as tx:  # a database that was moved lost what it knew
        tx.decisions.put_witness(replace(tx.decisions.witnesses()[0], origin="", size=0))
    asked = answering(decided)
    decided.cosign(0)
    assert [s.old for s in asked] == [0, 3]
    assert stands(decided).size == 4
    assert decided.bench.events("witness-behind") == []


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, "text/plain", b""),
        Reply(200, "text/plain", b"no signature\n"),
        Reply(200, "text/plain", b"\xff\xfe"),
        Reply(200, "text/plain", "— somebody.example AAAAAAAA\n".encode()),
        Reply(404, "text/plain", b"a log that is watched\n"),
        Reply(409, "text/plain", b"3\n"),  # no size by its media type
        Reply(409, "text/x.tlog.size", b"many\n"),
        Reply(301, "text/html", b""),
        Reply(500, "text/html", b"<html>" * 1000),
        Unavailable.of(Reason.UNAVAILABLE, "x", "refused"),
    ],
    ids=lambda r: f"{getattr(r, 'status', 'none')}-{len(getattr(r, 'body', b''))}",
)
def test_what_is_no_cosignature_is_a_failure_that_is_told_once(decided, reply):
    answering(decided, reply, reply)
    decided.cosign(0)
    decided.cosign(0)
    assert stands(decided).failing_ms
    assert len(decided.bench.events("witness-failed")) == 1
    decided.cosign(0)
    assert not stands(decided).failing_ms
    assert len(decided.bench.events("witness-back")) == 1


def test_a_witness_that_wants_another_proof_each_time_is_left_for_the_next_time(decided):
    sizes = [Reply(409, "text/x.tlog.size", b"%d\n" % n) for n in (1, 2, 1, 2)]
    asked = answering(decided, *sizes)
    decided.cosign(0)
    assert len(asked) == 3
    assert "another size each time" in stands(decided).error


def test_it_waits_longer_after_each_failure_in_a_row(decided):
    nobody = Unavailable.of(Reason.UNAVAILABLE, "x", "refused")
    asked = answering(decided, *[nobody] * 9)
    turn = decided.turns[0].turn
    for seconds, so_many in ((0, 1), (1, 1), (2, 2), (6, 2), (8, 3), (20, 3), (24, 4), (83, 4)):
        decided.seconds = seconds
        turn()
        assert len(asked) == so_many, seconds


def test_a_cosignature_by_another_key_of_that_name_is_none(decided):
    other = decided.witnesses[1]
    answering(decided, Reply(200, "text/plain", b""))
    decided.cosign(1)
    with decided.bench.store.reading() as tx:
        (one,) = tx.decisions.cosignatures(decided.key.name, decided.size)
    assert one.witness == other.key.text
    answering(decided, Reply(200, "text/plain", one.line.encode()))
    decided.cosign(0)
    assert "no cosignature of the key" in stands(decided).error


def test_a_head_is_published_with_enough_cosignatures_and_the_one_before_until_then(decided):
    keys = decided.bench.keys
    with decided.bench.store.reading() as tx:
        assert published_head(tx, keys, 1) is None
    decided.cosign()
    decided.approve()
    decided.cosign(0)
    with decided.bench.store.reading() as tx:
        assert published_head(tx, keys, 1).head.size == 4
        assert published_head(tx, keys, 2).head.size == 3
        assert published_head(tx, keys, 3) is None
        assert len(parse_note(published_head(tx, keys, 2).note).signatures) == 3
    with decided.bench.store.writing() as tx:
        assert present_head(tx, keys).head.size == 4


def test_after_a_restoration_the_log_is_another_and_witnesses_are_asked_from_nothing(
    decided, monkeypatch
):
    decided.cosign(0)
    keys = decided.bench.keys
    from framegate.signed.restoration import Restoration

    with decided.bench.store.writing() as tx:
        restoration = Restoration(
            fleet=keys.fleet,
            number=1,
            kept=1,
            kept_root="00" * 32,
            seen=1,
            revision=1,
            at_ms=tx.now_ms,
        )
        signer = keys.signing["log"]
        add_restoration(tx, restoration.seal(signer.der, signer.sign))
        assert decisions_key(tx, keys).name == "log.plant.framegate/1"
        head = parse_head(parse_note(signed_head(tx, keys)).text)
    assert (head.origin, head.size) == ("log.plant.framegate/1", 3)
    asked = answering(decided)
    decided.cosign(0)
    assert asked[0].old == 0
    assert "404" in stands(decided).error  # whose owner is asked to watch the new one


@pytest.mark.parametrize(
    "mode",
    [
        Mode.CUT,
        Mode.DELAY,
        pytest.param(Mode.HALF_OPEN, marks=pytest.mark.slow),
        pytest.param(Mode.ONE_WAY, marks=pytest.mark.slow),
    ],
)
def test_a_witness_whose_link_is_disturbed_catches_up_once_it_is_whole(decided, monkeypatch, mode):
    """The other goes on meanwhile; what a witness took and whose answer was lost is asked again."""
    far, _ = decided.witnesses
    with Relays() as relays:
        link = relays.tcp("127.0.0.1", 0, far.server.server_address)
        decided.turns[0] = decided.cosigning(far, asking(f"http://127.0.0.1:{link.port}"))
        decided.cosign()
        link.mode = mode
        decided.promote(decided.approve())
        with monkeypatch.context() as brief:
            if mode != Mode.DELAY:  # what is on its way is waited for, however long it takes
                brief.setattr(bounded_http, "TIMEOUT_S", 0.5)
                brief.setattr(bounded_http, "ALL_S", 1.0)
            decided.cosign(0)
        decided.cosign(1)
        assert stands(decided, 1).size == decided.size
        assert (stands(decided).size == decided.size) == (mode == Mode.DELAY)
        assert bool(stands(decided).failing_ms) == (mode != Mode.DELAY)
        link.mode = Mode.WHOLE
        decided.cosign()
        assert stands(decided).size == stands(decided, 1).size == decided.size
        assert not stands(decided).failing_ms
    view = decided.gateway()
    decided.show(view, least=2)
    assert view.log.seen.size == decided.size
