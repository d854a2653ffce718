"""N130, N132, N225: evidence that comes in its offer, at the fleet port, is judged as what comes
after it; who calls is established first, and no port takes in more than it said.
"""

import asyncio
import gc
import threading
import tracemalloc
from dataclasses import replace

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose
from framegate.identity.names import Kind
from framegate.identity.pem import private_pem
from framegate.machines.lifecycle import State
from framegate.wire import sha256
from framegate_controller.fleet.attestation import OfferedEvidence
from framegate_controller.fleet.together import Together
from framegate_controller.rpc import fleet as fleet_port
from framegate_controller.rpc import in_batches
from framegate_controller.rpc.fleet import WITH_OFFER_BYTES
from framegate_controller.rpc.in_batches import InBatches
from framegate_proto.edge import evidence_parts, from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from support.fleet_port import channel, credentials, invited, joined
from support.refusals import refused_with
from support.waiting import until

WAIT_S = 30.0
LARGE = 2 << 20
"""Bytes, of evidence that comes after its offer."""


class Machine:
    """A camera that joined, on its connection to the fleet port."""

    def __init__(self, running, fleet, forge, stub) -> None:
        self.running, self.fleet, self.forge, self.stub = running, fleet, forge, stub

    async def begun(self):
        """The reply to a Hello, and the evidence that answers it."""
        hello = self.forge.attest_hello(known_log=True)
        reply = await self.stub.Begin(pb.BeginRequest(hello=hello), timeout=WAIT_S)
        digest = self.running.fleet.digest
        _, evidence = await asyncio.to_thread(
            self.forge.answer, digest, hello, reply.challenge, join=False
        )
        return reply, evidence

    def put(self, state: State) -> None:
        """It is in this state from now on."""
        with self.running.store.writing() as tx:
            tx.devices.put(replace(tx.devices.get("camera.z.cam1"), state=state))

    def complete(self, *parts):
        """The call that tells these."""
        return self.stub.Complete(iter(parts), timeout=WAIT_S)

    async def refused(self, *parts) -> Reason:
        """Why they are."""
        return await self.refused_at(self.complete(*parts))

    async def refused_at(self, call) -> Reason:
        """Why `call` is."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return from_rpc_error(caught.value, "").reason


@pytest.fixture
async def machine(controller, maker):
    running, fleet = controller
    forge = await asyncio.to_thread(invited, running, maker, Kind.CAMERA, "cam1", "z")
    answer = await asyncio.to_thread(joined, running, forge, b"c" * 16)
    chain = answer.certificate.public_bytes(Encoding.PEM) + fleet.issuing["device-ca"].pem
    async with channel(running, fleet, (private_pem(forge.tls.private), chain)) as opened:
        yield Machine(running, fleet, forge, rpc.FleetStub(opened))


async def test_small_evidence_is_one_part(machine):
    reply, evidence = await machine.begun()
    assert 0 < len(evidence) <= reply.with_offer == WITH_OFFER_BYTES
    (part,) = evidence_parts(reply.state, b"", evidence, reply.with_offer)
    assert (await machine.complete(part)).state == "trusted"


async def test_n106_an_agent_of_before_sends_its_evidence_after_its_offer(machine):
    reply, evidence = await machine.begun()
    offer, *chunks = evidence_parts(reply.state, b"", evidence)
    assert chunks and not offer.offer.evidence
    assert (await machine.complete(offer, *chunks)).state == "trusted"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"evidence": bytes(WITH_OFFER_BYTES + 1)}, Reason.TOO_LARGE),
        ({"size": 0}, Reason.TOO_LARGE),
        ({"size": 1}, Reason.MALFORMED),
        ({"sha256": bytes(32)}, Reason.MALFORMED),
        ({"sha256": b""}, Reason.MALFORMED),
        ({"evidence": b"other"}, Reason.MALFORMED),
        ({"state": b"made up"}, Reason.SESSION_UNKNOWN),
        ({"state": b""}, Reason.SESSION_UNKNOWN),
    ],
)
async def test_n130_an_offer_with_other_evidence_than_it_promises(machine, changed, reason):
    reply, evidence = await machine.begun()
    (part,) = evidence_parts(reply.state, b"", evidence, reply.with_offer)
    wrong = pb.EvidencePart(offer=part.offer)
    for name, value in changed.items():
        setattr(wrong.offer, name, value)
    assert await machine.refused(wrong) == reason
    assert (await machine.complete(part)).state == "trusted", "the challenge was not spent by that"


async def test_n132_a_challenge_is_answered_once_and_offered_once(machine):
    reply, evidence = await machine.begun()
    (part,) = evidence_parts(reply.state, b"", evidence, reply.with_offer)
    await machine.complete(part)
    assert await machine.refused(part) == Reason.SESSION_UNKNOWN
    reply, evidence = await machine.begun()
    offer, *_ = evidence_parts(reply.state, b"", evidence)
    assert await machine.refused(offer) == Reason.MALFORMED  # no evidence came
    (part,) = evidence_parts(reply.state, b"", evidence, reply.with_offer)
    assert await machine.refused(part) == Reason.SESSION_UNKNOWN, "it was offered before"


async def test_n130_the_join_port_takes_no_evidence_with_its_offer(controller, maker):
    running, fleet = controller
    forge = await asyncio.to_thread(invited, running, maker, Kind.CAMERA, "cam1", "z")
    hello = forge.hello(b"c" * 16)
    async with channel(running, fleet, None, running.join_address) as opened:
        stub = rpc.JoinStub(opened)
        reply = await stub.Begin(pb.BeginRequest(hello=hello), timeout=WAIT_S)
        digest = sha256(fleet.root.der)
        mac, evidence = await asyncio.to_thread(forge.answer, digest, hello, reply.challenge)
        assert reply.with_offer == 0
        (part,) = evidence_parts(reply.state, mac, evidence, len(evidence))
        at_join = Machine(running, fleet, forge, stub)
        assert await at_join.refused(part) == Reason.TOO_LARGE
        reply = await at_join.complete(*evidence_parts(reply.state, mac, evidence))
        assert reply.state == "trusted"


NOTHING, CHUNK = (), (pb.EvidencePart(chunk=b"x"),)
OFFER = (pb.EvidencePart(offer=pb.EvidenceOffer(state=b"s", size=1, sha256=bytes(32))),)
WHOLE = tuple(evidence_parts(b"state", b"", b"evidence", WITH_OFFER_BYTES))
ANY = pytest.mark.parametrize("parts", [NOTHING, CHUNK, OFFER, WHOLE], ids=str.split("no a b c"))


@ANY
async def test_n130_who_does_not_stand_any_more_is_told_that_whatever_it_sent(machine, parts):
    machine.put(State.RETIRED)
    assert await machine.refused(*parts) == Reason.CERTIFICATE


@ANY
async def test_n80_nothing_is_read_of_whose_certificate_is_no_machines(
    controller, monkeypatch, parts
):
    async def read(*_given):
        raise AssertionError("it was read")

    monkeypatch.setattr(fleet_port, "read_offer", read)
    running, fleet = controller
    pair = credentials(fleet, "operator-ca", Purpose.OPERATOR, "operator.anna")
    async with channel(running, fleet, pair) as opened:
        stranger = Machine(running, fleet, None, rpc.FleetStub(opened))
        assert await stranger.refused(*parts) == Reason.WRONG_ROLE


async def test_n225_a_machine_that_hangs_up_again_and_again_fills_no_queue(machine, monkeypatch):
    """A call that it ends is one that it may make again; what it asked waits on."""
    monkeypatch.setattr(in_batches, "MOST_OF_ONE", 4)
    look, ask, may, desks = Together._look, InBatches.ask, threading.Event(), []

    def held(self, *given):
        assert may.wait(WAIT_S)
        return look(self, *given)

    async def noted(self, question):
        desks.append(self)
        return await ask(self, question)

    monkeypatch.setattr(Together, "_look", held)
    monkeypatch.setattr(InBatches, "ask", noted)

    async def begun():
        hello = machine.forge.attest_hello(known_log=True)
        call, before = machine.stub.Begin(pb.BeginRequest(hello=hello), timeout=WAIT_S), len(desks)
        await until(lambda: len(desks) > before)
        return call

    first = await begun()
    await until(lambda: desks[0]._waiting.qsize() == 0)  # it is being answered
    for _ in range(12):
        (await begun()).cancel()
    assert desks[0]._waiting.qsize() == 4
    assert await machine.refused_at(await begun()) == Reason.TOO_MANY_TRIES
    may.set()
    assert (await first).challenge
    await until(lambda: not desks[0]._of)  # nobody is told of who hung up
    assert (await (await begun())).challenge


async def test_what_changed_is_told_before_it_is_answered_and_what_lasts_soon_after(machine):
    told = machine.running.bus
    with told.watch("camera.z.cam1") as events:
        for moved in (False, True):
            if moved:
                machine.put(State.STALE)
            reply, evidence = await machine.begun()
            (part,) = evidence_parts(reply.state, b"", evidence, reply.with_offer)
            assert (await machine.complete(part)).state == "trusted"
            assert not moved or events._queue.qsize() == 1, "it waits already"
            event = await events.next(WAIT_S)
            assert event is not None and event.state == State.TRUSTED


def test_n132_evidence_with_its_offer_counts_on_its_machines_share(bench):
    forge = bench.enrol()
    key = sha256(forge.tls.public.spki())
    calls = bench.verifier._devices._calls
    left = calls._tokens("camera.line-1.cam1", bench.clock())

    def whole():
        hello = forge.attest_hello()
        with bench.store.reading() as tx:
            device = tx.devices.by_tls_key(key)
            begun = bench.verifier.begin_known(tx, hello, device)
        _, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge, join=False)
        (told,) = bench.told([OfferedEvidence(key, begun.state, evidence)])
        if isinstance(told, Exception):
            raise told
        return told.before, told.answer

    before, answer = whole()
    assert (before.id, before.state, answer.state) == ("camera.line-1.cam1", "trusted", "trusted")
    assert calls._tokens("camera.line-1.cam1", bench.clock()) == left - 1
    with refused_with(Refused, Reason.TOO_MANY_TRIES):
        for _ in range(200):
            whole()


async def test_n225_evidence_that_was_refused_is_in_no_cycle(machine):
    """Cycles are looked for rarely: what somebody sent may not wait for that (decision 82)."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(6):
            reply, evidence = await machine.begun()
            parts = evidence_parts(reply.state, b"", evidence + bytes(LARGE), reply.with_offer)
            answer = await machine.complete(*parts)
            assert not answer.certificate, "bytes behind evidence make it none"
            del parts, answer
        # the last answer comes before the thread that gave it has let go
        await until(lambda: tracemalloc.get_traced_memory()[0] < LARGE)
    finally:
        tracemalloc.stop()
        gc.enable()
