"""N27 and the lifecycle: whatever order of events, trust comes only from fresh affirming
evidence.
"""

import contextlib
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framegate.errors import FramegateError, Reason, Refused
from framegate.identity.names import DeviceId
from framegate.machines import ca, model, request, ticket
from framegate.machines.lifecycle import TABLE, Event, State, step
from framegate.registry.ticket import Ticket
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
        if before in {State.SUSPECT, State.QUARANTINED} and state not in {
            State.SUSPECT,
            State.QUARANTINED,
            State.RETIRED,
        }:
            back = {
                Event.RELEASE: State.STALE,
                Event.RECONSIDERED: State.STALE,
                Event.REPLACED: State.INVITED,
            }
            assert state == back.get(event) and (before == State.SUSPECT or event == Event.RELEASE)


def test_every_state_but_retired_has_a_way_on_and_retire_is_always_possible():
    assert {s for s, _ in TABLE} == set(State) - {State.RETIRED}
    assert all((s, Event.RETIRE) in TABLE for s in set(State) - {State.RETIRED})


MACHINES = {
    "ticket": (
        ticket,
        ticket.TicketState,
        ticket.TicketEvent,
        ticket.TicketState.OPEN,
        {ticket.TicketState.USED, ticket.TicketState.EXPIRED},
    ),
    "request": (
        request,
        request.RequestState,
        request.RequestEvent,
        request.RequestState.PENDING,
        set(request.RequestState) - {request.RequestState.PENDING, request.RequestState.APPROVED},
    ),
    "model": (model, model.ModelState, model.ModelEvent, model.ModelState.REGISTERED, set()),
    "ca": (
        ca,
        ca.GenerationState,
        ca.GenerationEvent,
        ca.GenerationState.COMING,
        {ca.GenerationState.FORGOTTEN},
    ),
}
"""Module, states, events, where it begins, and the states without a way out."""


def walked(name, events):
    """Every (state, event, next state) of a machine on its way through `events`; what its table
    does not have is refused and moves nothing.
    """
    machine, _, _, state, _ = MACHINES[name]
    for happens in events:
        try:
            after = machine.step(state, happens)
        except Refused as error:
            assert (state, happens) not in machine.TABLE and error.reason in {
                Reason.TRANSITION,
                Reason.CONFLICT,
            }
        else:
            assert after == machine.TABLE[state, happens]
            yield state, happens, after
            state = after


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_reaches_every_state_and_leaves_all_but_its_last_ones(name):
    machine, states, events, first, last = MACHINES[name]
    reached, asked = {first}, {first}
    while asked:
        at = asked.pop()
        unseen = {after for (before, _), after in machine.TABLE.items() if before == at} - reached
        reached, asked = reached | unseen, asked | unseen
    by_time = {ticket.TicketState.EXPIRED} if name == "ticket" else set()
    assert reached == set(states) - by_time, "a ticket that ran out is so by the clock"
    assert {s for s, _ in machine.TABLE} == set(states) - last
    assert {e for _, e in machine.TABLE} == set(events), "an event that moves nothing is none"


@given(st.lists(st.sampled_from(list(ticket.TicketEvent)), max_size=12))
def test_a_ticket_is_used_at_most_once_and_by_nobody_after_that(events):
    steps = list(walked("ticket", events))
    assert [h for _, h, _ in steps].count(ticket.TicketEvent.USE) <= 1
    assert all(before != ticket.TicketState.USED for before, _, _ in steps)


@given(st.lists(st.sampled_from(list(request.RequestEvent)), max_size=12))
def test_a_request_counts_once_whatever_happens_to_it(events):
    steps = list(walked("request", events))
    ends = [after for _, _, after in steps if after in MACHINES["request"][4]]
    assert len(ends) <= 1 and (not ends or steps[-1][2] == ends[0])
    for before, happens, after in steps:
        assert after != request.RequestState.ENDED or before == request.RequestState.APPROVED
        assert happens != request.RequestEvent.REOPEN or (before, after) == (
            request.RequestState.APPROVED,
            request.RequestState.PENDING,
        )


@given(st.lists(st.sampled_from(list(model.ModelEvent)), max_size=12))
def test_a_model_is_approved_only_by_an_approval_that_was_not_withdrawn(events):
    state = model.ModelState.REGISTERED
    for _, happens, state in walked("model", events):
        assert (state == model.ModelState.APPROVED) == (happens == model.ModelEvent.APPROVE)
    assert state in model.ModelState


@given(st.lists(st.sampled_from(list(ca.GenerationEvent)), max_size=12))
def test_a_generation_of_a_ca_goes_one_way_and_signs_once(events):
    states = [after for _, _, after in walked("ca", events)]
    assert states == list(ca.GenerationState)[1 : len(states) + 1]


@given(st.integers(0, 100), st.integers(1, 50))
def test_a_ticket_held_for_one_tpm_is_open_again_when_its_reservation_ran_out(now, life):
    reserved = Ticket(
        code_sha256=b"c", device=DeviceId("camera.line-1.cam1"), ek_sha256=None, expires_ms=1_000
    ).reserved(b"ek", now, life)
    assert (
        reserved.state(now) == ticket.TicketState.RESERVED
        and reserved.state(now + life) == ticket.TicketState.OPEN
    )
    assert reserved.state(1_001) == ticket.TicketState.EXPIRED
    used = reserved.used(now + life)
    assert used.state(1_001) == ticket.TicketState.USED, "used for good"
    for again in (
        lambda: used.used(now),
        lambda: used.reserved(b"ek", now, life),
        lambda: reserved.used(1_001),
    ):
        with pytest.raises(Refused):
            again()


STEPS = st.lists(
    st.sampled_from(
        ["begin", "begin-other", "complete", "wrong-mac", "replay", "tamper", "time", "restore"]
    ),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
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
                signed = bench.verifier.begin_join(hello, name)
                waiting.append((who, hello, signed))
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
                who, hello, signed = waiting.pop(0) if fresh else (spent or waiting)[-1]
                challenge = signed.challenge
                begun = Challenge.parse(challenge)
                late = bench.clock() > begun.issued_at_ms + 60_000
                mac, evidence = who.answer(bench.fleet.digest, hello, challenge)
                used = (who, hello, signed) in spent
                if fresh:
                    spent.append((who, hello, signed))
                answer = bench.verifier.complete_join(
                    signed.state, b"\0" * 32 if verb == "wrong-mac" else mac, evidence
                )
                joined = True
                if answer.certificate is not None:
                    assert (
                        who is forge
                        and not late
                        and not used
                        and verb != "wrong-mac"
                        and answer.state == State.TRUSTED
                    )
                    assert sound or Challenge.parse(challenge).hello_sha256
