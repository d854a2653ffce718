"""N242: whole numbers that a record or a signed statement may say and no row of a file holds."""

import asyncio

import pytest
from google.protobuf.message_factory import GetMessageClass

from framegate import sframe
from framegate.codec import MOST_WHOLE
from framegate.errors import FramegateError, Malformed, Reason
from framegate.signed import statement
from framegate_controller.rpc.operator import TABLE
from framegate_gateway.receipts.rows import VERDICT, LeafRow
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.frames import captured
from framegate_simulators.fixtures.verbs import AllowedCaller
from support.line import CAM1, CAM2

VAST = [MOST_WHOLE + 1, 2**64 - 1]


def sealed(desk, monkeypatch, counter=None, trigger=7):
    """A frame of a camera that keeps to no bound of its own."""
    with monkeypatch.context() as unbound:
        unbound.setattr(sframe, "MAX_COUNTER", 2**64)
        if counter is not None:
            desk.session._sealer.counter = counter
        return desk.session.seal(captured(trigger, 4), b"abcd")


@pytest.mark.parametrize("counter", [sframe.MAX_COUNTER + 1, *VAST])
async def test_n242_a_counter_that_no_secret_seals_under_does_not_open(
    receipts_desk, monkeypatch, counter
):
    before = receipts_desk.link._sessions.copy()
    frame = sealed(receipts_desk, monkeypatch, counter)
    with pytest.raises(FramegateError) as caught:
        receipts_desk.link.open_frame(frame.metadata, frame.sealed)
    assert caught.value.reason == Reason.FRAME_SESSION
    assert receipts_desk.link._sessions == before
    receipts_desk.session._sealer.counter = sframe.MAX_COUNTER
    last = sealed(receipts_desk, monkeypatch)
    opened = receipts_desk.link.open_frame(last.metadata, last.sealed)
    assert opened.counter == sframe.MAX_COUNTER
    assert await receipts_desk.maker.uninspected(opened.metadata, Reason.IMAGE, opened.counter)


@pytest.mark.parametrize("trigger", VAST)
def test_n242_a_trigger_that_no_line_can_know_is_not_answered(receipts_desk, monkeypatch, trigger):
    frame = sealed(receipts_desk, monkeypatch, trigger=trigger)
    with pytest.raises(FramegateError) as caught:
        receipts_desk.link.open_frame(frame.metadata, frame.sealed)
    assert caught.value.reason == Reason.FRAME_LABEL


@pytest.mark.parametrize("trigger", [*VAST, 10**30, -(2**64)])
async def test_n242_a_gateways_verdict_with_such_a_trigger_ends_no_line(bench_line, trigger):
    bench_line.trigger()
    bench_line.adapter.verdict(bench_line.verdict(CAM1, trigger_sequence=trigger))
    assert bench_line.adapter.refused == 1
    for camera in (CAM1, CAM2):
        bench_line.adapter.verdict(bench_line.verdict(camera))
    assert await bench_line.settled() == ["PASS"]


async def test_n242_the_largest_that_a_statement_says_is_taken_in_at_the_line(bench_line):
    bench_line.adapter.verdict(bench_line.verdict(CAM1, trigger_sequence=MOST_WHOLE))
    assert bench_line.adapter.refused == 0


@pytest.mark.parametrize("number", [*VAST, -(2**64), 10**400])
def test_n242_no_statement_says_a_number_past_that(bench_line, number):
    said = bench_line.verdict(CAM1, trigger_sequence=number)
    payload = statement.parse_envelope(said, statement.Verdict.TYPE).payload
    with pytest.raises(Malformed):
        statement.Verdict.parse_payload(payload)


async def test_n242_a_row_that_cannot_be_written_ends_no_thread(receipts_desk):
    """Whatever a later change lets through: every other camera's verdicts wait for that thread."""
    store, number = receipts_desk.store, receipts_desk.store.next_number()
    row = LeafRow(number, "ab" * 16, VERDICT, "d", b"s" * 16, 2**64, "p", 1, b"leaf")
    with pytest.raises(FramegateError) as caught:
        await asyncio.wait_for(store.append(row), 20)
    assert caught.value.reason == Reason.RECEIPT
    store._failed_s = float("-inf")
    await asyncio.wait_for(receipts_desk.frame(31), 20)
    assert not store.failed and store.last == number


def wide_requests():
    """Each call of the operators' port with each of its wide numbers past every row."""
    for method in pb.DESCRIPTOR.services_by_name["Operator"].methods:
        for field in method.input_type.fields:
            if field.type == field.TYPE_UINT64 and not field.is_repeated:
                message = GetMessageClass(method.input_type)()
                setattr(message, field.name, MOST_WHOLE + 1)
                yield method.name, message


def test_n242_an_operator_who_asks_for_such_is_told_so_whatever_they_ask(bench):
    caller, asked = AllowedCaller(bench.store, bench.fleet, TABLE), list(wide_requests())
    for name, message in asked:
        with pytest.raises(Malformed) as caught:
            caller.ask(name, message)
        assert caught.value.reason == Reason.USAGE, name
    assert len(asked) >= 15
