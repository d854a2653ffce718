"""A whole plant measured: from a quarantine to the last accepted frame, and what an agent costs."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np

from framegate.wire import RECENT_FRAMES
from framegate_operator.connection import gateway_stub, load_context, operator_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.fixtures.gateway import HOST
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import wait_for
from framegate_simulators.process_readings import processor_s, resident_kib

QUARANTINES: Final = 100


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
    before_s = processor_s(pid)
    time.sleep(seconds)
    return {
        "rss_mib": round(resident_kib(pid) / 1024, 1),
        "cpu_percent_of_a_core": round(100 * (processor_s(pid) - before_s) / seconds, 2),
    }
