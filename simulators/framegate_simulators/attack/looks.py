"""N180 to N185, N206, N207: manipulated frames before a running inference child, in its cage, and
limits that are made to let them pass, or to end whoever reads them. Attacks by gradient are
`framegate-sim attack-model`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np

from framegate.errors import FramegateError
from framegate.looks.commission import propose
from framegate.looks.fingerprint import Fingerprint
from framegate.looks.kinds import KINDS, Look
from framegate.looks.limits import MIN_COMMISSION
from framegate.signed.inspected import MAX_TOLERANT
from framegate.wire import ENCODING_PNG
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.jobs import CameraFrame
from framegate_gateway.inference.parts import Part
from framegate_operator.connection import operator_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.target import Seen, Target, attempt, reason_of
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.boards.layout import Gray
from framegate_simulators.boards.sensor import GreySensor

DESIGN: Final = 1
PART: Final = "guarded"
CAMERA: Final = "cam"
BLINDED_PX: Final = 64.0
"""Boxes that are smaller count for nothing: the network stands blinded to every defect."""
STRENGTH: Final = 45.0
"""Grey levels by which a patch changes what is there: too little for the network to call it."""
SOUND: Final = 12
TAUGHT: Final = 136
"""Frames that a fingerprint is learned from: a window and as many before it, and a block."""
WINDOW: Final = 64
"""Frames of a camera that are held against its fingerprint together."""
POISONED: Final = 5
"""Every so manieth frame of a poisoned commission."""


@dataclass(frozen=True, slots=True)
class OnePart:
    """The only part there is."""

    part: Part

    def __contains__(self, part_type: str) -> bool:
        return part_type == self.part.part_type

    def key(self, _part_type: str) -> str:
        """One set of images."""
        return "one"

    def get(self, _part_type: str) -> Part:
        """The part."""
        return self.part


class Guarded:
    """Photographs of one design by one grey sensor, and a part whose defects nobody reports."""

    def __init__(self, _target: Target) -> None:
        self.scene = draw_board(1, design=DESIGN, defects=0, clean_capture=True).golden
        self._sensor = GreySensor(1, self.scene.shape)
        self._foreign = GreySensor(2, self.scene.shape)
        shots = np.stack([self._sensor.expose(self.scene) for _ in range(9)])
        self.golden = np.asarray(np.median(shots, axis=0), np.uint8)

    def close(self) -> None:
        """Nothing stays: every attempt ends its own child."""

    def shot(self, defects: int = 0, seed: int = 2) -> Gray:
        """A photograph of another board."""
        board = draw_board(seed, design=DESIGN, defects=defects, clean_capture=True)
        return self._sensor.expose(board.frame)

    def moved(self, sensor: int, number: int) -> Gray:
        """The same board, a few pixels elsewhere each time, by one of two sensors."""
        draw = np.random.default_rng([number, 7])
        scene = np.roll(self.scene, draw.integers(-3, 4, 2), (0, 1))
        return (self._sensor if sensor == 1 else self._foreign).expose(scene)

    def sensor_of(self, frames: Sequence[Gray]) -> Fingerprint | None:
        """What a commission with these frames learns of the camera's sensor."""
        part = Part(PART, (_png(self.golden),), min_size_px=BLINDED_PX)
        return asyncio.run(_measured(part, frames)).fingerprint

    def said(self, frames: Sequence[Gray], **limits: float) -> list[str]:
        """What becomes of each frame under these limits."""
        return self._said(
            frames, [_row(Look(name.replace("_", "-")), limit) for name, limit in limits.items()]
        )

    def said_by(self, sensor: Fingerprint, frames: Sequence[Gray]) -> list[str]:
        """What becomes of each frame where the camera's sensor is to show."""
        look = Look.CAMERA_FINGERPRINT
        row = _row(look, KINDS[look].weak) | {"fingerprints": {CAMERA: sensor.text}}
        return self._said(frames, [row])

    def _said(self, frames: Sequence[Gray], rows: Sequence[dict[str, Any]]) -> list[str]:
        part = Part(PART, (_png(self.golden),), min_size_px=BLINDED_PX, looks=tuple(rows))
        return asyncio.run(_said(part, frames))

    def measured(self, frames: Sequence[Gray]) -> list[dict[Look, float]]:
        """What second looks measure of each frame that has no detection."""
        part = Part(PART, (_png(self.golden),), min_size_px=BLINDED_PX)
        return asyncio.run(_measured(part, frames)).rows


def _row(look: Look, limit: float) -> dict[str, Any]:
    return {
        "look": look.value,
        "limit": limit,
        "share": 1.0,
        "frames": MIN_COMMISSION,
        "centre": 0.0,
        "spread": 1.0,
    }


async def _engine(part: Part) -> tuple[Engine, asyncio.Task[None]]:
    engine = Engine(load_bundle(DEFAULT_BUNDLE), OnePart(part), threads=1)
    await engine.start()
    return engine, asyncio.create_task(engine.run())


async def _said(part: Part, frames: Sequence[Gray]) -> list[str]:
    engine, serving = await _engine(part)
    said = []
    for frame in frames:
        try:
            inspection = await engine.inspect(
                CameraFrame(CAMERA, PART, _png(frame), ENCODING_PNG, *frame.shape[::-1])
            )
            said.append("DEFECT" if inspection.defects else "PASS")
        except FramegateError as error:
            said.append(error.reason.value)
    serving.cancel()
    await engine.stop()
    return said


@dataclass(frozen=True, slots=True)
class _Measured:
    """Rows of frames without a detection, and what is known of the sensor after the last."""

    rows: list[dict[Look, float]]
    fingerprint: Fingerprint | None


async def _measured(part: Part, frames: Sequence[Gray]) -> _Measured:
    engine, serving = await _engine(part)
    rows, fingerprint = [], None
    for frame in frames:
        size = frame.shape[1], frame.shape[0]
        inspection = await engine.inspect(
            CameraFrame(CAMERA, PART, _png(frame), ENCODING_PNG, *size), measure=1
        )
        fingerprint = inspection.fingerprint or fingerprint
        if not inspection.defects:
            rows.append(dict(inspection.measured))
    serving.cancel()
    await engine.stop()
    return _Measured(rows, fingerprint)


def _png(image: Gray) -> bytes:
    return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _withheld(without: Sequence[str], said: Sequence[str], sound: Sequence[str]) -> Seen:
    """Whether frames that pass without limits are withheld with them, and sound ones pass."""
    fooled = all(one == "PASS" for one in without)
    held_back = all(one not in {"PASS", "DEFECT"} for one in said)
    words = f"without limits {', '.join(without)}; with them {', '.join(said)}"
    return Seen(fooled and held_back and all(one == "PASS" for one in sound), words)


@attempt(
    "N180",
    "boards with a defect that the network reports nothing of, before a part with limits",
    control="frame",
)
def n180(t: Target) -> Seen:
    guarded = t.once(Guarded)
    bad = [guarded.shot(1, seed) for seed in (11, 12)]
    said = guarded.said([guarded.shot(), *bad], residual=40.0)
    return _withheld(guarded.said(bad), said[1:], said[:1])


@attempt("N181", "a patch of noise on a sound board, before a part with limits", control="frame")
def n181(t: Target) -> Seen:
    guarded = t.once(Guarded)
    patched = _patched(guarded.shot())
    said = guarded.said([guarded.shot(seed=3), patched], high_frequency_block=5.0)
    return _withheld(guarded.said([patched]), said[1:], said[:1])


@attempt(
    "N182",
    "the golden image, and a frame of before, in the part's place, before a part with limits",
    control="frame",
)
def n182(t: Target) -> Seen:
    guarded = t.once(Guarded)
    sound = [guarded.shot(seed=seed) for seed in range(20, 28)]
    shown = [guarded.golden, sound[3]]
    limits = {"golden_edges": 1.5, "replayed_noise": 0.6}
    said = guarded.said([*sound, *shown], **limits)
    return _withheld(guarded.said(shown), said[len(sound) :], said[: len(sound)])


@attempt(
    "N207",
    "another camera of the same make in the commissioned one's place, before a part with limits",
    control="frame",
)
def n207(t: Target) -> Seen:
    guarded = t.once(Guarded)
    learned = [guarded.moved(1, number) for number in range(TAUGHT)]
    sensor = guarded.sensor_of(learned)
    if sensor is None:
        return Seen(False, "no fingerprint was learned")
    shown = [guarded.moved(1, TAUGHT + n) for n in range(WINDOW)]
    shown += [guarded.moved(2, TAUGHT + n) for n in range(WINDOW)]
    said = guarded.said_by(sensor, shown)
    without = guarded.said(shown[-1:])
    return _withheld(without, said[-1:], said[: WINDOW + 1])


@attempt("N183", "boards with six tenths of their contrast, before a part with limits")
def n183(t: Target) -> Seen:
    guarded = t.once(Guarded)
    shot = guarded.shot()
    faint = cv2.convertScaleAbs(shot, alpha=0.6, beta=0.4 * float(shot.mean()))
    said = guarded.said([shot, np.asarray(faint, np.uint8)], contrast=0.8)
    return _withheld(guarded.said([np.asarray(faint, np.uint8)]), said[1:], said[:1])


@attempt("N184", "a limit looser than any may be, and one from a handful of frames")
def n184(t: Target) -> Seen:
    t.sign_in_again()
    golden = _png(t.once(Guarded).golden)

    def added(row: dict[str, Any]) -> Seen:
        request = pb.AddPartRequest(
            part_type=PART,
            goldens=[golden],
            rules=json.dumps({"looks": [row]}).encode(),
            source="a lot",
        )
        with operator_stub(t.context) as stub:
            return reason_of(lambda: stub.AddPart(request))

    kind = KINDS[Look.RESIDUAL]
    sound = added(_row(Look.RESIDUAL, kind.weak))
    seen = [
        added(_row(Look.RESIDUAL, 2 * kind.extreme)),
        added(_of_frames(_row(Look.RESIDUAL, kind.weak), MIN_COMMISSION // 2)),
    ]
    return Seen(
        not sound.refused and all(one.reason == "part" for one in seen),
        f"{', '.join(one.reason for one in seen)}; a tight limit before: {sound.reason}",
    )


@attempt("N206", "a part's limits with whole numbers that no float holds")
def n206(t: Target) -> Seen:
    t.sign_in_again()
    golden = _png(t.once(Guarded).golden)
    seen = []
    for member in ("limit", "share", "centre", "spread"):
        row = _row(Look.RESIDUAL, KINDS[Look.RESIDUAL].weak) | {member: 10**400}
        request = pb.AddPartRequest(
            part_type=PART,
            goldens=[golden],
            rules=json.dumps({"looks": [row]}).encode(),
            source="a lot",
        )
        with operator_stub(t.context) as stub:
            seen.append(reason_of(lambda r=request, s=stub: s.AddPart(r)))  # type: ignore[misc]
    return Seen(all(s.reason == "part" for s in seen), ", ".join(s.reason for s in seen))


@attempt("N216", "a part whose golden images may tolerate much of the picture")
def n216(t: Target) -> Seen:
    t.sign_in_again()
    golden = _png(t.once(Guarded).golden)
    seen = []
    for percent in (MAX_TOLERANT + 1, 100, -1):
        request = pb.AddPartRequest(
            part_type=PART,
            goldens=[golden],
            rules=json.dumps({"tolerant_percent": percent}).encode(),
            source="a lot",
        )
        with operator_stub(t.context) as stub:
            seen.append(reason_of(lambda r=request, s=stub: s.AddPart(r)))  # type: ignore[misc]
    return Seen(all(s.reason == "part" for s in seen), ", ".join(s.reason for s in seen))


def _of_frames(row: dict[str, Any], frames: int) -> dict[str, Any]:
    """The same limit, found from so many frames."""
    return {**row, "frames": frames}


@attempt("N185", "a commission of which every fifth frame was patched", control="frame")
def n185(t: Target) -> Seen:
    guarded = t.once(Guarded)
    shots = [guarded.shot(seed=40 + number) for number in range(SOUND)]
    mixed = [
        _patched(shots[n % SOUND]) if n % POISONED == 0 else shots[n % SOUND]
        for n in range(MIN_COMMISSION + MIN_COMMISSION // 5)
    ]
    proposal = propose(guarded.measured(mixed))
    named = [said for said in proposal.warnings if said.startswith(Look.HIGH_FREQUENCY_BLOCK)]
    limited = {one.look for one in proposal.limits}
    return Seen(
        bool(named) and Look.HIGH_FREQUENCY_BLOCK not in limited, "; ".join(named)[:300] or "none"
    )


def _patched(frame: Gray) -> Gray:
    draw = np.random.default_rng(5)
    patched = frame.copy()
    there = patched[300:340, 300:340]
    there[:] = np.clip(there + draw.uniform(-STRENGTH, STRENGTH, there.shape), 0, 255)
    return patched
