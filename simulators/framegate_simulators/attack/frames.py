"""N100 to N109, N133, N147: frames against the running gateway, by a camera of the fleet whose
every byte can be broken.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np

from framegate.wire import ENCODING_JPEG, ENCODING_PNG, FrameMetadata
from framegate_agent.camera.pictures import encoded
from framegate_gateway.admission.budget import MAX_IN_FLIGHT
from framegate_gateway.ports.open_inference import MAX_IN_FLIGHT as MAX_INFERENCES
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import open_inference_pb2 as oip
from framegate_proto.v1 import open_inference_pb2_grpc as oip_rpc
from framegate_simulators.attack.conversation import Conversation, head
from framegate_simulators.attack.floor import Floor, board, picture
from framegate_simulators.attack.target import TIMEOUT_S, Seen, Target, attempt, reason_of
from framegate_simulators.plant.processes import wait_for


class FloorCamera:
    """An opened conversation, and what it gets for one picture after the other."""

    def __init__(self, floor: Floor, talk: Conversation) -> None:
        self.floor, self.talk, self.session = floor, talk, talk.open()

    def sealed(self, image: bytes = b"", **changes: Any) -> pb.SealedFrame:
        """The next frame, sealed as it should be."""
        number = next(self.floor.numbers)
        image = image or picture(number)
        return self.session.seal(head(number, image, **changes), image)

    def sends(self, frame: pb.SealedFrame) -> None:
        """Send a frame."""
        self.talk.send(frame=frame)

    def gets(self, image: bytes = b"", **changes: Any) -> str:
        """What a frame with these changes gets."""
        self.sends(self.sealed(image, **changes))
        return self.talk.said()


def _unanswered(floor: Floor) -> dict[str, int]:
    return dict(floor.status().unanswered)


def _grew(before: dict[str, int], after: dict[str, int]) -> str:
    more = {k: v - before.get(k, 0) for k, v in after.items() if v > before.get(k, 0)}
    return ", ".join(f"{k} {v}" for k, v in sorted(more.items())) or "nothing counted"


@attempt(
    "N100",
    "a camera that is quarantined goes on sending on its open stream with its live certificate",
    control="frame",
)
def n100(t: Target) -> Seen:
    floor = t.once(Floor)
    with floor.conversation(floor.other) as talk:
        camera = FloorCamera(floor, talk)
        sound = camera.gets()
        t.change(floor.other.device, "quarantine")
        wait_for("the gateway to hear of it", lambda: camera.gets() != "PASS", TIMEOUT_S)
        seen = camera.gets()
    t.change(floor.other.device, "release")
    floor.other.attest()
    again = floor.inspected(floor.other)
    return Seen(
        (sound, seen, again) == ("PASS", "quarantined", "PASS"),
        f"{sound}; {seen}; released and attested: {again}",
    )


@attempt(
    "N101",
    "frames replayed, cut, a bit flipped in picture and metadata, relabelled to another part",
    control="frame",
)
def n101(t: Target) -> Seen:
    floor = t.once(Floor)
    with floor.conversation() as talk:
        camera, before = FloorCamera(floor, talk), _unanswered(floor)
        good = camera.sealed()
        camera.sends(good)
        first = talk.said()
        for broken in (
            good,
            *_broken(camera.sealed()),
            _relabelled(camera.sealed()),
        ):
            camera.sends(broken)
        after = camera.gets()
    counted = _grew(before, _unanswered(floor))
    return Seen(
        (first, after, counted) == ("PASS", "PASS", "frame-authentication 4, frame-replayed 1"),
        f"{first}; unanswered: {counted}; the next good one: {after}",
    )


def _broken(frame: pb.SealedFrame) -> list[pb.SealedFrame]:
    sealed, metadata = frame.sealed, frame.metadata
    flipped = metadata[:-1] + bytes([metadata[-1] ^ 1])
    return [
        pb.SealedFrame(metadata=metadata, sealed=sealed[:-1]),
        pb.SealedFrame(metadata=metadata, sealed=sealed[:-1] + bytes([sealed[-1] ^ 1])),
        pb.SealedFrame(metadata=flipped, sealed=sealed),
    ]


def _relabelled(frame: pb.SealedFrame) -> pb.SealedFrame:
    from dataclasses import replace

    other = replace(FrameMetadata.parse(frame.metadata), part="another-part")
    return pb.SealedFrame(metadata=other.marshal(), sealed=frame.sealed)


@attempt(
    "N102",
    "a frame of a conversation that ended, another camera's, and one for a session never opened",
    control="frame",
)
def n102(t: Target) -> Seen:
    floor = t.once(Floor)
    with floor.conversation() as one:
        ended = FloorCamera(floor, one).sealed()
    with floor.conversation() as two, floor.conversation(floor.other) as three:
        camera, before = FloorCamera(floor, two), _unanswered(floor)
        for foreign in (ended, FloorCamera(floor, three).sealed()):
            camera.sends(foreign)
        with floor.conversation() as four:
            image = picture(5)
            camera.sends(four.offered().seal(head(next(floor.numbers), image), image))
        after = camera.gets()
    counted = _grew(before, _unanswered(floor))
    return Seen(
        (after, counted) == ("PASS", "frame-session 3"),
        f"unanswered: {counted}; the next good one: {after}",
    )


def _png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG whose header says this size, whatever is in it."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(data or bytes(1 + width) * min(height, 64)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@attempt(
    "N103",
    "a PNG of 100,000 x 100,000 in a kilobyte, sizes that lie, a cut-off JPEG, 16 bits, turned",
    control="frame",
)
def n103(t: Target) -> Seen:
    floor, whole = t.once(Floor), picture(7)
    deep = cv2.imencode(".png", np.zeros((640, 640), np.uint16))[1].tobytes()
    with floor.conversation() as talk:
        camera = FloorCamera(floor, talk)
        seen = [
            camera.gets(_png(100_000, 100_000), encoding=ENCODING_PNG),
            camera.gets(
                _png(100_000, 100_000), encoding=ENCODING_PNG, width=100_000, height=100_000
            ),
            camera.gets(_png(6_000, 6_000, bytes(6_001) * 6_000), encoding=ENCODING_PNG),
            camera.gets(whole[: len(whole) // 2], encoding=ENCODING_JPEG),
            camera.gets(deep, encoding=ENCODING_PNG),
            camera.gets(b"GIF89a" + bytes(64)),
        ]
        turned, after = camera.gets(_turned(whole)), camera.gets()
    return Seen(
        set(seen) == {"image"} and turned == after == "PASS",
        f"{', '.join(seen)}; turned: inspected as it is stored, {turned}; then {after}",
    )


def _turned(jpeg: bytes) -> bytes:
    """The JPEG with an EXIF orientation of 90 degrees."""
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHH", 1, 0x0112, 3, 1, 6, 0) + bytes(4)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@attempt(
    "N106",
    "three triggers whose frames never come: is anything missing from the count?",
    control="frame",
)
def n106(t: Target) -> Seen:
    floor = t.once(Floor)
    before = floor.status().refusals.get("frame-gap", 0)
    with floor.conversation() as talk:
        camera = FloorCamera(floor, talk)
        first = camera.gets()
        for _ in range(3):
            next(floor.numbers)
        after = camera.gets()
        wait_for("a gap", lambda: floor.status().refusals.get("frame-gap", 0) > before, TIMEOUT_S)
    gap = floor.status().refusals["frame-gap"] - before
    return Seen(
        (first, after) == ("PASS", "PASS") and gap >= 3, f"frame-gap: {gap} UNINSPECTED, {after}"
    )


@attempt(
    "N107",
    "frames that are refused: of an unknown part type, without a size, under masks of the future",
    control="frame",
)
def n107(t: Target) -> Seen:
    floor = t.once(Floor)
    with floor.conversation() as talk:
        camera = FloorCamera(floor, talk)
        seen = [
            camera.gets(part_type="unheard-of"),
            camera.gets(width=0),
            camera.gets(mask_version=9, mask_sha256=bytes(32)),
        ]
        after = camera.gets()
    return Seen(
        seen == ["part-unknown", "image", "mask"] and after == "PASS",
        f"{', '.join(seen)}: each UNINSPECTED; then {after}",
    )


@attempt(
    "N108",
    "one camera sends three times what may be in flight at once; another wants its turn meanwhile",
    control="frame",
)
def n108(t: Target) -> Seen:
    floor, count = t.once(Floor), 3 * MAX_IN_FLIGHT
    with floor.conversation() as talk, floor.conversation(floor.other) as quiet:
        greedy, other = FloorCamera(floor, talk), FloorCamera(floor, quiet)
        frames = [greedy.sealed() for _ in range(count)]
        for frame in frames:
            greedy.sends(frame)
        meanwhile = other.gets()
        seen = [talk.said() for _ in range(count)]
    refused = seen.count("too-many-frames-in-flight")
    return Seen(
        meanwhile == "PASS" and refused > 0 and refused + seen.count("PASS") == count,
        f"too-many-frames-in-flight {refused}, PASS {seen.count('PASS')}; the other: {meanwhile}",
    )


@attempt(
    "N109",
    "the same bytes under another trigger, a covered lens, a glaring one, a picture of noise",
    control="frame",
)
def n109(t: Target) -> Seen:
    floor, frozen = t.once(Floor), picture(3)
    black = encoded(np.full((640, 640), 4, np.uint8))
    bright = encoded(np.full((640, 640), 255, np.uint8))
    noise = np.random.default_rng(1).integers(0, 256, (640, 640), np.uint8)
    with floor.conversation() as talk:
        camera = FloorCamera(floor, talk)
        sound = camera.gets(frozen)
        seen = [camera.gets(i) for i in (frozen, black, bright, encoded(noise))]
        after = camera.gets()
    return Seen(
        seen[0] == "frame-frozen"
        and seen[1] == "image-covered"
        and not {"PASS", "DEFECT"} & set(seen)
        and (sound, after) == ("PASS", "PASS"),
        f"{', '.join(seen)}; then {after}",
    )


@attempt(
    "N133",
    "frames without an opening, again and again: does the gateway sign or keep anything for them?",
    control="frame",
)
def n133(t: Target) -> Seen:
    floor = t.once(Floor)
    before, kept = _unanswered(floor), _leaves(floor)
    with floor.conversation() as talk:
        session = talk.offered()  # sealed for an opening that never comes
        image = picture(1)
        for _ in range(80):
            talk.send(frame=session.seal(head(next(floor.numbers), image), image))
        unopened = [talk.said()]
        while unopened[-1] not in {"end", "nothing"}:
            unopened.append(talk.said())
    counted = _grew(before, _unanswered(floor))
    grown = _leaves(floor) - kept
    return Seen(
        unopened[-1] == "end" and "PASS" not in unopened and grown == 0,
        f"{', '.join(dict.fromkeys(unopened))}; unanswered: {counted}; {grown} leaves more",
    )


def _leaves(floor: Floor) -> int:
    return sum(floor.status().outcomes.values())


@attempt(
    "N147",
    "the Open Inference port: more at once than may be, a bomb, an operator's certificate",
    control="frame",
)
def n147(t: Target) -> Seen:
    floor = t.once(Floor)
    request = _inference(board(5))
    with floor.channel(floor.camera.pair, floor.inference_port) as channel:
        infer: Callable[..., Any] = oip_rpc.GRPCInferenceServiceStub(channel).ModelInfer
        sound = reason_of(lambda: infer(request, timeout=TIMEOUT_S))
        with ThreadPoolExecutor(6 * MAX_INFERENCES) as pool:
            calls = [
                pool.submit(reason_of, lambda: infer(request, timeout=60))
                for _ in range(6 * MAX_INFERENCES)
            ]
            crowd = [c.result() for c in calls]
        huge = reason_of(lambda: infer(_inference(_png(100_000, 100_000)), timeout=TIMEOUT_S))
        again = reason_of(lambda: infer(request, timeout=TIMEOUT_S))
    with floor.channel((t.context.key, t.context.certificate), floor.inference_port) as channel:
        infer = oip_rpc.GRPCInferenceServiceStub(channel).ModelInfer
        operator = reason_of(lambda: infer(request, timeout=5))
    refused = [c.reason for c in crowd if c.refused]
    return Seen(
        not sound.refused
        and not again.refused
        and set(refused) == {"too-many-frames-in-flight"}
        and len(refused) < len(crowd)
        and huge.reason == "image"
        and operator.refused,
        f"{len(refused)} of {len(crowd)} at once: {refused[0] if refused else 'none'};"
        f" {huge.reason}; an operator's certificate: {operator.reason[:40]}",
    )


def _inference(image: Any) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name="framegate")
    body = image if isinstance(image, bytes) else encoded(image)
    for name, value in (("frame", body), ("part_type", b"drawn-1")):
        tensor = request.inputs.add(name=name, datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(value)
    return request
