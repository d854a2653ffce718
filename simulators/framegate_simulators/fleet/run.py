"""A run of the fleet simulator: found a fleet, start a controller and the machines' processes, and
tell what one attestation and one machine cost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from framegate.identity.names import Kind
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import load_fleet
from framegate_controller.fleet.makers import add_maker
from framegate_controller.fleet.profiles import add_profile
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_controller.store.database import open_registry
from framegate_simulators.fixtures.controller import found_controller
from framegate_simulators.fleet.alone import measured_alone
from framegate_simulators.fleet.controllers import Controllers
from framegate_simulators.fleet.device import MODEL, RELEASES, How
from framegate_simulators.fleet.plan import Plan
from framegate_simulators.fleet.turn_watch import Turns
from framegate_simulators.fleet.versions import MACHINES, environment, found_by
from framegate_simulators.fleet.worker import code_of
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of
from framegate_simulators.machine.tpm import TpmMaker
from framegate_simulators.plant.processes import PlantError

TICKET_S: Final = 86_400
MOST_KEPT: Final = 1_500
"""Machines that may each keep a connection: a fleet port has 2,048, unless they watch."""
Say = Callable[[str], None]


class Workers:
    """The machines' processes, spoken to a line at a time."""

    def __init__(self, plan: Plan, maker: Path) -> None:
        argv = [sys.executable, "-m", "framegate_simulators.fleet.worker"]
        self._processes = [
            subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment(plan.before, MACHINES),
            )
            for _ in range(plan.workers)
        ]
        for first, process in enumerate(self._processes):
            self._tell(process, {"plan": plan.body(), "first": first, "maker": str(maker)})

    def all_said(self) -> list[dict[str, Any]]:
        """The next line of each. Raises PlantError where one has ended."""
        lines = [p.stdout.readline() if p.stdout else "" for p in self._processes]
        if not all(lines):
            raise PlantError("a process of the fleet simulator ended: see its message above")
        return [dict(json.loads(line)) for line in lines]

    def tell(self, body: Mapping[str, Any]) -> None:
        """Tell each of them."""
        for process in self._processes:
            self._tell(process, body)

    def ask(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What the first of them says to what it is told. Raises PlantError where it has ended."""
        first = self._processes[0]
        self._tell(first, body)
        line = first.stdout.readline() if first.stdout else ""
        if not line:
            raise PlantError("a process of the fleet simulator ended: see its message above")
        return dict(json.loads(line))

    def end(self) -> None:
        """End those that have not ended."""
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    @staticmethod
    def _tell(process: subprocess.Popen[str], body: Mapping[str, Any]) -> None:
        if process.stdin is None or process.poll() is not None:
            raise PlantError("a process of the fleet simulator ended: see its message above")
        process.stdin.write(json.dumps(body) + "\n")
        process.stdin.flush()


def run_fleet(plan: Plan, say: Say, folder: Path | None = None) -> dict[str, Any]:
    """Run it, and what was measured. PlantError where controller or machines do not come up."""
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fg-fleet-")))
        maker = TpmMaker.load_or_found(folder / "maker")
        workers = Workers(plan, folder / "maker")
        stack.callback(workers.end)
        eks = {int(n): ek for said in workers.all_said() for n, ek in said.items()}
        say(f"{len(eks)} machines made")
        if plan.before:
            found_by(plan.before, folder / "controller", folder / "maker", eks)
            keys = load_fleet(folder / "controller" / "keys")
        else:
            keys = _found(folder / "controller", maker, eks)
        with Controllers(folder / "controller", plan) as controllers:
            empty, database_empty = controllers.used(), controllers.database_used()
            digest = sha256(keys.root.der).hex()
            say(f"{plan.controllers} controllers run; they join")
            begun = time.monotonic()
            root = keys.root.pem.decode()
            workers.tell({**controllers.ports(), "root": root, "digest": digest})
            workers.all_said()
            joined_s, enrolled = time.monotonic() - begun, controllers.used()
            database_enrolled = controllers.database_used()
            time.sleep(plan.settling)
            joined = controllers.used()
            database, held = controllers.database_used(), controllers.throttled()
            watch = controllers.turn_watch()
            say(f"joined in {joined_s:.1f} s; {plan.seconds:g} s of their life begin")
            begun = time.monotonic()
            workers.tell({})
            if watch is not None:
                watch.begin()
            restarts = controllers.lived(say)
            results = workers.all_said()
            turns = watch.end() if watch is not None else Turns()
            used_up = controllers.throttled().since(held)
            lived_s, lived = time.monotonic() - begun, controllers.used()
            database_s = controllers.database_used().cpu_s - database.cpu_s
            held_bytes = controllers.registry_bytes()
            alone = measured_alone(workers.ask, controllers, say) if plan.alone else {}
            controllers.end()
            registry = controllers.registry(keys)
    ways = {how: sorted(ms for one in results for ms in one["took_ms"][how]) for how in How}
    took = sorted(ms for way in ways.values() for ms in way)
    join = sorted(ms for one in results for ms in one["join_ms"])
    cpu_s, own_s = lived.cpu_s - joined.cpu_s, sum(one["cpu_s"] for one in results)
    return {
        "plan": plan.body(),
        "enrolments": {
            "joined": len(join),
            "per_s": round(len(join) / joined_s, 1),
            "p50_ms": _at(join, 0.5),
            "p99_ms": _at(join, 0.99),
            "controller_cpu_ms": _each_ms(enrolled.cpu_s - empty.cpu_s, join),
            "database_cpu_ms": _each_ms(database_enrolled.cpu_s - database_empty.cpu_s, join),
            "machines_cpu_ms": _each_ms(sum(one["join_cpu_s"] for one in results), join),
            "turns_meanwhile": sum(one["meanwhile"] for one in results),
        },
        "attestations": {
            "done": len(took),
            "per_s": round(len(took) / lived_s, 1),
            "p50_ms": _at(took, 0.5),
            "p99_ms": _at(took, 0.99),
            "controller_cpu_ms": round(1e3 * cpu_s / max(1, len(took)), 2),
            "controller_cores": round(cpu_s / lived_s, 2),
            "database_cpu_ms": round(1e3 * database_s / max(1, len(took)), 2),
            "machines_cpu_ms": round(1e3 * own_s / max(1, len(took)), 2),
            "share_used_up": round(used_up, 2),
        },
        "ways": {
            how.value: {"done": len(way), "p50_ms": _at(way, 0.5), "p99_ms": _at(way, 0.99)}
            for how, way in ways.items()
        },
        "alone": alone,
        "turns": {**asdict(turns), "wait_ms": round(turns.wait_ms(len(took) / lived_s), 2)},
        "acts": dict(sum((Counter(one["acts"]) for one in results), Counter[str]())),
        "errors": dict(sum((Counter(one["errors"]) for one in results), Counter[str]())),
        "said": dict(sum((Counter(one["said"]) for one in results), Counter[str]())),
        "late_devices": sum(one["late"] for one in results),
        "went_over": sum(one["went_over"] for one in results),
        "silent": sum(one["silent"] for one in results),
        "restarts": restarts,
        "all_read": registry.all_read,
        "forms": [asdict(seen) for seen in controllers.forms],
        "states": registry.states,
        "entries": registry.entries,
        "attested": registry.attested,
        "controller": {
            "empty_kib": empty.resident_kib,
            "joined_kib": enrolled.resident_kib,
            "lived_kib": lived.resident_kib,
            "kib_a_device": round((lived.resident_kib - empty.resident_kib) / plan.devices, 1),
            "registry_kib_a_device": round(held_bytes / 1024 / plan.devices, 1),
        },
    }


def wrong(result: Mapping[str, Any]) -> list[str]:
    """What must not be, whatever the machine is: machines that are missing or late, errors, one
    that was tampered with and is trusted.
    """
    plan, problems = result["plan"], []
    if result["enrolments"]["joined"] != plan["devices"]:
        problems.append(f"{result['enrolments']['joined']} of {plan['devices']} joined")
    if result["late_devices"]:
        problems.append(f"{result['late_devices']} late")
    for one in result["restarts"]:
        if one["code"]:
            problems.append(f"{one['name']} ended with {one['code']} when it was told to end")
    problems += [f"{count} times {what}" for what, count in sorted(result["errors"].items())]
    return problems


def _found(state: Path, maker: TpmMaker, eks: Mapping[int, str]) -> FleetKeys:
    """A fleet that has invited every machine, each by a ticket that is bound to its EK."""
    keys, firmware = found_controller(state), Firmware(MODEL, release=RELEASES[0])
    own, both = allowlist_of(MODEL, RELEASES[0]), allowlist_of(MODEL, *RELEASES)
    one, two = (hashlib.sha256(text).hexdigest() for text in (own, both))
    profile = profile_toml(firmware, MODEL).replace(one, two)
    store = open_registry(state / "registry.db")
    with store.writing() as tx:
        tx.evidence.add_allowlist(both, tx.now_ms)
        add_profile(tx, keys, profile.encode())
        add_maker(tx, maker.certificate)
        for number, ek in sorted(eks.items()):
            invitation = Invitation(
                kind=Kind.CAMERA,
                zone="line-1",
                name=f"cam{number}",
                profile=MODEL,
                code=code_of(number),
                life_s=TICKET_S,
                ek_sha256=bytes.fromhex(ek),
            )
            invite(tx, invitation)
    store.close()
    return keys


def _each_ms(cpu_s: float, those: Sequence[float]) -> float:
    """CPU of each of `those`, in ms."""
    return round(1e3 * cpu_s / max(1, len(those)), 2)


def _at(values: Sequence[float], share: float) -> float:
    """A percentile of what is sorted, in ms; 0 where there is nothing."""
    return round(values[min(len(values) - 1, int(share * len(values)))], 1) if values else 0.0
