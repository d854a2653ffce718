"""What changes between the look at evidence of a join and its being written."""

from contextlib import contextmanager
from dataclasses import replace

import pytest

from framegate.errors import Reason, Refused
from framegate.machines.lifecycle import Event as Edge

CAM = "camera.line-1.cam1"


class Meanwhile:
    """A store in which `act` is done before the first transaction that writes."""

    def __init__(self, store, act):
        self._store, self._act = store, act
        self.reading = store.reading

    @contextmanager
    def writing(self):
        act, self._act = self._act, None
        if act is not None:
            act()
        with self._store.writing() as tx:
            yield tx


def joined(bench, forge, code, meanwhile):
    """The answer to evidence for which everything was well when it was looked at."""
    hello = forge.hello(code)
    begun = bench.verifier.begin_join(hello, "ipv4:10.0.0.1")
    mac, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge)
    bench.verifier.store = Meanwhile(bench.store, meanwhile)
    try:
        return bench.verifier.complete_join(begun.state, mac, evidence)
    finally:
        bench.verifier.store = bench.store


def refusal(bench, forge, code, meanwhile):
    with pytest.raises(Refused) as caught:
        joined(bench, forge, code, meanwhile)
    return caught.value.reason


def withdrawn(bench):
    with bench.store.writing() as tx:
        tx.tickets.remove_of(CAM)


def used_by_another(bench, code_sha256):
    with bench.store.writing() as tx:
        ticket = tx.tickets.get(code_sha256)
        assert ticket is not None
        tx.tickets.put(replace(ticket, used_ms=tx.now_ms))


def the_ticket(bench):
    with bench.store.reading() as tx:
        (ticket,) = tx.tickets.unused()
        return ticket.code_sha256


def test_a_ticket_that_was_withdrawn_meanwhile_lets_nobody_in(bench):
    forge = bench.forge()
    code = bench.invite(ek=forge.ek_sha256)
    assert refusal(bench, forge, code, lambda: withdrawn(bench)) == Reason.TICKET_USED
    assert bench.state() == "invited" and bench.device().tpm is None
    assert not bench.events("ticket-used")


def test_a_ticket_that_was_used_meanwhile_lets_nobody_in(bench):
    forge = bench.forge()
    code = bench.invite(ek=forge.ek_sha256)
    of = the_ticket(bench)
    assert refusal(bench, forge, code, lambda: used_by_another(bench, of)) == Reason.TICKET_USED
    assert bench.state() == "invited" and bench.device().tpm is None


def test_a_ticket_that_another_took_meanwhile_lets_nobody_in(bench):
    forge, other = bench.forge(), bench.forge()
    code = bench.invite()

    def taken():
        bench.clock.pass_s(61)
        bench.verifier.begin_join(other.hello(code), "ipv4:10.0.0.2")

    assert refusal(bench, forge, code, taken) == Reason.TICKET_USED
    assert bench.join(other, code).state == "pending"


def test_a_ticket_that_ended_meanwhile_lets_nobody_in(bench):
    forge = bench.forge()
    code = bench.invite(ek=forge.ek_sha256, life_s=600)
    assert refusal(bench, forge, code, lambda: bench.clock.pass_s(601)) == Reason.TRANSITION
    assert bench.state() == "invited" and not bench.events("ticket-used")


def test_a_machine_that_was_retired_meanwhile_is_refused_for_that(bench):
    forge = bench.forge()
    code = bench.invite(ek=forge.ek_sha256)
    reason = refusal(bench, forge, code, lambda: bench.move(Edge.RETIRE))
    assert reason == Reason.DEVICE_RETIRED
    assert bench.state() == "retired" and bench.device().tpm is None


def test_of_two_reasons_meanwhile_the_machines_comes_first(bench):
    forge = bench.forge()
    code = bench.invite(ek=forge.ek_sha256)

    def both():
        withdrawn(bench)
        bench.move(Edge.RETIRE)

    assert refusal(bench, forge, code, both) == Reason.DEVICE_RETIRED


@pytest.mark.parametrize("key", ["ek_sha256", "ak_name"])
def test_a_key_that_another_machine_took_meanwhile_is_not_owned_twice(bench, key):
    forge = bench.forge()
    code = bench.invite(ek=forge.ek_sha256)
    bench.enrol("cam2")
    mine = {"ek_sha256": forge.ek_sha256, "ak_name": forge.ak.public.name}

    def taken():
        with bench.store.writing() as tx:
            other = tx.devices.get("camera.line-1.cam2")
            tx.devices.put(replace(other, tpm=replace(other.tpm, **{key: mine[key]})))

    assert refusal(bench, forge, code, taken) == Reason.KEY_OWNED
    assert bench.state() == "invited" and not bench.events("ticket-used", CAM)


def test_a_machine_that_moved_meanwhile_is_looked_at_again(bench):
    forge = bench.forge()
    code = bench.invite(ek=forge.ek_sha256)

    def noted():
        with bench.store.writing() as tx:
            row = tx.devices.get(CAM)
            tx.devices.put(replace(row, maintenance="a new lens"))

    assert joined(bench, forge, code, noted).state == "trusted"
    assert bench.device().maintenance == "a new lens"
    assert len(bench.events("ticket-used")) == 1


def test_a_ticket_that_only_was_held_again_meanwhile_is_good(bench):
    """The same TPM began once more, as one does whose answer was lost."""
    forge = bench.forge()
    code = bench.invite(ek=forge.ek_sha256)

    def again():
        bench.verifier.begin_join(forge.hello(code), "ipv4:10.0.0.1")

    assert joined(bench, forge, code, again).state == "trusted"
    with bench.store.reading() as tx:
        assert not tx.tickets.unused()
