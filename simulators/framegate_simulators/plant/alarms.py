"""False alarms counted: forged machines live through updates, reboots, power cuts, lost networks.

The verifier is the product's own, with a clock that is moved; the machines' TPMs are software, so
that a day passes in a second. Between the honest events, new files and rollouts some machines are
tampered with, inside and outside the window in which two systems are allowed; each of those has to
be caught.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from framegate.identity.names import DeviceId, Kind
from framegate.machines.lifecycle import Event, State
from framegate.machines.rollout import Plan, RolloutState
from framegate.profile.model import PROFILE_TYPE
from framegate.signed.dsse import seal_envelope
from framegate.tpm.attest import ClockInfo
from framegate_controller.ca.generations import FolderKeyRing
from framegate_controller.ca.open import found_fleet
from framegate_controller.context import Fleet as Context
from framegate_controller.fleet.answer import Answer
from framegate_controller.fleet.attestation import Verifier
from framegate_controller.fleet.devices import change_state
from framegate_controller.fleet.profiles import add_profile, import_profile
from framegate_controller.fleet.rollouts import change_rollout, start_rollout, tick_all
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_controller.store.database import open_registry
from framegate_controller.timing import Timing
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of, files_of
from framegate_simulators.machine.tpm import TpmMaker

SOAK_S: Final = 600
MODEL: Final = "simulated-camera"
_TAMPERINGS: Final = (
    "bootloader",
    "kernel",
    "command line",
    "implanted file",
    "Secure Boot off",
    "mixture of old and new",
)


def firmware_of(generation: int) -> Firmware:
    """The system of one update: other boot files and contents, and a longer revocation list."""
    return Firmware(
        MODEL,
        kernel=f"kernel 6.12.{generation}",
        initrd=f"initrd 6.12.{generation}",
        command_line=f"/vmlinuz-6.12.{generation} root=UUID=5d1c ro",
        release=f"12.{generation}",
        revocations=3 + generation,
    )


@dataclass
class Machine:
    """One machine: its forge, its place in the registry, and the generation of its system."""

    forge: Forge
    device: DeviceId
    generation: int


class Fleet:
    """A verifier and machines that it trusts."""

    def __init__(self, machines: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = time.time_ns() // 1_000_000
        folder = Path(tempfile.mkdtemp(prefix="fg-alarms-"))
        self.keys = found_fleet(folder / "keys", "plant")
        self.store = open_registry(folder / "registry.db", lambda: self.now)
        self.fleet = Context(
            ring=FolderKeyRing(self.keys),
            timing=Timing(),
            clock=lambda: self.now,
            controller="controller-1",
        )
        self.verifier = Verifier(self.store, self.fleet)
        self.generation = 0
        maker = TpmMaker.found()
        with self.store.writing() as tx:
            tx.evidence.add_allowlist(allowlist_of(MODEL, firmware_of(0).release), self.now)
            add_profile(tx, self.keys, profile_toml(firmware_of(0), MODEL).encode())
        self.machines = []
        for number in range(machines):
            forge = Forge(maker, firmware_of(0))
            code = f"{number:016}".encode()
            invitation = Invitation(
                kind=Kind.CAMERA,
                zone="line-1",
                name=f"cam{number}",
                profile=MODEL,
                ek_sha256=forge.ek_sha256,
                code=code,
                life_s=3600,
            )
            with self.store.writing() as tx:
                device = invite(tx, invitation)
            self.machines.append(Machine(forge, device, 0))
            self.join(self.machines[-1], code)

    def close(self) -> None:
        """Let go of the registry."""
        self.store.close()

    def join(self, machine: Machine, code: bytes = b"") -> Answer:
        """Enrol or rejoin."""
        hello = machine.forge.hello(code)
        begun = self.verifier.begin_join(hello, "peer")
        mac, evidence = machine.forge.answer(self.fleet.digest, hello, begun.challenge)
        return self.verifier.complete_join(begun.state, mac, evidence)

    def attest(self, machine: Machine) -> Answer:
        """Attest as an agent does: again with everything where the controller asks for it."""
        machine.forge.clock = replace(machine.forge.clock, clock=machine.forge.clock.clock + 1000)
        answer = self._once(machine, known_log=True)
        return self._once(machine, known_log=False) if answer.retry_with_boot_log else answer

    def _once(self, machine: Machine, *, known_log: bool) -> Answer:
        hello = machine.forge.attest_hello(known_log=known_log)
        begun = self.verifier.begin_attest(hello, machine.device)
        _, evidence = machine.forge.answer(self.fleet.digest, hello, begun.challenge, join=False)
        return self.verifier.complete_attest(begun.state, evidence, machine.device)

    def restart(self, machine: Machine, firmware: Firmware, *, cut: bool = False) -> Answer:
        """Reboot into `firmware` and rejoin, as an agent with a new TLS key does.

        After a power cut the clock is unsafe and near zero.
        """
        machine.forge.firmware = firmware
        counter = machine.forge.clock.reset_count + 1
        machine.forge.clock = ClockInfo(5 if cut else 1000, counter, 0, not cut)
        machine.forge.boot()
        return self.join(machine)

    def begin_update(self) -> str:
        """Sign the next generation's profile and roll it out to everybody at once."""
        self.generation += 1
        firmware, key = firmware_of(self.generation), self.keys.signing["profile"]
        toml = profile_toml(firmware, MODEL, self.generation + 1).encode()
        with self.store.writing() as tx:
            tx.evidence.add_allowlist(allowlist_of(MODEL, firmware.release), self.now)
            import_profile(
                tx, self.keys, seal_envelope(PROFILE_TYPE, toml, key.der, key.sign), in_force=False
            )
            return start_rollout(tx, self.keys, MODEL, Plan(0, (50, 100), 10**6, SOAK_S, False)).id

    def end_update(self, rollout: str) -> None:
        """Let the soak times pass, then retire the old revision."""
        for _ in range(3):
            self.now += 1000 * (SOAK_S + 1)
            with self.store.writing() as tx:
                tick_all(tx)
        with self.store.writing() as tx:
            record = tx.rollouts.find(rollout)
            if record.state == RolloutState.ENFORCED:
                change_rollout(tx, record, "retire", "script")

    def state(self, machine: Machine) -> State:
        """The machine's state."""
        with self.store.reading() as tx:
            return tx.devices.find(machine.device).state

    def release(self, machine: Machine) -> None:
        """An operator lifts a suspicion after the machine was put right."""
        with self.store.writing() as tx:
            change_state(tx, tx.devices.find(machine.device), Event.RELEASE, by="operator")


def run_script(
    events: int = 200, tamperings: int = 60, machines: int = 12, seed: int = 1
) -> dict[str, Any]:
    """Live through `events` honest events and `tamperings`.

    Returns how many raised an alarm, and how many tamperings were caught, by kind.
    """
    fleet = Fleet(machines, seed)
    honest: Counter[str] = Counter()
    alarms: list[str] = []
    caught: Counter[str] = Counter()
    missed: list[str] = []
    rollout = ""
    plan = ["event"] * events + ["tamper"] * tamperings
    fleet.random.shuffle(plan)
    for number, kind in enumerate(plan):
        if number % 40 == 10:
            rollout = fleet.begin_update()
        if number % 40 == 35 and rollout:
            for (
                machine
            ) in fleet.machines:  # whoever has not updated by the end of the window does so now
                if machine.generation != fleet.generation:
                    machine.generation = fleet.generation
                    if (
                        fleet.restart(machine, firmware_of(machine.generation)).state
                        != State.TRUSTED
                    ):
                        alarms.append(f"late update of {machine.device}")
                    honest["update"] += 1
            fleet.end_update(rollout)
            rollout = ""
        fleet.now += 60_000
        machine = fleet.random.choice(fleet.machines)
        if kind == "tamper":
            what = _tamper(fleet, machine)
            if fleet.state(machine) == State.SUSPECT:
                caught[what] += 1
                fleet.release(machine)
            else:
                missed.append(f"{what} on {machine.device}")
            fleet.restart(machine, firmware_of(machine.generation))
            if fleet.state(machine) != State.TRUSTED:
                alarms.append(f"{machine.device} repaired after {what}")
            continue
        what = _honest(fleet, machine, under_way=bool(rollout))
        honest[what] += 1
        if fleet.state(machine) != State.TRUSTED:
            alarms.append(f"{what} of {machine.device}")
    fleet.close()
    return {
        "events": sum(honest.values()),
        "by_kind": dict(honest),
        "false_alarms": alarms,
        "tamperings": tamperings,
        "caught": sum(caught.values()),
        "caught_by_kind": dict(caught),
        "missed": missed,
    }


def _honest(fleet: Fleet, machine: Machine, *, under_way: bool) -> str:
    kinds = [
        "attest",
        "reboot",
        "power cut",
        "network lost",
        "new process",
        "boot order changed",
    ] + (["update"] * 4 if under_way else [])
    what = fleet.random.choice(kinds)
    firmware = firmware_of(machine.generation)
    if what == "update":
        machine.generation = fleet.generation
        fleet.restart(machine, firmware_of(machine.generation))
    elif what in {"reboot", "power cut"}:
        fleet.restart(machine, firmware, cut=what == "power cut")
    elif what == "boot order changed":
        fleet.restart(
            machine, replace(firmware, boot_order=bytes([fleet.random.randrange(4), 0, 0, 0]))
        )
    elif what == "network lost":
        hello = machine.forge.attest_hello(known_log=True)
        fleet.verifier.begin_attest(hello, machine.device)  # the answer never arrives
        fleet.now += 60_000
        fleet.attest(machine)
    else:
        if what == "new process":
            path, digest = fleet.random.choice(sorted(files_of(MODEL, firmware.release).items()))
            machine.forge.ima.measure(path, digest)
        fleet.attest(machine)
    return what


def _tamper(fleet: Fleet, machine: Machine) -> str:
    what = fleet.random.choice(_TAMPERINGS)
    firmware = firmware_of(machine.generation)
    if what == "implanted file":
        machine.forge.ima.measure(b"/usr/bin/implant", fleet.random.randbytes(32))
        fleet.attest(machine)
        return what
    other = firmware_of(
        machine.generation + 1
        if machine.generation < fleet.generation
        else max(0, machine.generation - 1)
    )
    changed = {
        "bootloader": replace(firmware, bootloader="shim implanted"),
        "kernel": replace(firmware, kernel="kernel implanted"),
        "command line": replace(firmware, command_line=firmware.command_line + " init=/bin/sh"),
        "Secure Boot off": replace(firmware, secure_boot=False),
        "mixture of old and new": replace(
            firmware, initrd=other.initrd if other != firmware else "initrd other"
        ),
    }[what]
    fleet.restart(machine, changed)
    return what
