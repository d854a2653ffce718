"""Frames through the gateway: the model alone, a gateway without security and the protected one, in
turns; and what security costs one frame, part by part.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, stdev
from typing import Any, Final, NamedTuple

import cv2
import grpc
import numpy as np
import onnxruntime

from framegate.wire import Captured, FrameMetadata
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import found_fleet
from framegate_gateway.admission.link import CameraLink
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.decoding import AS_STORED
from framegate_gateway.inference.detections import detections_from_maps
from framegate_gateway.inference.inspection import Inspection
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.verdicts.journal import Journal
from framegate_gateway.verdicts.maker import VerdictMaker
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.bench.server import THREADS
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.boards.camera import write_golden
from framegate_simulators.fixtures.camera import SoftwareCamera
from framegate_simulators.fixtures.frames import captured
from framegate_simulators.fixtures.gateway import CAMERA, warranted
from framegate_simulators.plant.processes import wait_for
from framegate_simulators.process_readings import children_of, processor_s

FRAMES: Final = 30
ROUNDS: Final = 40
"""Short rounds, many of them: two ways are compared within a second or two, before the machine is
another, and what is left of its moods goes down with the rounds' root.
"""
SAID: Final = 8
"""Rounds between two lines of how far it is."""
MEDIANS: Final = 1.253
"""A median's standard error in that of a mean, of normal values: the root of pi / 2."""
WINDOW: Final = 4
"""Frames in flight: enough to keep the model busy, few enough that latency is not all queue."""
PAYLOAD: Final = 160_000
SECURED: Final = 1_000
COMMIT_BYTES: Final = 4 * 1024
"""A page of the receipts' file, which is what a verdict waits for."""
FLUSHES: Final = 200


class Spent(NamedTuple):
    """Seconds of the processor so far: of the camera, the gateway and its inference child."""

    camera: float
    gateway: float
    child: float

    @classmethod
    def by(cls, gateway: int) -> Spent:
        """By now, of this process and of the gateway with this process id."""
        child = children_of(gateway)[0]
        return cls(time.process_time(), processor_s(gateway), processor_s(child))

    def since(self, before: Spent) -> Spent:
        """What was spent in between."""
        return Spent(*(b - a for a, b in zip(before, self, strict=True)))


class Round(NamedTuple):
    """One round's latencies in ms, the seconds that all its frames took, and those before the
    first: connection, and where there is one, offer and opening; what its frames took of the
    processor.
    """

    took_ms: list[float]
    seconds: float
    opening_s: float
    spent: Spent | None = None


class BenchCamera(SoftwareCamera):
    """The client of the frame benchmark: the same frames for every gateway."""

    def __init__(self, folder: Path, fleet: FleetKeys, frames: list[bytes]) -> None:
        super().__init__(folder, fleet)
        self.frames = frames

    async def plain(self, at: dict[str, Any]) -> Round:
        """All frames through the plain gateway."""
        begun = time.perf_counter()
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{at['port']}", options=_OPTIONS
        ) as channel:
            await channel.channel_ready()
            call: Any = rpc.FramesStub(channel).Stream()
            return await self._run(
                call,
                lambda head, image: pb.SealedFrame(metadata=_metadata(head), sealed=image),
                begun,
                at["pid"],
            )

    async def protected(self, at: dict[str, Any]) -> Round:
        """All frames through the protected gateway: mutual TLS, sealing, admission, signed
        verdicts.
        """
        begun = time.perf_counter()
        anchor = self.fleet.issuing["gateway-ca"].pem
        credentials = grpc.ssl_channel_credentials(anchor, *self.tls_pair)
        options = (*_OPTIONS, ("grpc.ssl_target_name_override", "gw1.line-1.gateway.framegate"))
        async with grpc.aio.secure_channel(
            f"127.0.0.1:{at['port']}", credentials, options=options
        ) as channel:
            call: Any = rpc.FramesStub(channel).Stream()
            session = self.session((await call.read()).offer, bytes.fromhex(at["publics"]))
            await call.write(pb.CameraMessage(opening=session.opening(self)))
            if (await call.read()).WhichOneof("kind") != "accepted":
                raise RuntimeError("the gateway did not accept the opening")
            return await self._run(call, session.seal, begun, at["pid"])

    async def _run(
        self,
        call: Any,
        seal: Callable[[Captured, bytes], pb.SealedFrame],
        since: float,
        gateway: int,
    ) -> Round:
        before, first = Spent.by(gateway), time.perf_counter()
        begun: dict[int, float] = {}
        took: list[float] = []
        free = asyncio.Semaphore(WINDOW)

        async def read() -> None:
            for number in range(len(self.frames)):
                message = await call.read()
                if message is grpc.aio.EOF or message.WhichOneof("kind") != "answer":
                    raise RuntimeError(f"no answer: {message}")
                took.append(1e3 * (time.perf_counter() - begun[number]))
                free.release()

        reader = asyncio.create_task(read())
        for number, image in enumerate(self.frames):
            await free.acquire()
            head = captured(number, len(image), part_type="drawn-1")
            begun[number] = time.perf_counter()
            await call.write(pb.CameraMessage(frame=seal(head, image)))
        await reader
        seconds, spent = time.perf_counter() - first, Spent.by(gateway).since(before)
        await call.done_writing()
        return Round(took, seconds, first - since, spent)


_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
)


def _metadata(head: Captured) -> bytes:
    return FrameMetadata(
        session=bytes(16),
        device=CAMERA,
        part=head.part,
        part_type=head.part_type,
        trigger_sequence=head.trigger_sequence,
        captured_at_ms=0,
        uncertainty_ms=0,
        encoding=head.encoding,
        width=head.width,
        height=head.height,
        mask_version=0,
        mask_sha256=b"",
    ).marshal()


def bench_frames(say: Callable[[str], None], threads: int = THREADS) -> dict[str, Any]:
    """The same frames through onnxruntime alone, the plain and the protected gateway, in turns;
    `threads` are the model's.
    """
    folder = Path(tempfile.mkdtemp(prefix="fg-bench-"))
    fleet = found_fleet(folder / "keys", "plant")
    write_golden(folder / "golden", [1])
    boards = [draw_board(n, design=1, clean_capture=True) for n in range(FRAMES)]
    frames = [
        cv2.imencode(".jpg", b.frame, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes() for b in boards
    ]
    camera = BenchCamera(folder, fleet, frames)
    golden = boards[0].golden
    bundle = load_bundle(DEFAULT_BUNDLE)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        bundle.model, options, providers=["CPUExecutionProvider"]
    )

    def alone() -> Round:
        took, first = [], time.perf_counter()
        for image in frames:
            begun = time.perf_counter()
            frame = np.asarray(cv2.imdecode(np.frombuffer(image, np.uint8), AS_STORED))
            pair = np.stack([frame, golden])[None].astype(np.float32) / 255
            heat, geometry = session.run(["heat", "geometry"], {"pair": pair})
            detections_from_maps(heat[0], geometry[0], bundle.recipe.threshold)
            took.append(1e3 * (time.perf_counter() - begun))
        return Round(took, time.perf_counter() - first, 0.0)

    with _servers(folder, threads) as ports:
        ways: dict[str, Callable[[], Round]] = {
            "onnxruntime_alone": alone,
            "gateway_plain": lambda: asyncio.run(camera.plain(ports["plain"])),
            "gateway_protected": lambda: asyncio.run(camera.protected(ports["protected"])),
        }
        rate: dict[str, list[float]] = {name: [] for name in ways}
        took: dict[str, list[float]] = {name: [] for name in ways}
        opening: list[float] = []
        spent: dict[str, list[Spent]] = {name: [] for name in ways}
        for round_number in range(ROUNDS + 1):
            order = list(ways) if round_number % 2 else list(reversed(ways))
            for name in order:
                done = ways[name]()
                if round_number:  # the first round warms caches and connections
                    rate[name].append(FRAMES / done.seconds)
                    took[name] += done.took_ms
                    spent[name] += [done.spent] if done.spent is not None else []
                    if name == "gateway_protected":
                        opening.append(done.opening_s)
            if round_number % SAID:
                continue
            say(
                f"frames: round {round_number} of {ROUNDS}: "
                + ", ".join(f"{n} {r[-1]:.1f}/s" for n, r in rate.items() if r)
            )
    result: dict[str, Any] = {
        name: {
            "frames_per_s": round(median(rate[name]), 1),
            "p50_ms": round(float(np.percentile(took[name], 50)), 2),
            "p99_ms": round(float(np.percentile(took[name], 99)), 2),
        }
        | _a_frame(spent[name])
        for name in ways
    }
    ratios = [c / b for b, c in zip(rate["gateway_plain"], rate["gateway_protected"], strict=True)]
    result |= {
        "ratio_protected_to_plain": round(median(ratios), 3),
        "ratio_rounds": [round(r, 3) for r in ratios],
        "ratio_standard_error": round(MEDIANS * stdev(ratios) / len(ratios) ** 0.5, 3),
        "opening_ms_p50": round(1e3 * median(opening), 2),
        "frames_a_round": FRAMES,
        "rounds": ROUNDS,
        "in_flight": WINDOW,
        "threads": threads,
        "frame_bytes_median": int(median(len(f) for f in frames)),
        "note": (
            "latency of the gateways includes waiting behind the frames in flight; the broker is"
            " not in the path; rates begin with the first frame, what comes before is opening_ms"
        ),
    }
    result |= asyncio.run(bench_security(camera))
    return result


def _a_frame(spent: list[Spent]) -> dict[str, Any]:
    """Mean ms of the processor for one frame; nothing where that was not counted."""
    if not spent:
        return {}
    whole = zip(Spent._fields, np.sum(spent, axis=0), strict=True)
    return {
        "cpu_ms_a_frame": {
            who: round(1e3 * float(s) / (len(spent) * FRAMES), 2) for who, s in whole
        }
    }


@contextlib.contextmanager
def _servers(folder: Path, threads: int) -> Iterator[dict[str, Any]]:
    argv = [sys.executable, "-m", "framegate_simulators.bench.server", "--threads", str(threads)]
    running = [subprocess.Popen([*argv, mode, str(folder)]) for mode in ("plain", "protected")]
    try:
        files = {mode: folder / f"{mode}.json" for mode in ("plain", "protected")}
        wait_for("both gateways", lambda: all(f.exists() for f in files.values()), 60)
        yield {mode: json.loads(f.read_text()) for mode, f in files.items()}
    finally:
        for process in running:
            process.kill()
            process.wait()


def _flushes(path: Path) -> list[float]:
    """Seconds that the disk takes for what a receipt's commit writes, and nothing else: the part
    of the cost that is the disk's, which no gateway may leave out.
    """
    took, page = [], os.urandom(COMMIT_BYTES)
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for number in range(FLUSHES + 1):
            begun = time.perf_counter()
            os.pwrite(file, page, 0)
            os.fdatasync(file)
            if number:  # the first one also gives the file its place
                took.append(time.perf_counter() - begun)
    finally:
        os.close(file)
    return took


async def bench_security(camera: SoftwareCamera) -> dict[str, Any]:
    """What security costs one 160 KB frame: seal on the camera, admit at the gateway, sign the
    verdict and have its receipt on disk.
    """
    models = Models(load_bundle(DEFAULT_BUNDLE), GoldenImages(()))
    keys, view = warranted(camera.fleet, camera.certificate, models.bundle.digest)
    link = CameraLink(camera.certificate, keys, view)
    session = camera.session(link.offer(), keys.newest.publics)
    signed = session.opening(camera)
    link.open(signed.opening, signed.signature)
    receipts = ReceiptStore(camera.folder / "security")
    maker = VerdictMaker(keys, view, models, Journal(), None, receipts)
    image, parts = bytearray(os.urandom(PAYLOAD)), []
    begun = time.process_time()
    for number in range(SECURED):
        image[:4] = number.to_bytes(4, "big")  # no two frames are alike
        head = captured(number, PAYLOAD)
        t0 = time.perf_counter()
        frame = session.seal(head, bytes(image))
        t1 = time.perf_counter()
        admitted = link.admit(link.open_frame(frame.metadata, frame.sealed))
        t2 = time.perf_counter()
        await maker.inspected(admitted, Inspection((), "", 100), 0.0)
        parts.append((t1 - t0, t2 - t1, time.perf_counter() - t2))
    used = time.process_time() - begun
    receipts.close()
    ms = 1e3 * np.array(parts)
    return {
        "security_ms_p50": round(float(np.median(ms.sum(axis=1))), 3),
        "security_ms_p99": round(float(np.percentile(ms.sum(axis=1), 99)), 3),
        "security_parts_ms_p50": {
            n: round(float(v), 3)
            for n, v in zip(
                ("seal", "admit", "verdict_and_receipt"), np.median(ms, axis=0), strict=True
            )
        },
        "security_cpu_ms": round(1e3 * used / SECURED, 3),
        "disk_flush_ms_p50": round(1e3 * median(_flushes(camera.folder / "flushes")), 3),
        "security_frame_bytes": PAYLOAD,
    }
