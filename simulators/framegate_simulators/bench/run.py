"""make bench: figures of this machine, as ratios within one run wherever a ratio says more. Writes
build/bench.json; asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

import cv2
import grpc
import numpy as np
import onnxruntime

from framegate.evidence.appraise import appraise
from framegate.evidence.verify import verify_evidence
from framegate.identity.names import DeviceId
from framegate.profile.model import parse_profile
from framegate.wire import Captured, FrameMetadata
from framegate_controller.ca.issue import issue_device
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import found_fleet
from framegate_gateway.admission.link import RECENT_FRAMES, CameraLink
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.detections import detections_from_maps
from framegate_gateway.inference.engine import Inspection
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.verdicts.journal import Journal
from framegate_gateway.verdicts.maker import VerdictMaker
from framegate_operator.connection import gateway_stub, load_context, operator_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.bench.attestation import bench_attestation
from framegate_simulators.bench.inspection import bench_inspection
from framegate_simulators.bench.line import bench_line
from framegate_simulators.bench.people import bench_people
from framegate_simulators.bench.verify import attested, bench_alarms, bench_verify, per_second
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.boards.camera import write_golden
from framegate_simulators.fixtures.camera import SoftwareCamera
from framegate_simulators.fixtures.frames import captured
from framegate_simulators.fixtures.gateway import CAMERA, HOST, warranted
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.tpm import TpmMaker
from framegate_simulators.plant.plant import Plant, wait_for

FRAMES: Final = 60
ROUNDS: Final = 5
WINDOW: Final = 4
"""Frames in flight: enough to keep the model busy, few enough that latency is not all queue."""
PAYLOAD: Final = 160_000
QUARANTINES: Final = 100


class BenchCamera(SoftwareCamera):
    """The client of the frame benchmark: the same frames for every gateway."""

    def __init__(self, folder: Path, fleet: FleetKeys, frames: list[bytes]) -> None:
        super().__init__(folder, fleet)
        self.frames = frames

    async def plain(self, port: int) -> list[float]:
        """Latencies in ms of all frames through the plain gateway."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS) as channel:
            call: Any = rpc.FramesStub(channel).Stream()
            return await self._run(
                call, lambda head, image: pb.SealedFrame(metadata=_metadata(head), sealed=image)
            )

    async def protected(self, port: int, publics: bytes) -> list[float]:
        """Latencies in ms of all frames through the protected gateway: mutual TLS, sealing,
        admission, signed verdicts.
        """
        anchor = self.fleet.issuing["gateway-ca"].pem
        credentials = grpc.ssl_channel_credentials(anchor, *self.tls_pair)
        options = (*_OPTIONS, ("grpc.ssl_target_name_override", "gw1.line-1.gateway.framegate"))
        async with grpc.aio.secure_channel(
            f"127.0.0.1:{port}", credentials, options=options
        ) as channel:
            call: Any = rpc.FramesStub(channel).Stream()
            session = self.session((await call.read()).offer, publics)
            await call.write(pb.CameraMessage(opening=session.opening(self)))
            if (await call.read()).WhichOneof("kind") != "accepted":
                raise RuntimeError("the gateway did not accept the opening")
            return await self._run(call, session.seal)

    async def _run(
        self, call: Any, seal: Callable[[Captured, bytes], pb.SealedFrame]
    ) -> list[float]:
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
        await call.done_writing()
        return took


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


def bench_frames(say: Callable[[str], None]) -> dict[str, Any]:
    """The same frames through onnxruntime alone, the plain and the protected gateway, in turns."""
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
    options.intra_op_num_threads = 2
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        bundle.model, options, providers=["CPUExecutionProvider"]
    )

    def alone() -> list[float]:
        took = []
        for image in frames:
            begun = time.perf_counter()
            frame = np.asarray(cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE))
            pair = np.stack([frame, golden])[None].astype(np.float32) / 255
            heat, geometry = session.run(["heat", "geometry"], {"pair": pair})
            detections_from_maps(heat[0], geometry[0], bundle.recipe.threshold)
            took.append(1e3 * (time.perf_counter() - begun))
        return took

    with _servers(folder) as ports:
        ways: dict[str, Callable[[], list[float]]] = {
            "onnxruntime_alone": alone,
            "gateway_plain": lambda: asyncio.run(camera.plain(ports["plain"]["port"])),
            "gateway_protected": lambda: asyncio.run(
                camera.protected(
                    ports["protected"]["port"], bytes.fromhex(ports["protected"]["publics"])
                )
            ),
        }
        rate: dict[str, list[float]] = {name: [] for name in ways}
        took: dict[str, list[float]] = {name: [] for name in ways}
        for round_number in range(ROUNDS + 1):
            order = list(ways) if round_number % 2 else list(reversed(ways))
            for name in order:
                begun = time.perf_counter()
                latencies = ways[name]()
                if round_number:  # the first round warms caches and connections
                    rate[name].append(FRAMES / (time.perf_counter() - begun))
                    took[name] += latencies
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
        for name in ways
    }
    ratios = [c / b for b, c in zip(rate["gateway_plain"], rate["gateway_protected"], strict=True)]
    result |= {
        "ratio_protected_to_plain": round(median(ratios), 3),
        "ratio_rounds": [round(r, 3) for r in ratios],
        "frames_a_round": FRAMES,
        "rounds": ROUNDS,
        "in_flight": WINDOW,
        "frame_bytes_median": int(median(len(f) for f in frames)),
        "note": (
            "latency of the gateways includes waiting behind the frames in flight; the broker is"
            " not in the path"
        ),
    }
    result |= asyncio.run(bench_security(camera))
    return result


@contextlib.contextmanager
def _servers(folder: Path) -> Iterator[dict[str, Any]]:
    argv = [sys.executable, "-m", "framegate_simulators.bench.server"]
    running = [subprocess.Popen([*argv, mode, str(folder)]) for mode in ("plain", "protected")]
    try:
        files = {mode: folder / f"{mode}.json" for mode in ("plain", "protected")}
        wait_for("both gateways", lambda: all(f.exists() for f in files.values()), 60)
        yield {mode: json.loads(f.read_text()) for mode, f in files.items()}
    finally:
        for process in running:
            process.kill()
            process.wait()


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
    for number in range(1000):
        image[:4] = number.to_bytes(4, "big")  # no two frames are alike
        head = captured(number, PAYLOAD)
        t0 = time.perf_counter()
        frame = session.seal(head, bytes(image))
        t1 = time.perf_counter()
        admitted = link.admit(frame.metadata, frame.sealed)
        t2 = time.perf_counter()
        await maker.inspected(admitted, Inspection((), ""), 0.0)
        parts.append((t1 - t0, t2 - t1, time.perf_counter() - t2))
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
        "security_frame_bytes": PAYLOAD,
    }


def bench_issue() -> dict[str, Any]:
    """Device certificates issued for an affirming result, a second."""
    folder = Path(tempfile.mkdtemp(prefix="fg-bench-"))
    fleet, forge = (
        found_fleet(folder / "keys", "plant"),
        Forge(TpmMaker.found(), Firmware("simulated-camera")),
    )
    profile = parse_profile(
        profile_toml(replace(forge.firmware, ima=False), "simulated-camera").encode()
    )
    result = appraise(verify_evidence(*attested(forge, tuple(range(10)))), profile, None)
    now = datetime.now(UTC)
    return {
        "certificates_per_s": round(
            per_second(
                lambda: issue_device(fleet, DeviceId(CAMERA), result, timedelta(minutes=3), now),
                300,
            )
        )
    }


def bench_plant(say: Callable[[str], None]) -> dict[str, Any]:
    """Quarantine to the last accepted frame, and what an agent costs, on a whole plant."""
    with Plant(interval_s=60.0) as plant, plant.explained():
        plant.found_fleet()
        plant.start_controller()
        gateway, camera = plant.add_machine("gw1", "gateway"), plant.add_machine("cam1")
        for site in (gateway, camera):
            plant.join(site, plant.invite(site))
        images = plant.folder / "images"
        images.mkdir()
        boards = [draw_board(n, design=1, clean_capture=True) for n in range(8)]
        for n in range(
            RECENT_FRAMES + 8
            # more than a frozen image is looked for among; a golden image for each name, which is
            # the
            # part type
        ):
            frame = boards[n % 8].frame.copy()
            frame[0:8, 0:8] = 3 * (n % 80)
            cv2.imwrite(str(images / f"drawn-1_{n}.png"), frame)
            cv2.imwrite(str(plant.golden / f"drawn-1_{n}.png"), boards[n % 8].golden)
        plant.start_agent(gateway)
        plant.start_gateway(gateway)
        plant.start_agent(camera, "--source", f"folder:{images}", "--rate", "30", "--repeat")
        wait_for(
            "frames",
            lambda: (
                camera.status().get("outcomes", {}).get("DEFECT", 0)
                + camera.status().get("outcomes", {}).get("PASS", 0)
                > 5
            ),
            60,
        )
        agent = {
            "idle": _usage(plant.process("agent-gw1").pid, 10.0),
            "with_30_frames_per_s": _usage(plant.process("agent-cam1").pid, 10.0),
        }
        say(f"agent: {agent}")
        return {"quarantine": _quarantines(plant, say), "agent": agent}


def _quarantines(plant: Plant, say: Callable[[str], None]) -> dict[str, Any]:
    operator, (_, port) = load_context(plant.context), plant.gateway_ports(plant.sites["gw1"])
    accepted: list[int] = []
    refused = threading.Event()
    resumed = threading.Event()
    ended = threading.Event()

    def watch() -> None:
        with (
            gateway_stub(operator, HOST, f"127.0.0.1:{port}") as stub,
            contextlib.suppress(Exception),
        ):
            for batch in stub.WatchVerdicts(pb.ListVerdictsRequest(), stream=True):
                for envelope in batch.verdicts:
                    body = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
                    if body["outcome"] == "UNINSPECTED":
                        refused.set()
                    else:
                        accepted.append(body["issued_at_ms"])
                        resumed.set()
                if ended.is_set():
                    return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    took: list[int] = []
    with operator_stub(operator) as stub:
        for number in range(QUARANTINES):
            resumed.clear()
            if not resumed.wait(30):
                raise RuntimeError("the camera did not come back")
            time.sleep(random.uniform(0.05, 0.25))  # a try must not begin in step with the frames
            refused.clear()
            at = stub.Change(
                pb.ChangeRequest(device="cam1", event="quarantine", reason="bench")
            ).since_ms
            if not refused.wait(10):
                raise RuntimeError("no frame was refused after the quarantine")
            took.append(max(a for a in accepted) - at)
            stub.Change(pb.ChangeRequest(device="cam1", event="release", reason="bench"))
            if number % 20 == 19:
                say(
                    f"quarantine: {number + 1} of {QUARANTINES}, p99 so far"
                    f" {np.percentile(took, 99):.0f} ms, earliest {min(took)} ms"
                )
    ended.set()
    # negative: the last frame was accepted before the quarantine was decided; at 30 frames a second
    # most tries end so
    percentiles = {f"p{p}_ms": round(float(np.percentile(took, p)), 1) for p in (50, 90, 99)}
    return {"tries": QUARANTINES, **percentiles, "max_ms": max(took), "min_ms": min(took)}


def _usage(pid: int, seconds: float) -> dict[str, float]:
    """Resident MiB and per cent of a core of one process."""

    def ticks() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(seconds)
    resident = next(
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )
    return {
        "rss_mib": round(int(resident.split()[1]) / 1024, 1),
        "cpu_percent_of_a_core": round(
            100 * (ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds, 2
        ),
    }


def main() -> None:
    """make bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument(
        "--only",
        choices=[
            "frames",
            "inspection",
            "verify",
            "alarms",
            "issue",
            "line",
            "people",
            "attestation",
            "plant",
        ],
    )
    args = parser.parse_args()
    args.build.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun:5.0f} s] {text}", file=sys.stderr, flush=True)

    result: dict[str, Any] = {
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
        }
    }
    if args.only in {None, "verify"}:
        result["verify"] = bench_verify()
        say(f"verify: {result['verify']}")
    if args.only in {None, "alarms"}:
        result["alarms"] = bench_alarms()
        say(f"alarms: {result['alarms']}")
    if args.only in {None, "issue"}:
        result["issue"] = bench_issue()
        say(f"issue: {result['issue']}")
    if args.only in {None, "frames"}:
        result["frames"] = bench_frames(say)
        say(f"frames: {result['frames']}")
    if args.only in {None, "inspection"}:
        result["inspection"] = bench_inspection(say)
    if args.only in {None, "line"}:
        result["line"] = bench_line(say)
        say(f"line: {result['line']}")
    if args.only in {None, "people"}:
        result["people"] = bench_people(say)
    if args.only in {None, "attestation"}:
        result["attestation"] = bench_attestation(say)
    if args.only in {None, "plant"}:
        result |= bench_plant(say)
    (args.build / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
