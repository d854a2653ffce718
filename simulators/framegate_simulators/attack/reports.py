"""N153 and N155: what a gateway reports, drowned, forged, or brought by who may not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.findings.kinds import Finding, FindingKind
from framegate.identity.certificates import Purpose
from framegate.signed.report import GatewayReport
from framegate_controller.ca.issue import certify
from framegate_controller.ca.template import leaf_template
from framegate_operator.connection import operator_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.attack.conversation import head
from framegate_simulators.attack.floor import GATEWAY, Floor, picture
from framegate_simulators.attack.target import TIMEOUT_S, Seen, Target, attempt, reason_of
from framegate_simulators.plant.processes import wait_for

FLOOD: Final = 60
"""Frames of one conversation that do not open: just below what ends it."""
RECORDED_S: Final = 60.0


@attempt(
    "N153",
    "hundreds of frames that do not open, and among them one old picture: is it told of?",
    control="frame",
)
def n153(t: Target) -> Seen:
    floor, camera = t.once(Floor), t.once(Floor).camera
    before = (_told(t, "frame-frozen", camera.device), _told(t, "seal-refused", camera.device))
    begun = time.time_ns() // 1_000_000
    for flood in range(6):
        with floor.conversation() as talk:
            session, image = talk.offered(), picture(next(floor.numbers))
            for _ in range(FLOOD):  # sealed for an opening that has not come
                talk.send(frame=session.seal(head(next(floor.numbers), image), image))
            if flood == 3:
                talk.open(session)
                for _ in range(2):
                    talk.send(frame=session.seal(head(next(floor.numbers), image), image))
                    talk.said()
            talk.finish()
    frozen = wait_for(
        "the old picture in the record",
        lambda: _told(t, "frame-frozen", camera.device) - before[0],
        RECORDED_S,
    )
    refused = wait_for(
        "every frame that did not open in a count",
        lambda: _all_of(_told(t, "seal-refused", camera.device) - before[1], 6 * FLOOD),
        3 * RECORDED_S,
    )
    entries = len([e for e in _entries(t, "seal-refused") if e["at_ms"] >= begun])
    return Seen(
        frozen == 1 and refused == 6 * FLOOD and entries < FLOOD,
        f"frame-frozen {frozen} times; seal-refused {refused} times in {entries} entries",
    )


@attempt("N155", "a gateway's report by other keys, and one that a camera brings", control="frame")
def n155(t: Target) -> Seen:
    floor, now = t.once(Floor), time.time_ns() // 1_000_000
    forged = Finding(
        kind=FindingKind.KNOWN_ANSWER,
        device="",
        reason="known-answer",
        count=1,
        first_ms=now,
        last_ms=now,
    )
    report = GatewayReport(GATEWAY, "made-up", 1, "", now, now, (forged.body(),), ())
    signer = _signer(t, Purpose.VERDICT, "gateway-ca", GATEWAY)

    def bring(pair: tuple[bytes, bytes]) -> Seen:
        request = pb.RecordReportRequest(report=report.seal(*signer))
        with t.fleet_channel(pair) as channel:
            stub: Any = rpc.FleetStub(channel)
            return reason_of(lambda: stub.RecordReport(request, timeout=TIMEOUT_S))

    by_camera = bring(floor.camera.pair)
    by_operator = bring((t.context.key, t.context.certificate))
    entered = [e for e in _entries(t, "known-answer-deviated") if e["at_ms"] >= now]
    return Seen(
        by_camera.refused and by_operator.refused and not entered,
        f"{by_camera.reason}; {by_operator.reason}; {len(entered)} in the record",
    )


def _signer(
    t: Target, purpose: Purpose, label: str, name: str
) -> tuple[bytes, Callable[[bytes], bytes]]:
    """Somebody else's key, certified as if it were this one's."""
    key = ec.generate_private_key(ec.SECP256R1())
    template = leaf_template(
        purpose, name, key.public_key(), timedelta(minutes=5), datetime.now(UTC)
    )
    leaf = certify(t.keys.issuing[label], template)
    return leaf.public_bytes(Encoding.DER), lambda m: key.sign(m, ec.ECDSA(hashes.SHA256()))


def _told(t: Target, event: str, device: str) -> int:
    """How often the record has been told of it."""
    return sum(e["members"]["count"] for e in _entries(t, event) if e["device"] == device)


def _all_of(count: int, wanted: int) -> int:
    return count if count >= wanted else 0


def _entries(t: Target, event: str) -> list[dict[str, Any]]:
    request = pb.ReadLogRequest(limit=1_000, event=event, newest_first=True)
    with operator_stub(t.context) as stub:
        return [json.loads(row.entry) for row in stub.ReadLog(request, stream=True)]
