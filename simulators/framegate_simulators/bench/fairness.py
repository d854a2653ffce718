"""make fairness: one camera floods a gateway at ten times its rate; what the others notice of it.

A gateway process with every check, and cameras from two other processes: those that keep their
rate, and the one that floods. Rounds without and with the flood take turns, so that what else the
machine does falls on both. Latency is from a frame's sealing to its verdict's arrival.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import grpc
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from framegate.identity.pem import private_pem
from framegate.signed.dsse import parse_envelope
from framegate.signed.statement import Outcome, Verdict
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import found_fleet, load_fleet
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.boards.camera import write_golden
from framegate_simulators.fixtures.camera import SoftwareCamera
from framegate_simulators.fixtures.frames import captured
from framegate_simulators.fixtures.gateway import CAMERA
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.processes import wait_for

OTHERS: Final = 4
"""Cameras that keep their rate."""
RATE: Final = 2.0
"""Frames a second of each camera: five of them use a third of what two cores inspect."""
FLOOD: Final = 10.0
"""Times its rate that the one camera floods with."""
ROUND_S: Final = 15.0
ROUNDS: Final = 3
MOST: Final = 1.5
"""What the others' p99 may be with the flood, in times of what it is without."""
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.ssl_target_name_override", "gw1.line-1.gateway.framegate"),
)


@dataclass(frozen=True, slots=True)
class Round:
    """What one camera does for a while: frames a second, at times drawn by chance, of `part`."""

    device: str
    rate: float
    seconds: float
    seed: int
    key: bytes
    certificate: bytes
    part: str = "drawn-1"


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where the gateway listens, and the public keys that frames are sealed for."""

    port: int
    publics: bytes


async def sent(camera: SoftwareCamera, gateway: Gateway, one: Round) -> dict[str, Any]:
    """Frames of one camera, at its rate whatever comes back: ms of each inspected frame, of each
    answered one, and outcomes by reason. What was not answered when the round was over is
    `unanswered`.
    """
    images, begun = _images(), dict[int, float]()
    anchor = camera.fleet.issuing["gateway-ca"].pem
    credentials = grpc.ssl_channel_credentials(anchor, *camera.tls_pair)
    took, answered, said = list[float](), list[float](), Counter[str]()
    async with grpc.aio.secure_channel(
        f"127.0.0.1:{gateway.port}", credentials, options=_OPTIONS
    ) as channel:
        call: Any = rpc.FramesStub(channel).Stream()
        session = camera.session((await call.read()).offer, gateway.publics)
        await call.write(pb.CameraMessage(opening=session.opening(camera)))
        if (await call.read()).WhichOneof("kind") != "accepted":
            raise RuntimeError("the gateway did not accept the opening")

        async def read() -> None:
            while (message := await call.read()) is not grpc.aio.EOF:
                if message.WhichOneof("kind") != "answer":
                    continue
                payload = parse_envelope(message.answer.verdict, Verdict.TYPE).payload
                verdict = Verdict.parse_payload(payload)
                said[verdict.reason or "inspected"] += 1
                answered.append(1e3 * (time.perf_counter() - begun.pop(verdict.trigger_sequence)))
                if verdict.outcome != Outcome.UNINSPECTED:
                    took.append(answered[-1])

        reader = asyncio.create_task(read())
        chance, number = random.Random(one.seed), 0
        due = time.perf_counter()
        end = due + one.seconds
        while (due := due + chance.expovariate(one.rate)) < end:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            image = _numbered(images[number % len(images)], number)
            begun[number] = time.perf_counter()
            sealed = session.seal(captured(number, len(image), part_type=one.part), image)
            await call.write(pb.CameraMessage(frame=sealed))
            number += 1
        await call.done_writing()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader, 10)
    return {"took_ms": took, "answered_ms": answered, "said": said, "unanswered": len(begun)}


@cache
def _fleet(folder: Path) -> FleetKeys:
    """Once a process: its passphrase is made dear to guess."""
    return load_fleet(folder)


def _images() -> list[bytes]:
    boards = [draw_board(n, design=1, clean_capture=True) for n in range(8)]
    how = [cv2.IMWRITE_JPEG_QUALITY, 95]
    return [cv2.imencode(".jpg", board.frame, how)[1].tobytes() for board in boards]


def _numbered(image: bytes, number: int) -> bytes:
    """The same picture with a comment (ITU-T T.81, B.2.4.5): no two are the same bytes."""
    return image[:2] + b"\xff\xfe\x00\x0a" + number.to_bytes(8, "big") + image[2:]


class Credentials(NamedTuple):
    """A camera's private key and its certificate, in PEM."""

    key: bytes
    certificate: bytes


def credentials_of(camera: SoftwareCamera) -> Credentials:
    """What another process needs to be that camera."""
    certificate = camera.certificate.public_bytes(Encoding.PEM)
    return Credentials(private_pem(camera.private), certificate)


class _Held(SoftwareCamera):
    """A camera that another process of this run has made, and the gateway knows."""

    def __init__(self, folder: Path, one: Round) -> None:
        self.folder, self.fleet, self.device = folder, _fleet(folder / "keys"), one.device
        private = load_pem_private_key(one.key, None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        self.private = private
        self.certificate = x509.load_pem_x509_certificate(one.certificate)


def _process(folder: Path, rounds: Sequence[Round], gateway: Gateway, out: Any) -> None:
    """Some cameras, in a process of their own."""

    async def together() -> list[dict[str, Any]]:
        return await asyncio.gather(*(sent(_Held(folder, one), gateway, one) for one in rounds))

    out.send(asyncio.run(together()))
    out.close()


def played(folder: Path, groups: Sequence[Sequence[Round]], gateway: Gateway) -> list[Any]:
    """All groups of cameras at once, a process each; what each camera saw, in their order."""
    spawn, ends = multiprocessing.get_context("spawn"), []
    for rounds in groups:
        here, there = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_process, args=(folder, rounds, gateway, there))
        process.start()
        there.close()
        ends.append((process, here))
    seen = []
    for process, here in ends:
        seen.append(here.recv())
        process.join()
    return seen


@contextlib.contextmanager
def gateway_in(folder: Path, *more: str) -> Iterator[Gateway]:
    """A gateway process that knows the cameras whose certificates are in `folder`; `more` are
    further arguments of `bench.server`.
    """
    argv = [sys.executable, "-m", "framegate_simulators.bench.server", "protected", str(folder)]
    argv += more
    with subprocess.Popen(argv) as running:
        try:
            ready = folder / "protected.json"
            wait_for("the gateway", ready.exists, 60)
            body = json.loads(ready.read_text())
            yield Gateway(body["port"], bytes.fromhex(body["publics"]))
        finally:
            running.kill()


def fairness(rounds: int, seconds: float) -> dict[str, Any]:
    """Rounds without and with the flood in turns; p99 of the other cameras' frames of each."""
    with tempfile.TemporaryDirectory(prefix="fg-fair-") as name:
        folder = Path(name)
        fleet = found_fleet(folder / "keys", "plant")
        write_golden(folder / "golden", [1])
        devices = [CAMERA, *(f"camera.line-1.cam{n}" for n in range(2, OTHERS + 2))]
        cameras = {device: SoftwareCamera(folder, fleet, device) for device in devices}

        def round_of(device: str, rate: float, seed: int) -> Round:
            return Round(device, rate, seconds, seed, *credentials_of(cameras[device]))

        took: dict[str, list[float]] = {"alone": [], "flooded": []}
        flooder, unanswered = Counter[str](), Counter[str]()
        with gateway_in(folder) as gateway:
            for number in range(2 * rounds):
                what = ("alone", "flooded")[number % 2]
                rate = RATE * (FLOOD if what == "flooded" else 1)
                seeds = range(100 * (number // 2), 100 * (number // 2) + OTHERS)
                # the same times without and with the flood
                others = [round_of(d, RATE, s) for d, s in zip(devices[1:], seeds, strict=True)]
                groups = [others, [round_of(CAMERA, rate, 7_000 + number)]]
                kept, (one,) = played(folder, groups, gateway)
                took[what] += [ms for camera in kept for ms in camera["took_ms"]]
                unanswered[what] += sum(camera["unanswered"] for camera in kept)
                if what == "flooded":
                    flooder.update(one["said"])
    figures = {
        what: {
            "frames": len(ms),
            "p50_ms": round(float(np.percentile(ms, 50)), 1),
            "p99_ms": round(float(np.percentile(ms, 99)), 1),
            "unanswered": unanswered[what],
        }
        for what, ms in took.items()
    }
    return {
        **figures,
        "p99_ratio": round(figures["flooded"]["p99_ms"] / figures["alone"]["p99_ms"], 2),
        "flooder": dict(flooder),
        "cameras": OTHERS + 1,
        "rate": RATE,
        "flood_times": FLOOD,
        "cores": os.cpu_count(),
        "load": [round(x, 1) for x in os.getloadavg()],
    }


def main() -> None:
    """make fairness."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=ROUND_S)
    parser.add_argument("--build", type=Path, default=Path("build"))
    args = parser.parse_args()
    args.build.mkdir(parents=True, exist_ok=True)
    result = fairness(args.rounds, args.seconds)
    (args.build / "fairness.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    lost = result["alone"]["unanswered"] + result["flooded"]["unanswered"]
    raise SystemExit(1 if result["p99_ratio"] > MOST or lost else 0)


if __name__ == "__main__":
    run_to_its_end(main)
