"""N248: a machine whose attestation does not go takes nobody along of those that are answered
together with it; N07: a challenge that is answered twice at once.
"""

import pytest

from framegate.errors import FramegateError, Reason
from framegate.evidence.challenge import open_state
from framegate.machines.lifecycle import Event as Edge
from framegate_controller.fleet.attestation import OfferedEvidence
from framegate_controller.fleet.together import AskedChallenge, Together
from support.at_once import NAMES, STRANGER, Machines, device_of, said


@pytest.fixture
def machines(bench):
    return Machines(bench)


WRONG = {
    "a stranger's challenge": (lambda m: AskedChallenge(STRANGER, b""), Reason.CERTIFICATE),
    "no Hello": (lambda m: AskedChallenge(m.key("cam1"), b"?"), Reason.MALFORMED),
    "a stranger's evidence": (
        lambda m: OfferedEvidence(STRANGER, m.offer("cam1").state, b"?"),
        Reason.CERTIFICATE,
    ),
    "a made up challenge": (
        lambda m: OfferedEvidence(m.key("cam1"), b"made up", b"?"),
        Reason.SESSION_UNKNOWN,
    ),
    "another's challenge": (
        lambda m: OfferedEvidence(m.key("cam1"), m.offer("cam2").state, b"?"),
        Reason.SESSION_UNKNOWN,
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_n248_who_is_refused_takes_nobody_along(bench, machines, wrong):
    make, reason = WRONG[wrong]
    offers = [machines.offer("cam1"), make(machines), machines.offer("cam3")]
    assert [said(o) for o in bench.told(offers)] == ["trusted", reason, "trusted"]
    assert machines.attested() == [device_of("cam1"), device_of("cam3")]


def test_n248_evidence_that_is_none_moves_nobody_and_takes_nobody_along(bench, machines):
    bad = machines.offer("cam2")
    bad = OfferedEvidence(bad.key_sha256, bad.state, b"no evidence")
    told = bench.told([machines.offer("cam1"), bad, machines.offer("cam3")])
    assert [said(o) for o in told] == ["trusted"] * 3
    assert [bool(o.answer.failures) for o in told] == [False, True, False]
    assert told[1].answer.certificate is None
    assert machines.attested() == [device_of("cam1"), device_of("cam3")]


def test_n248_who_moved_meanwhile_is_looked_at_again_and_the_others_are_not_moved(bench, machines):
    told = Together(bench.verifier).answer([machines.offer(name) for name in NAMES])
    assert next(told) == {}
    bench.move(Edge.QUARANTINE, device_of("cam2"))
    outcomes = next(told)
    assert [said(outcomes[place]) for place in range(3)] == ["trusted", "quarantined", "trusted"]
    assert outcomes[1].answer.certificate is None
    assert bench.state(device_of("cam2")) == "quarantined"
    assert machines.attested() == [device_of("cam1"), device_of("cam3")]


def test_n248_who_retired_meanwhile_is_refused_and_the_others_are_answered(bench, machines):
    told = Together(bench.verifier).answer([machines.offer(name) for name in NAMES])
    next(told)
    bench.move(Edge.RETIRE, device_of("cam1"))
    outcomes = next(told)
    assert isinstance(outcomes[0], FramegateError)
    assert [said(outcomes[place]) for place in (1, 2)] == ["trusted", "trusted"]


def test_n07_one_challenge_that_is_answered_twice_at_once_counts_once(bench, machines):
    offer = machines.offer("cam1")
    outcomes = bench.told([offer, offer])
    assert [said(o) for o in outcomes] == ["trusted", Reason.SESSION_UNKNOWN]
    assert machines.attested() == [device_of("cam1")]


def test_n07_a_challenge_that_another_controller_was_answered_counts_there_alone(bench, machines):
    offers = [machines.offer("cam1"), machines.offer("cam2")]
    told = Together(bench.verifier).answer(offers)
    next(told)
    key = bench.verifier._challenges._key
    session = open_state(key, offers[1].state, bench.clock()).session
    with bench.store.writing() as tx:
        tx.challenges.spend(session, bench.clock() + 60_000)
    outcomes = next(told)
    assert [said(outcomes[place]) for place in (0, 1)] == ["trusted", Reason.SESSION_UNKNOWN]
    assert machines.attested() == [device_of("cam1")]
