"""N27 and the lifecycle: whatever order of events, trust comes only from fresh affirming evidence."""

import contextlib
import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framegate.errors import FramegateError, Reason, Refused
from framegate.machines.lifecycle import TABLE, Event, State, step
from framegate.wire import Challenge
from framegate_simulators.machine.boot import Firmware


@given(st.lists(st.sampled_from(list(Event)), max_size=30))
def test_no_path_to_trusted_but_a_fresh_affirming_result(events):
    state = State.INVITED
    for event in events:
        before = state
        try:
            state = step(state, event)
        except Refused as error:
            assert error.reason == Reason.TRANSITION
        if state == State.TRUSTED:
            assert event == Event.PROVED or before == State.TRUSTED
        if before == State.RETIRED:
            assert state == State.RETIRED
        if before in {State.SUSPECT, State.QUARANTINED} and state not in {State.SUSPECT, State.QUARANTINED, State.RETIRED}:
            back = {Event.RELEASE: State.STALE, Event.RECONSIDERED: State.STALE, Event.REPLACED: State.INVITED}
            assert state == back.get(event) and (before == State.SUSPECT or event == Event.RELEASE)


def test_every_state_but_retired_has_a_way_on_and_retire_is_always_possible():
    assert {s for s, _ in TABLE} == set(State) - {State.RETIRED}
    assert all((s, Event.RETIRE) in TABLE for s in set(State) - {State.RETIRED})


STEPS = st.lists(st.sampled_from(["begin", "begin-other", "complete", "wrong-mac", "replay", "tamper", "time", "restore"]), min_size=1, max_size=12)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(STEPS)
def test_n27_a_certificate_only_after_a_right_answer_to_a_live_challenge(bench, steps):
    name = f"cam-{os.urandom(6).hex()}"
    forge, stranger = bench.forge(), bench.forge()
    code = bench.invite(name, ek=forge.ek_sha256, code=os.urandom(16))
    waiting, spent, sound = [], [], True
    joined = False
    for verb in steps:
        with contextlib.suppress(FramegateError, ValueError):
            if verb in {"begin", "begin-other"}:
                who = forge if verb == "begin" else stranger
                hello = who.hello(b"" if joined else code)
                waiting.append((who, hello, bench.verifier.begin_join(hello, name).challenge))
            elif verb == "time":
                bench.clock.pass_s(61)
            elif verb == "tamper":
                forge.firmware = Firmware("simulated-camera").tampered()
                forge.boot()
                sound = False
            elif verb == "restore":
                forge.firmware = Firmware("simulated-camera")
                forge.boot()
                sound = True
            elif waiting or spent:
                fresh = verb != "replay" and bool(waiting)
                who, hello, challenge = waiting.pop(0) if fresh else (spent or waiting)[-1]
                begun = Challenge.parse(challenge)
                late = bench.clock() > begun.issued_at_ms + 60_000
                mac, proof = who.answer(bench.verifier.fleet, hello, challenge)
                used = (who, hello, challenge) in spent
                if fresh:
                    spent.append((who, hello, challenge))
                answer = bench.verifier.complete_join(begun.session, b"\0" * 32 if verb == "wrong-mac" else mac, proof)
                joined = True
                if answer.certificate is not None:
                    assert who is forge and not late and not used and verb != "wrong-mac" and answer.state == State.TRUSTED
                    assert sound or Challenge.parse(challenge).hello_sha256
