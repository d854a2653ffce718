"""N133: whoever has no session's key gets nothing signed and nothing kept; whoever has one gets no
more than a camera needs.
"""

import asyncio
import math

import pytest

from framegate.errors import Reason
from framegate.wire import FrameMetadata
from framegate_agent.camera.heads import sign_owed
from framegate_gateway.admission.budget import (
    MAX_IN_FLIGHT,
    REFUSALS_AT_ONCE,
    REFUSALS_S,
    CameraBudget,
)
from framegate_gateway.admission.gaps import MAX_GAP, MAX_SOURCES, TriggerGaps
from framegate_gateway.ports.conversation import MAX_UNOPENED
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.frames import captured
from framegate_simulators.fixtures.gateway import CAMERA
from support.flipped import flipped
from support.gate import Gate
from support.waiting import until


@pytest.fixture
async def gate(keys, tmp_path):
    gate = Gate(keys, tmp_path)
    yield gate
    await gate.conversations.gaps.close()
    gate.receipts.close()


def claimed(number: int, **changes) -> pb.CameraMessage:
    """A frame that no session sealed: words that anybody can write."""
    members = {
        "session": bytes(16),
        "device": CAMERA,
        "part": "next-part-of-the-line",
        "part_type": "t",
        "trigger_sequence": number,
        "captured_at_ms": 1,
        "uncertainty_ms": 1,
        "encoding": 1,
        "width": 1,
        "height": 1,
        "mask_version": 0,
        "mask_sha256": b"",
    }
    metadata = FrameMetadata(**{**members, **changes}).marshal()
    return pb.CameraMessage(frame=pb.SealedFrame(sealed=b"\x11" + bytes(40), metadata=metadata))


class Talk:
    """A camera's side of a conversation in memory, with the camera's key."""

    def __init__(self, gate: Gate) -> None:
        self.gate, self.session = gate, None

    def open(self, answers) -> pb.CameraMessage:
        offer = [m.offer for m in answers if m.WhichOneof("kind") == "offer"][-1]
        self.session = self.gate.camera.session(offer, self.gate.keys.newest.publics)
        return pb.CameraMessage(opening=self.session.opening(self.gate.camera))

    def frame(self, number: int, **changes):
        def sealed(_answers) -> pb.CameraMessage:
            head = captured(number, 9, **changes)
            return pb.CameraMessage(frame=self.session.seal(head, b"image %d" % number))

        return sealed


def kinds(answers) -> list[str]:
    return [m.WhichOneof("kind") for m in answers]


async def test_n133_a_claim_alone_gets_no_verdict_receipt_or_gap(gate):
    """What arrives on a broker is a public certificate: no key of the camera is used here."""
    answers = await gate.talk([claimed(n * 1000 + 5) for n in range(30)])
    await gate.conversations.gaps.close()
    assert kinds(answers) == ["offer"]
    assert not gate.leaves() and not gate.journal.outcomes and not gate.journal.rows
    assert gate.journal.unanswered == {"frame-session": 30}


@pytest.mark.parametrize(
    "change",
    [
        {"device": "camera.line-1.cam9"},
        {"session": b"s" * 16},
        {"part": ""},
        {"trigger_sequence": 2**63},
    ],
)
async def test_n133_nor_do_claims_of_others(gate, change):
    assert kinds(await gate.talk([claimed(1, **change)])) == ["offer"]
    assert not gate.leaves() and sum(gate.journal.unanswered.values()) == 1


async def test_n133_nor_does_a_key_that_is_not_the_cameras(gate, keys, tmp_path):
    """The certificate is the camera's, the opening another key's; frames are sealed in order."""
    (tmp_path / "other").mkdir()
    thief = Gate.__new__(Gate)
    thief.camera = type(gate.camera)(tmp_path / "other", keys)
    thief.keys = gate.keys
    talk = Talk(thief)
    answers = await gate.talk([talk.open, talk.frame(1), talk.frame(900)])
    assert kinds(answers) == ["offer", "refusal"] and not gate.leaves()


async def test_n133_a_frame_that_was_sealed_before_its_opening_was_accepted(gate):
    talk = Talk(gate)

    def early(answers):
        talk.opening = talk.open(answers)
        return talk.frame(1)(answers)

    answers = await gate.talk([early, lambda _: talk.opening, talk.frame(2)])
    assert kinds(answers) == ["offer", "accepted", "answer"]
    assert gate.verdict(answers[-1]).trigger_sequence == 2
    assert gate.journal.unanswered == {"frame-session": 1} and len(gate.leaves()) == 1


async def test_n133_a_head_that_nobody_signed_is_not_answered_before_an_opening(gate):
    talk = Talk(gate)
    await gate.talk([talk.open, talk.frame(1)])
    head = sign_owed(talk.session.owed, gate.camera, 5)
    forged = pb.SignedHead(head=head.head, signature=flipped(head.signature), leaves=head.leaves)
    assert kinds(await gate.talk([pb.CameraMessage(head=forged)])) == ["offer"]
    assert gate.journal.unanswered == {"frame-head": 1}
    assert kinds(await gate.talk([pb.CameraMessage(head=head)])) == ["offer", "head_taken"]


async def test_n133_many_frames_that_do_not_open_end_the_conversation(gate):
    answers = await gate.talk([claimed(n) for n in range(MAX_UNOPENED + 9)])
    assert kinds(answers) == ["offer", "refusal"]
    assert sum(gate.journal.unanswered.values()) == MAX_UNOPENED + 1 and not gate.leaves()


async def test_n133_a_conversation_without_an_opening_ends_by_itself(gate, monkeypatch):
    monkeypatch.setattr("framegate_gateway.ports.conversation.OPENING_S", 0.05)
    silent = asyncio.Event()
    async with asyncio.timeout(10):
        assert kinds(await gate.talk([claimed(1), lambda _: silent.wait()])) == ["offer"]


async def test_n133_a_gap_is_one_leaf_however_long_and_leaves_no_verdict(gate):
    talk = Talk(gate)
    answers = await gate.talk([talk.open, talk.frame(1), talk.frame(1 + MAX_GAP)])
    await gate.conversations.gaps.close()
    assert kinds(answers) == ["offer", "accepted", "answer", "answer"]
    (gap,) = gate.leaves("gap")
    assert gap["fg"]["first"] == 2 and gap["fg"]["last"] == MAX_GAP
    assert gap["fg"]["count"] == MAX_GAP - 1 and len(gate.leaves()) == 3
    assert gate.journal.outcomes == {"PASS": 2, "UNINSPECTED": MAX_GAP - 1}


async def test_n133_gaps_of_a_camera_are_joined_and_nothing_of_them_is_lost(gate):
    """Each frame skips ten triggers: the first gap is a leaf at once, all others one more."""
    talk = Talk(gate)
    await gate.talk([talk.open, *(talk.frame(11 * n) for n in range(1, 41))])
    await gate.conversations.gaps.close()
    gaps = gate.leaves("gap")
    assert len(gaps) <= 2 and sum(g["fg"]["count"] for g in gaps) == 390
    assert gate.journal.outcomes == {"PASS": 40, "UNINSPECTED": 390}
    assert gaps[0]["fg"]["first"] == 12 and gaps[-1]["fg"]["last"] == 11 * 40 - 1


async def test_n133_a_gap_whose_receipt_cannot_be_kept_is_counted_all_the_same(gate):
    talk = Talk(gate)
    gate.receipts.failed, gate.receipts._failed_s = "disk full", math.inf
    await gate.talk([talk.open, talk.frame(1, part_type="unknown"), talk.frame(4)])
    await gate.conversations.gaps.close()
    assert gate.journal.refusals["frame-gap"] == 2 and gate.journal.outcomes["PASS"] == 0


async def test_n133_tasks_of_gaps_count_as_in_flight():
    release, budget = asyncio.Event(), CameraBudget()
    written = []

    async def write(gap):
        await release.wait()
        written.append(gap)

    gaps = TriggerGaps(write)
    for source in ("a", "b"):
        gaps.seen(CAMERA, source, 1, b"", budget)
        gaps.seen(CAMERA, source, 5, b"", budget)
    await asyncio.sleep(0)
    gaps.seen(CAMERA, "b", 9, b"", budget)
    assert budget.in_flight == 2 and not budget.full
    budget.in_flight += MAX_IN_FLIGHT - 2
    assert budget.full
    release.set()
    await gaps.close()
    assert budget.in_flight == MAX_IN_FLIGHT - 2
    assert sorted((g.source, g.count) for g in written) == [("a", 3), ("b", 6)]


async def test_n133_a_camera_that_invents_sources_costs_no_other_camera_its_gaps():
    written = []

    async def write(gap):
        written.append(gap)

    gaps, mine, theirs = TriggerGaps(write), CameraBudget(), CameraBudget()
    gaps.seen("camera.line-1.honest", "s", 1, b"", mine)
    for step in (1, 3):
        for number in range(3 * MAX_SOURCES):
            gaps.seen(CAMERA, f"invented-{number}", step, b"", theirs)
    for number in range(3 * MAX_SOURCES):
        gaps.seen(CAMERA, f"again-{number}", 1, b"", theirs)
        gaps.seen(CAMERA, f"again-{number}", 3, b"", theirs)
    gaps.seen("camera.line-1.honest", "s", 4, b"", mine)
    assert theirs.in_flight <= MAX_SOURCES
    assert {len(camera.last) for camera in gaps._cameras.values()} == {1, MAX_SOURCES}
    await gaps.close()
    assert [g.count for g in written if g.device == "camera.line-1.honest"] == [2]
    assert len(written) <= MAX_SOURCES + 1


async def test_n133_a_counts_jump_is_no_gap_and_going_back_neither():
    written = []

    async def write(gap):
        written.append(gap)

    gaps, budget = TriggerGaps(write), CameraBudget()
    for trigger in (5, 6, 6 + MAX_GAP + 1, 3, 4, 4, 2**63):
        gaps.seen(CAMERA, "s", trigger, b"", budget)
    await gaps.close()
    assert not written and budget.in_flight == 0


def test_n133_answers_without_inspection_have_a_budget():
    now = [0.0]
    budget = CameraBudget(lambda: now[0])
    assert sum(budget.spend_refusal() for _ in range(1000)) == REFUSALS_AT_ONCE
    now[0] += 0.5
    assert sum(budget.spend_refusal() for _ in range(1000)) == REFUSALS_S / 2
    now[0] += 3600
    assert sum(budget.spend_refusal() for _ in range(1000)) == REFUSALS_AT_ONCE


async def test_n133_refused_frames_past_the_budget_are_counted_and_never_pass(gate, monkeypatch):
    monkeypatch.setattr("framegate_gateway.admission.budget.REFUSALS_AT_ONCE", 3)
    monkeypatch.setattr("framegate_gateway.admission.budget.REFUSALS_S", 0.0)
    talk = Talk(gate)
    bad = [talk.frame(n, width=0) for n in range(1, 8)]
    answers = await gate.talk([talk.open, *bad, talk.frame(8)])
    said = [gate.verdict(m) for m in answers if m.WhichOneof("kind") == "answer"]
    assert sorted(v.outcome for v in said) == ["PASS", *["UNINSPECTED"] * 3]
    assert gate.journal.unanswered == {"image": 4} and len(gate.leaves()) == 4


async def test_n133_frames_on_the_way_are_a_cameras_not_a_conversations(gate):
    """Two conversations of one camera have the room of one camera."""
    gate.engine.go.clear()
    talks = [Talk(gate), Talk(gate)]
    half = MAX_IN_FLIGHT // 2

    async def go(_answers):
        await until(lambda: gate.journal.outcomes["UNINSPECTED"] >= 2, 20)
        gate.engine.go.set()

    async def one(index):
        first = 1 + index * 1_000_000
        frames = [talks[index].frame(first + n) for n in range(half + 1)]
        return await gate.talk([talks[index].open, *frames, go])

    said = [gate.verdict(m) for a in await asyncio.gather(one(0), one(1)) for m in a[2:]]
    refused = [v for v in said if v.reason == Reason.FRAME_IN_FLIGHT]
    assert len(said) == MAX_IN_FLIGHT + 2 and len(refused) == 2


async def test_n133_a_fault_while_a_gap_is_written_stops_no_later_gap():
    written = []

    async def write(gap):
        if gap.first == 2:
            raise ZeroDivisionError("a fault of the gateway's own")
        written.append(gap.first)

    gaps, budget = TriggerGaps(write), CameraBudget()
    for source, triggers in (("a", (1, 3)), ("b", (4, 6))):
        for trigger in triggers:
            gaps.seen(CAMERA, source, trigger, b"", budget)
    await gaps.close()
    for trigger in (8, 10):
        gaps.seen(CAMERA, "b", trigger, b"", budget)
    await gaps.close()
    assert written[0] == 5 and 7 in written and budget.in_flight == 0
