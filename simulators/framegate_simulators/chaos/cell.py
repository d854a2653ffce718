"""A registry, its verifier and a few machines without ports between them: what a controller does
with evidence, to be interrupted at any instant, on either kind of store.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from framegate.errors import FramegateError
from framegate.identity.names import Kind
from framegate.machines.lifecycle import State
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.fleet.answer import Answer
from framegate_controller.fleet.makers import add_maker
from framegate_controller.fleet.profiles import add_profile
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_controller.record.check import check_record
from framegate_controller.registry_address import StoreAt
from framegate_controller.store.database import Database, open_registry, open_store
from framegate_controller.store.ports import EntryQuery, Transaction
from framegate_simulators.chaos.desk import Desk, code_of, device_of
from framegate_simulators.chaos.forked import Say
from framegate_simulators.fixtures.controller import found_controller
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of
from framegate_simulators.machine.tpm import TpmMaker

MODEL: Final = "simulated-camera"
MACHINES: Final = ("cam1", "cam2", "cam3")
BAD: Final = "cam3"
"""Its firmware is tampered with while it lives, and then it is never trusted."""
NEWCOMER: Final = "cam4"
"""Has a ticket and joins while it lives."""
RESETS: Final = 100
"""Resets of a TPM that came while nobody looked: more than a life has."""


class Clock:
    """Milliseconds since the epoch by a clock that may be set; it runs like any other."""

    def __init__(self, now_ms: int | None = None) -> None:
        self._ahead_ms = 0
        if now_ms is not None:
            self._ahead_ms = now_ms - _now_ms()

    def __call__(self) -> int:
        return _now_ms() + self._ahead_ms

    def step(self, by_ms: int) -> None:
        """Set it forward or back."""
        self._ahead_ms += by_ms


@dataclass(frozen=True, slots=True)
class Founded:
    """A fleet in `folder`, whose `registry.db` is copied for each run; its machines have joined."""

    folder: Path
    keys: FleetKeys
    machines: Mapping[str, Forge]
    made_ms: int
    entries: int
    """Of its record, from before any run."""

    def copied(self, to: Path) -> Path:
        """A folder of a run of its own, empty but for the registry."""
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.folder / "registry.db", to / "registry.db")
        return to


def found(folder: Path) -> Founded:
    """A fleet with three machines that are trusted, and a fourth that has its ticket."""
    keys, maker, firmware = found_controller(folder), TpmMaker.found(), Firmware(MODEL)
    machines = {name: Forge(maker, firmware) for name in (*MACHINES, NEWCOMER)}
    clock = Clock()
    store = open_registry(folder / "registry.db", clock)
    try:
        with store.writing() as tx:
            tx.evidence.add_allowlist(allowlist_of(MODEL, firmware.release), tx.now_ms)
            add_profile(tx, keys, profile_toml(firmware, MODEL).encode())
            add_maker(tx, maker.certificate)
            for name, forge in machines.items():
                invite(tx, _invitation(name, forge))
        desk = Desk(store, keys, clock)
        for name in MACHINES:
            desk.join(machines[name], name)
        made_ms = clock()
        with store.reading() as tx:
            entries = tx.log.size()
    finally:
        store.close()
    return Founded(folder, keys, machines, made_ms, entries)


@contextmanager
def opened(at: StoreAt, clock: Callable[[], int]) -> Iterator[Database]:
    """The registry, closed at the end."""
    store = open_store(at, clock)
    try:
        yield store
    finally:
        store.close()


ALL: Final = (*MACHINES, NEWCOMER)
TOGETHER: Final = 0.2
"""Of what a controller is asked, by all machines at once."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Which machines of a fleet ask, by what chance, and who is told of it."""

    founded: Founded
    chance: random.Random
    say: Say
    names: Sequence[str] = ALL


def life(desk: Desk, asking: Asking, acts: int) -> None:
    """What a controller is asked by its machines, `acts` times: each is said before it is asked,
    and what was answered after. What is refused or falls over is said and gone on from.
    """
    founded, chance, say = asking.founded, asking.chance, asking.say
    for _ in range(acts):
        if chance.random() < TOGETHER:
            _act_together(desk, asking)
            continue
        name = chance.choice(asking.names)
        forge = founded.machines[name]
        act: dict[str, Any] = {"name": name, "evidence": ""}
        try:
            answer = _acted(desk, forge, act, chance, say)
        except FramegateError as error:
            say({"refused": act["name"], "why": f"{type(error).__name__}: {error}"[:200]})
        else:
            say({"answered": act, "state": answer.state})


def _act_together(desk: Desk, asking: Asking) -> None:
    """Those that attest ask at once."""
    founded, say = asking.founded, asking.say
    forges = {n: founded.machines[n] for n in asking.names if n != NEWCOMER}
    forges = {name: forge for name, forge in forges.items() if not _is_bad(forge)}
    acts: dict[str, dict[str, Any]] = {}

    def asked(name: str, evidence: str) -> None:
        acts[name] = {"name": name, "evidence": evidence, "how": "attest"}
        say({"asked": acts[name]})

    try:
        outcomes = desk.attest_together(forges, asked)
    except FramegateError as error:
        say({"refused": ", ".join(forges), "why": f"{type(error).__name__}: {error}"[:200]})
        return
    for name, outcome in outcomes.items():
        if isinstance(outcome, FramegateError):
            say({"refused": name, "why": f"{type(outcome).__name__}: {outcome}"[:200]})
        else:
            say({"answered": acts[name], "state": outcome.answer.state})


def _acted(
    desk: Desk, forge: Forge, act: dict[str, Any], chance: random.Random, say: Say
) -> Answer:
    name = act["name"]

    def asked(evidence: str) -> None:
        act["evidence"] = evidence
        say({"asked": act})

    if name == BAD and not _is_bad(forge) and chance.random() < 0.5:
        tamper(forge)
    if _is_bad(forge):
        act["how"] = "tampered"
        return desk.join(forge, name, asked)
    if name == NEWCOMER or chance.random() < 0.2:
        act["how"] = "join"
        return desk.join(forge, name, asked)
    act["how"] = "attest"
    return desk.attest(forge, name, asked)


def tamper(forge: Forge) -> None:
    """Boot something else on this machine."""
    forge.firmware = forge.firmware.tampered()
    rebooted(forge)


def rebooted(forge: Forge, resets: int = 1) -> None:
    """Boot; the TPM counts it."""
    clock = forge.clock
    forge.clock = replace(clock, reset_count=clock.reset_count + resets)
    forge.boot()


def _is_bad(forge: Forge) -> bool:
    return forge.firmware != Firmware(MODEL)


@dataclass(frozen=True, slots=True)
class Judged:
    """What stands in a registry after a fault, and what is wrong with it."""

    asked: int
    answered: int
    problems: tuple[str, ...]


def judge(store: Database, founded: Founded, lines: Sequence[Mapping[str, Any]]) -> Judged:
    """Hold a registry against what was asked of it and answered by it (`life`).

    1. the record is whole: indices, tree, heads; 2. what was answered to a machine that attested
    stands there once, what was asked and not answered at most once, and nothing else; 3. each
    machine's state is where the record's last entry about it says it went; 4. who is trusted has
    a kept result, and a machine that booted something else is not trusted once it was answered.
    """
    problems: list[str] = []
    with store.reading() as tx:
        try:
            check_record(tx, founded.keys)  # 1
        except FramegateError as error:
            problems.append(f"record: {error}")
        entries = [json.loads(e.entry) for e in _entries(tx)]
        states = {str(device.id): device for device in tx.devices.all()}
    asked = [line["asked"] for line in lines if "asked" in line]
    answered = [line for line in lines if "answered" in line]
    problems += _counted(entries[founded.entries :], asked, answered)  # 2
    moved = {e["device"]: e["to"] for e in entries if e.get("device") and e.get("to")}
    for device in states.values():
        if moved.get(device.id) != device.state.value:  # 3
            problems.append(f"{device.id} is {device.state}, the record says {moved[device.id]}")
        if device.state == State.TRUSTED and not device.standing.result_id:  # 4
            problems.append(f"{device.id} is trusted without a result")
    caught = {
        line["answered"]["name"] for line in answered if line["answered"]["how"] == "tampered"
    }
    for name in caught:
        if states[device_of(name)].state == State.TRUSTED:  # 4
            problems.append(f"{name} booted something else and is trusted")
    problems += [
        f"{line['answered']['name']} booted something else, and was told it is trusted"
        for line in answered
        if line["answered"]["how"] == "tampered" and line["state"] == State.TRUSTED
    ]
    return Judged(len(asked), len(answered), tuple(problems))


def _entries(tx: Transaction) -> Sequence[Any]:
    return tx.log.entries(EntryQuery(), first=0, below=tx.log.size(), most=1_000_000)


def _counted(
    entries: Sequence[Mapping[str, Any]],
    asked: Sequence[Mapping[str, Any]],
    answered: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    logged = Counter(
        str(e["detail"]).partition("evidence ")[2].partition(",")[0]
        for e in entries
        if e.get("event") == "attested"
    )
    known = {act["evidence"] for act in asked if act["evidence"]}
    certain = {
        line["answered"]["evidence"]
        for line in answered
        if line["answered"]["how"] == "attest" and line["state"] == State.TRUSTED
    }
    for evidence in sorted(certain - set(logged)):
        yield f"answered, and not in the record: {evidence[:16]}"
    for evidence, count in sorted(logged.items()):
        if count > 1:
            yield f"{count} times in the record: {evidence[:16]}"
        if evidence not in known:
            yield f"in the record, and never asked for: {evidence[:16]}"


def heal(
    at: StoreAt, founded: Founded, clock: Clock, names: Sequence[str] = ALL
) -> tuple[str, ...]:
    """Open it as a controller that was started again: each machine has rebooted meanwhile, comes
    back by itself, and is what its firmware makes it; what is not so.
    """
    problems = []
    with opened(at, clock) as store:
        desk = Desk(store, founded.keys, clock)
        for name in names:
            forge = copy.copy(founded.machines[name])
            if name == BAD:
                forge.firmware = Firmware(MODEL).tampered()
            rebooted(forge, RESETS)
            wanted = State.SUSPECT if name == BAD else State.TRUSTED
            try:
                came = desk.join(forge, name).state
            except FramegateError as error:
                problems.append(f"{name} does not come back: {error}"[:300])
                continue
            if came != wanted:
                problems.append(f"{name} came back as {came}, not {wanted}")
    return tuple(problems)


def _invitation(name: str, forge: Forge) -> Invitation:
    return Invitation(
        kind=Kind.CAMERA,
        zone="line-1",
        name=name,
        profile=MODEL,
        code=code_of(name),
        life_s=86_400,
        ek_sha256=forge.ek_sha256,
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
