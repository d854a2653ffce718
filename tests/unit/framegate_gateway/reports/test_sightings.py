"""What a gateway reports of what it sees."""

import pytest

from framegate.errors import Reason, Refused
from framegate.findings.kinds import FindingKind
from framegate.looks.kinds import Look
from framegate.signed.report import GatewayReport
from framegate_gateway.inference.inspection import Withheld
from framegate_gateway.reports.sightings import STREAK, Sightings
from framegate_host.report_store import ReportStore
from framegate_host.reporting import Reporter
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.frames import captured
from framegate_simulators.fixtures.gateway import CAMERA
from support.gate import Gate
from support.looks import inspected, row


@pytest.fixture
def sightings(tmp_path):
    return Sightings(Reporter(ReportStore(tmp_path), GatewayReport, lambda: 1_000))


def told(sightings):
    sightings._reporter.gather()
    findings = sightings._reporter.store.waiting(99, 99).findings
    return [(f.kind, f.reason, f.device) for f in findings]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.FRAME_FROZEN, FindingKind.FRAME_FROZEN),
        (Reason.IMAGE_COVERED, FindingKind.FRAME_COVERED),
        (Reason.IMAGE_DEFOCUS, FindingKind.FRAME_QUALITY),
        (Reason.IMAGE_EXPOSURE, FindingKind.FRAME_QUALITY),
        (Reason.REGISTRATION, FindingKind.FRAME_QUALITY),
        (Reason.OUT_OF_PLACE, FindingKind.FRAME_QUALITY),
        (Reason.KNOWN_ANSWER, FindingKind.KNOWN_ANSWER),
        (Reason.MODEL, FindingKind.MODEL_REFUSED),
    ],
)
def test_an_uninspected_frame_is_called_by_its_reason(sightings, reason, kind):
    sightings.uninspected(CAMERA, reason)
    assert told(sightings) == [(kind, reason, CAMERA)]


def test_what_is_nobodys_doing_is_told_as_a_streak_alone(sightings):
    for _ in range(STREAK - 1):
        sightings.uninspected(CAMERA, Reason.STALE)
    assert told(sightings) == []
    sightings.inspected(CAMERA, 1)
    for _ in range(STREAK):
        sightings.uninspected(CAMERA, Reason.STALE)
    assert told(sightings) == [(FindingKind.UNINSPECTED_STREAK, "stale", CAMERA)]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.FRAME_REPLAYED, FindingKind.FRAME_REPLAYED),
        (Reason.FRAME_AUTHENTICATION, FindingKind.SEAL_REFUSED),
        (Reason.FRAME_SESSION, FindingKind.SEAL_REFUSED),
        (Reason.MALFORMED, FindingKind.SEAL_REFUSED),
    ],
)
def test_what_does_not_open_is_a_refused_seal_or_a_replay(sightings, reason, kind):
    sightings.unanswered(CAMERA, reason)
    assert told(sightings) == [(kind, reason, CAMERA)]


def test_openings_are_told_of_but_where_the_gateway_itself_has_no_standing(sightings):
    for reason in (Reason.OPENING, Reason.QUARANTINED, Reason.NOT_TRUSTED, Reason.TRUST_FEED):
        sightings.opening_refused(CAMERA, Refused.of(reason, "x", "y"))
    assert [(k, r) for k, r, _ in told(sightings)] == [
        (FindingKind.OPENING_REFUSED, "opening"),
        (FindingKind.OPENING_REFUSED, "quarantined"),
    ]


def test_models_children_and_the_broker_are_the_gateways_own(sightings):
    sightings.model("model-stopped", {"reason": "known-answer", "what": "the 3rd answer"})
    sightings.model("model-refused", {"reason": "model-graph", "what": "an op"})
    sightings.model("model-switched", {"model_sha256": "ab"})
    sightings.child(FindingKind.CHILD_DIED, "EOFError")
    sightings.broker(Reason.BROKER, "ids are not bound")
    sightings.filling(CAMERA, "receipts take 3.3 of 4 MiB")
    assert told(sightings) == [
        (FindingKind.KNOWN_ANSWER, "known-answer", ""),
        (FindingKind.MODEL_REFUSED, "model-graph", ""),
        (FindingKind.CHILD_DIED, "inference", ""),
        (FindingKind.BROKER_TROUBLE, "broker-client-ids", ""),
        (FindingKind.STORE_FILLING, "store-quota", CAMERA),
    ]


def test_frames_that_left_are_counted_by_who_took_them(sightings):
    for who, frames, dataset in (("anna", 1, False), ("ben", 1, False), ("anna", 250, True)):
        sightings.exported(f"operator.{who}", frames, dataset=dataset)
    assert told(sightings) == [
        (FindingKind.FRAME_EXPORTED, "operator.anna", ""),
        (FindingKind.FRAME_EXPORTED, "operator.ben", ""),
        (FindingKind.DATASET_EXPORTED, "operator.anna", ""),
    ]


async def test_a_real_conversation_reports_old_pictures_replays_and_what_does_not_open(
    keys, tmp_path
):
    gate = Gate(keys, tmp_path)
    state = {}

    def opening(answers):
        offer = [m.offer for m in answers if m.WhichOneof("kind") == "offer"][-1]
        state["session"] = gate.camera.session(offer, gate.keys.newest.publics)
        return pb.CameraMessage(opening=state["session"].opening(gate.camera))

    def frame(number):
        def sealed(_answers):
            head = captured(number, 9)
            state[number] = state["session"].seal(head, b"one and the same")
            return pb.CameraMessage(frame=state[number])

        return sealed

    await gate.talk(
        [
            opening,
            frame(1),
            frame(2),  # the same picture under another trigger
            lambda _: pb.CameraMessage(frame=state[1]),  # the same frame again
            pb.CameraMessage(frame=pb.SealedFrame(sealed=b"\x11" + bytes(40), metadata=b"x")),
        ]
    )
    await gate.talk([pb.CameraMessage(opening=pb.SignedOpening(opening=b"x", signature=b"y"))])

    told = {(kind, device) for kind, _, device, _ in gate.findings()}
    assert told >= {
        ("frame-frozen", CAMERA),
        ("frame-replayed", CAMERA),
        ("seal-refused", CAMERA),
        ("opening-refused", CAMERA),
    }
    accepted = gate.reporter.store.waiting(9, 9).accepted
    assert [(a.device, a.count) for a in accepted] == [(CAMERA, 1)]
    await gate.conversations.gaps.close()
    gate.receipts.close()


def test_second_looks_are_told_beside_a_defect_and_with_a_verdict_not_twice(sightings):
    rows = [row(Look.GROUNDLESS, limit=20.0)]
    defects = ({"kind": "open", "score": 0.9, "box": [0, 0, 1, 1]},)
    sightings.looked_at(CAMERA, "board", inspected({Look.GROUNDLESS: 3.0}, rows, defects))
    told_ = [(FindingKind.FRAME_MANIPULATED, "detection-groundless", CAMERA)]
    assert told(sightings) == told_
    rows = [row(limit=20.0)]
    with pytest.raises(Withheld) as caught:
        inspected({Look.RESIDUAL: 30.0}, rows)
    sightings.looked_at(CAMERA, "board", caught.value.inspection)
    assert told(sightings) == told_
    sightings.uninspected(CAMERA, caught.value.reason)
    assert (FindingKind.FRAME_MANIPULATED, "residual-unexplained", CAMERA) in told(sightings)


def test_what_drifts_is_told_once(sightings):
    rows = [row(limit=60.0, centre=10.0, spread=1.0)]
    for _ in range(60):
        sightings.looked_at(CAMERA, "board", inspected({Look.RESIDUAL: 15.0}, rows))
    assert told(sightings) == [(FindingKind.FRAME_DRIFTED, "residual-unexplained", CAMERA)]
