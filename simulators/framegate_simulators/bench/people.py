"""What people, policy and the record cost.

A decision, a verified log, an attestation with its entry, a list of a thousand machines.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final
from unittest.mock import patch

from framegate.access.policy import Request, default_files, parse_policy
from framegate.access.questions import inspect_request, verb_request
from framegate.access.verbs import find_verb
from framegate.identity.names import Kind
from framegate.machines.lifecycle import State
from framegate.receipt_verifier import leaf_hash
from framegate.record.entry import Act, entry_bytes, event_entry
from framegate.record.merkle import Frontier
from framegate.record.people_events import VerbAllowed
from framegate.record.verify import FORMAT, LogAnchor, verify_log
from framegate.record.witness import head_line
from framegate.registry.device import Standing
from framegate.signed.receipt import Checkpoint
from framegate_controller.ca.generations import FolderKeyRing
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import found_fleet
from framegate_controller.context import Fleet
from framegate_controller.fleet.attestation import Verifier
from framegate_controller.fleet.makers import add_maker
from framegate_controller.fleet.profiles import add_profile
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_controller.people.policies import found_policy
from framegate_controller.store.database import now_ms, open_registry
from framegate_controller.store.sql.log import SqlRecord
from framegate_controller.timing import Timing
from framegate_host.operator_context import context_body
from framegate_simulators.fixtures.access import camera_of, facts_text, signed_in, write_secret
from framegate_simulators.fixtures.controller import found_controller, without_quota
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of
from framegate_simulators.machine.tpm import TpmMaker

DECISIONS: Final = 5_000
ENTRIES: Final = 200_000
ATTESTATIONS: Final = 60
ROUNDS: Final = 7
DEVICES: Final = 1_000
CAMERA: Final = "camera.line-1.cam1"


def bench_people(say: Callable[[str], None]) -> dict[str, Any]:
    """All of it."""
    with tempfile.TemporaryDirectory(prefix="fg-people-") as name:
        keys = found_fleet(Path(name) / "keys", "plant")
        figures: dict[str, Any] = {"decision": _decisions()}
        say(f"decisions: {figures['decision']}")
        figures["audit"] = _audit(keys)
        say(f"audit: {figures['audit']}")
        figures["attestation"] = _attestations(Path(name), keys)
        say(f"attestation: {figures['attestation']}")
        figures["read"] = _read(Path(name) / "read")
        say(f"read: {figures['read']}")
        return figures


def _decisions() -> dict[str, Any]:
    """A gateway's inspection and an operator's verb, each with facts of its own, by a policy.

    What it takes to parse the policy stands beside it.
    """
    policy = parse_policy(default_files())
    facts = json.loads(
        facts_text(CAMERA, secure_boot=1, os_id="debian", kernel="6.12", listeners=["22"])
    )
    asked = [
        inspect_request({**facts, "name": f"cam{n}"}, CAMERA, "ab" * 32, "line-1")
        for n in range(DECISIONS // 2)
    ]
    asked += [_quarantine(n) for n in range(DECISIONS // 2)]
    took = []
    for request in asked:
        begun = time.perf_counter()
        allowed = policy.decide(request).allow
        took.append((time.perf_counter() - begun) * 1000)
        assert allowed
    took.sort()
    begun = time.perf_counter()
    for _ in range(20):
        parse_policy(default_files())
    return {
        "median_ms": round(median(took), 4),
        "p99_ms": round(took[int(len(took) * 0.99)], 4),
        "parse_ms": round((time.perf_counter() - begun) * 50, 2),
    }


def _quarantine(number: int) -> Request:
    return verb_request(
        find_verb("device.quarantine"),
        operator=f"o{number}",
        roles=("operator",),
        zone="line-1",
        frozen=False,
        fleet="plant",
        approvals=0,
        quorum=2,
        factor_age_s=number,
        source="ipv4:192.0.2.1:1",
    )


def _audit(keys: FleetKeys) -> dict[str, Any]:
    """Verification of a log, as a multiple of reading its JSON and hashing its bytes."""
    frontier, previous, lines, now = Frontier(), None, [], now_ms()
    act = Act(
        actor="operator.anna",
        source="192.0.2.7",
        verb="device.show",
        policies=("viewers",),
        policy="access-policy 1 a43558e81533d1ad",
    )
    for index in range(ENTRIES):
        event = VerbAllowed(device=CAMERA, verb="device.show", about=f"entry {index}")
        body = event_entry(event, act, now)
        raw = entry_bytes(index, previous, body)
        previous = leaf_hash(raw)
        frontier.append(previous)
        lines.append(raw)
    signer = keys.signing["log"]
    head = Checkpoint(fleet="plant", size=ENTRIES, root=frontier.root.hex(), at_ms=now).seal(
        signer.der, signer.sign
    )
    export = [
        json.dumps({"format": FORMAT, "fleet": "plant", "entries": ENTRIES}).encode(),
        *lines,
        head_line(head),
    ]
    anchor = LogAnchor(root=keys.root.certificate)
    rates, ratios = [], []
    for _ in range(3):
        begun = time.perf_counter()
        assert verify_log(export, anchor).entries == ENTRIES
        took = time.perf_counter() - begun
        begun = time.perf_counter()
        for line in lines:
            json.loads(line)
            leaf_hash(line)
        ratios.append(took / (time.perf_counter() - begun))
        rates.append(ENTRIES / took)
    return {
        "entries": ENTRIES,
        "entries_per_s": round(max(rates)),
        "times_reading_and_hashing": round(median(ratios), 2),
    }


def _attestations(folder: Path, keys: FleetKeys) -> dict[str, Any]:
    """A whole attestation at the controller, store and fsync included.

    With its entry in the log and with the log left out, in turns.
    """
    maker, store = TpmMaker.found(), open_registry(folder / "registry.db")
    fleet = Fleet(
        ring=FolderKeyRing(keys), timing=Timing(), clock=now_ms, controller="controller-1"
    )
    verifier = Verifier(store, fleet, state=without_quota(fleet.timing))
    forge = Forge(maker, Firmware("simulated-camera"))
    invitation = Invitation(
        kind=Kind.CAMERA,
        zone="line-1",
        name="cam1",
        profile="simulated-camera",
        code=b"c" * 16,
        life_s=60,
        ek_sha256=forge.ek_sha256,
    )
    with store.writing() as tx:
        found_policy(tx, keys)
        tx.evidence.add_allowlist(
            allowlist_of("simulated-camera", forge.firmware.release), tx.now_ms
        )
        add_profile(tx, keys, profile_toml(forge.firmware, "simulated-camera").encode())
        add_maker(tx, maker.certificate)
        invite(tx, invitation)
    hello = forge.hello(invitation.code)
    begun = verifier.begin_join(hello, "p")
    mac, evidence = forge.answer(fleet.digest, hello, begun.challenge)
    verifier.complete_join(begun.state, mac, evidence)

    def once() -> float:
        hello = forge.attest_hello(known_log=True)
        begun = time.perf_counter()
        session = verifier.begin_attest(hello, CAMERA)
        spent = time.perf_counter() - begun
        _, evidence = forge.answer(
            fleet.digest, hello, session.challenge, join=False
        )  # the device's own work
        begun = time.perf_counter()
        state = verifier.complete_attest(session.state, evidence, CAMERA).state
        assert state == State.TRUSTED
        return (spent + time.perf_counter() - begun) * 1000

    once()
    ratios, with_entry = [], []
    for _ in range(ROUNDS):
        logged = [once() for _ in range(ATTESTATIONS)]
        with patch.object(
            SqlRecord, "append", lambda *_a: 0
        ):  # the same code, the log's append taken out
            bare = [once() for _ in range(ATTESTATIONS)]
        ratios.append(median(logged) / median(bare))
        with_entry.append(median(logged))
    store.close()
    return {
        "with_entry_ms": round(median(with_entry), 2),
        "times_without": round(median(ratios), 2),
    }


def _read(folder: Path) -> dict[str, Any]:
    """`framegate camera list` over a thousand cameras, beyond the start of Python.

    A process of its own asks a controller of its own.
    """
    folder.mkdir()
    keys, ready = found_controller(folder), folder / "ready.json"
    store = open_registry(folder / "registry.db")
    now = now_ms()
    with store.writing() as tx:
        for n in range(DEVICES):
            tx.devices.add(
                camera_of(
                    f"cam{n}", State.STALE, zone=f"line-{n % 10}", standing=Standing(result_ms=now)
                )
            )
    pair = signed_in(store, keys, "anna", "viewer")
    store.close()
    run = [
        sys.executable,
        "-c",
        "from framegate_controller.main import run_app; run_app()",
        "run",
        "--state",
        str(folder),
        "--join-port",
        "0",
        "--fleet-port",
        "0",
    ]
    process = subprocess.Popen(
        [*run, "--ready-file", str(ready)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < end:
            time.sleep(0.05)
        addresses = json.loads(ready.read_text())
        body = context_body(
            addresses["join"],
            addresses["fleet"],
            "controller.plant.framegate",
            keys.root.pem.decode(),
        )
        authorities = b"".join(k.pem for k in keys.issuing.values()).decode()
        body |= {
            "operator": "anna",
            "expires_ms": now + 3_600_000,
            "key": pair[0].decode(),
            "certificate": pair[1].decode(),
            "authorities": authorities,
        }
        context = write_secret(folder / "context.json", json.dumps(body))
        environment = {**os.environ, "FRAMEGATE_CONTEXT": str(context)}
        command = str(Path(sys.executable).parent / "framegate")

        def took(*argv: str) -> float:
            begun = time.perf_counter()
            done = subprocess.run(
                argv, check=True, capture_output=True, env=environment, timeout=60
            )
            assert len(argv) < 4 or len(json.loads(done.stdout)) == DEVICES
            return (time.perf_counter() - begun) * 1000

        took(command, "camera", "list", "-o", "json")
        python, whole, table = [], [], []
        for _ in range(ROUNDS):
            python.append(took(sys.executable, "-c", "pass"))
            whole.append(took(command, "camera", "list", "-o", "json"))
            table.append(took(command, "camera", "list"))
        return {
            "devices": DEVICES,
            "python_ms": round(median(python)),
            "json_ms": round(median(whole)),
            "table_ms": round(median(table)),
            "beyond_python_ms": round(median(w - p for w, p in zip(whole, python, strict=True))),
        }
    finally:
        process.terminate()
        process.wait()
