"""Faults of a line adapter between a part's trigger and the word to its outputs: it is killed, its
disk fills up or is read-only when it starts, its clock is set, a page of its ledger is damaged.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError
from framegate.identity.certificates import Purpose
from framegate.identity.pem import private_pem
from framegate.signed.decision import Decision, Notice
from framegate.signed.statement import Outcome as Ruling
from framegate_controller.ca.issue import certify, issue_line
from framegate_controller.ca.keys import FleetKeys, SigningKey
from framegate_controller.ca.template import leaf_template
from framegate_controller.store.database import now_ms
from framegate_host.private_files import private_folder, write_private
from framegate_line.adapter import Adapter
from framegate_line.credentials import load_credentials
from framegate_line.ledger import Ledger
from framegate_line.rules import Rules, Trigger
from framegate_simulators.chaos.cell import Clock
from framegate_simulators.chaos.disk import SmallDisk
from framegate_simulators.chaos.forked import Forked, Say
from framegate_simulators.chaos.outcome import Outcome
from framegate_simulators.chaos.registry_faults import (
    HOUR_MS,
    Run,
    damage,
    refusal_said,
    was_refused,
)
from framegate_simulators.fixtures.frames import passed
from framegate_simulators.fixtures.gateway import CAMERA, HOST

LINE: Final = "press-7"
PARTS: Final = 40
BREATH_S: Final = 0.01
ROOM: Final = 24 * 1024
RULES: Final = Rules(LINE, "line-1", (CAMERA,), deadline_ms=200, hold_ms=2_000)
MISSED: Final = 3
"""Of so many parts one gets no verdict, and is UNINSPECTED at its deadline."""


class _Said:
    """An output that says what it was handed."""

    name = "said"

    def __init__(self, say: Say) -> None:
        self._say = say

    async def expect(self, sequence: int) -> None:
        """A part has entered."""

    async def decide(self, decision: Decision, envelope: bytes) -> None:
        """Said before it counts as taken."""
        _ = envelope
        self._say({"emitted": decision.part, "outcome": str(decision.outcome)})

    async def beat(self, count: int, envelope: bytes) -> None:
        """A heartbeat."""

    async def ask_stop(self, notice: Notice, envelope: bytes) -> None:
        """A stop."""

    async def close(self) -> None:
        """Nothing to close."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """A PLC and a gateway: parts enter, most get a PASS, and what is acknowledged is said."""

    gateway: SigningKey
    say: Say
    names: Sequence[str]
    adapter: Adapter

    async def triggers(self) -> AsyncIterator[tuple[Trigger, Callable[[], None]]]:
        """Each part's trigger; its verdict comes at once."""
        for part in self.names:
            number = int(part[1:])
            self.say({"asked": part})
            trigger = Trigger(part, "t", number, now_ms())

            def acknowledged(part: str = part) -> None:
                self.say({"answered": part})

            yield trigger, acknowledged
            if number % MISSED:
                self.adapter.verdict(self._verdict(part, number))
            await asyncio.sleep(0)
        while self.adapter.under_way:  # noqa: ASYNC110 - as who drains it does
            await asyncio.sleep(RULES.deadline_ms / 1e4)

    def _verdict(self, part: str, number: int) -> bytes:
        statement = passed(
            now_ms(),
            verdict_id=part,
            device=CAMERA,
            part=part,
            trigger_sequence=number,
            inspected_percent=100,
        )
        return statement.seal(self.gateway.der, self.gateway.sign)


class AdapterCell:
    """An adapter's keys and a gateway's, without a broker."""

    def __init__(self, fleet: FleetKeys, folder: Path, clock: Clock) -> None:
        self.folder, self.clock = private_folder(folder / "line"), clock
        key = ec.generate_private_key(ec.SECP256R1())
        own = issue_line(fleet, LINE, key.public_key())
        write_private(self.folder / "line.key", private_pem(key))
        write_private(self.folder / "line.pem", own.public_bytes(Encoding.PEM))
        write_private(self.folder / "root.pem", fleet.root.pem)
        authorities = b"".join(each.pem for each in fleet.issuing.values())
        write_private(self.folder / "authorities.pem", authorities)
        self._gateway = _signer(fleet)

    def live(self, ledger: Path, say: Say, names: Sequence[str]) -> None:
        """Start on this ledger, settle, and serve these parts. Raises as a start does."""
        kept = Ledger(ledger, LINE)
        try:
            asyncio.run(self._live(kept, say, names))
        finally:
            kept.close()

    async def _live(self, ledger: Ledger, say: Say, names: Sequence[str]) -> None:
        credentials = load_credentials(self.folder, LINE)
        adapter = Adapter(RULES, ledger, credentials, (_Said(say),), self.clock)
        parts = _Parts(self._gateway, say, names, adapter)
        await adapter.settle()
        async for trigger, done in parts.triggers():
            try:
                adapter.trigger(trigger)
            except sqlite3.Error:  # as `Adapter.run` does: it was not acknowledged
                continue
            done()


def killed(run: Run) -> Outcome:
    """kill -9 at any instant."""
    clock = Clock()
    cell = AdapterCell(run.founded.keys, run.folder, clock)
    ledger = run.folder / "state" / "ledger.db"
    child = Forked(lambda say: cell.live(ledger, say, _names("a", PARTS)))
    child.killed_at(run.chance, lines=2 * PARTS, breath_s=BREATH_S)
    return _judged(cell, ledger, child, "killed")


def clock_forward(run: Run) -> Outcome:
    """Its clock is set an hour forward between two parts."""
    return _clock_set(run, HOUR_MS)


def clock_back(run: Run) -> Outcome:
    """Its clock is set an hour back."""
    return _clock_set(run, -HOUR_MS)


def disk_full(run: Run) -> Outcome:
    """Its disk fills up while it lives, and somebody makes room: it goes on by itself."""

    def living(cell: AdapterCell, disk: SmallDisk, ledger: Path, say: Say) -> None:
        full, empty = run.chance.randrange(1, PARTS), 2 * PARTS

        def heard(body: Mapping[str, Any]) -> None:
            say(body)
            if body.get("asked") == f"a{full}":
                disk.leave(ROOM)
            if body.get("asked") == f"a{empty}":
                disk.empty()
                say({"mended": True})

        cell.live(ledger, heard, (*_names("a", empty + 1), *_names("c", 5)))

    return _on_a_disk(run, living)


def disk_read_only(run: Run) -> Outcome:
    """Its disk is read-only when it starts again, and later is not."""

    def living(cell: AdapterCell, disk: SmallDisk, ledger: Path, say: Say) -> None:
        cell.live(ledger, say, _names("a", PARTS))
        disk.writable(may=False)
        try:
            cell.live(ledger, say, _names("b", 5))
        except (FramegateError, OSError, sqlite3.Error) as error:
            say({"refused": f"{type(error).__name__}: {error}"[:200]})
        disk.writable(may=True)
        say({"mended": True})
        cell.live(ledger, say, _names("c", 5))

    return _on_a_disk(run, living)


def damaged_page(run: Run) -> Outcome:
    """A page of its ledger is damaged while it does not run: it is refused, or was not needed; with
    the ledger moved away it goes on.
    """
    clock = Clock()
    cell = AdapterCell(run.founded.keys, run.folder, clock)
    ledger = run.folder / "state" / "ledger.db"
    before = Forked(lambda say: cell.live(ledger, say, _names("a", PARTS)))
    before.ended()
    how = damage(ledger, run.chance)

    def living(say: Say) -> None:
        with refusal_said(say):
            cell.live(ledger, say, _names("b", 5))

    child = Forked(living)
    child.ended()
    problems = before.fell() + child.fell()
    if was_refused(child):
        moved = ledger.rename(ledger.with_name("damaged.db"))
        for left in moved.parent.glob("ledger.db-*"):
            left.unlink()
        return _judged(cell, ledger, child, f"{how}: refused", problems)
    child.lines[:0] = before.lines
    return _judged(cell, ledger, child, f"{how}: not touched", problems)


def _clock_set(run: Run, by_ms: int) -> Outcome:
    clock = Clock()
    cell = AdapterCell(run.founded.keys, run.folder, clock)
    ledger = run.folder / "state" / "ledger.db"

    def living(say: Say) -> None:
        at = run.chance.randrange(1, PARTS)

        def heard(body: Mapping[str, Any]) -> None:
            say(body)
            if body.get("asked") == f"a{at}":
                clock.step(by_ms)

        cell.live(ledger, heard, _names("a", PARTS))

    child = Forked(living)
    child.ended()
    return _judged(cell, ledger, child, "set", child.fell())


def _on_a_disk(run: Run, living: Callable[[AdapterCell, SmallDisk, Path, Say], None]) -> Outcome:
    cell = AdapterCell(run.founded.keys, run.folder, Clock())
    to = private_folder(run.folder / "state")

    def live(say: Say) -> None:
        disk = SmallDisk(run.folder / "disk")
        state = disk.folder / "state"
        living(cell, disk, state / "ledger.db", say)
        for file in state.iterdir():
            (to / file.name).write_bytes(file.read_bytes())
            (to / file.name).chmod(0o600)

    child = Forked(live)
    child.ended()
    problems = child.fell()
    mended = next((n for n, line in enumerate(child.lines) if "mended" in line), 0)
    after = {line["emitted"]: line["outcome"] for line in child.lines[mended:] if "emitted" in line}
    wanted = {part: _due(n) for n, part in enumerate(_names("c", 5))}
    if mended and {part: after.get(part) for part in wanted} != wanted:
        problems += (f"parts after it was mended are {after}",)
    refused = any("refused" in line for line in child.lines)
    return _judged(
        cell, to / "ledger.db", child, "refused, went on" if refused else "went on", problems
    )


def _judged(
    cell: AdapterCell, ledger: Path, child: Forked, became: str, problems: tuple[str, ...] = ()
) -> Outcome:
    """Start again on the ledger, and hold it against what was said.

    1. what was acknowledged stands in the ledger, once, and nothing that was not asked for;
    2. each has one outcome, and none is open; 3. no part was handed over as anything else than what
    the ledger says, and none as PASS that had no verdict.
    """
    begun = time.monotonic()
    again: list[Mapping[str, Any]] = []
    cell.live(ledger, again.append, _names("z", 5))
    healed_ms = 1e3 * (time.monotonic() - begun)
    found, lines = list(problems), [*child.lines, *again]
    kept = Ledger(ledger, LINE, reading=True)
    try:
        rows, counts = kept.latest(10 * PARTS), kept.counts()
    finally:
        kept.close()
    asked = {line["asked"]: n for n, line in enumerate(lines) if "asked" in line}
    stands = Counter(row.key.part for row in rows)
    ruled = {row.key.part: row.outcome for row in rows}
    answered = [line["answered"] for line in lines if "answered" in line]
    if not became.endswith("refused"):
        found += [f"{part} was taken, and is not there" for part in answered if part not in stands]
    found += [f"{part} stands {n} times" for part, n in stands.items() if n > 1]  # 1
    found += [f"{part} was never asked for" for part in stands if part not in asked]
    if counts.waiting:
        found.append(f"{counts.waiting} parts are open")  # 2
    for line in lines:
        if "emitted" not in line:
            continue
        part, outcome = line["emitted"], line["outcome"]
        if part in ruled and outcome == Ruling.PASS != ruled[part]:
            found.append(f"{part} was handed over as {outcome}, and is {ruled[part]}")  # 3
        if outcome == Ruling.PASS and _due(int(part[1:])) != Ruling.PASS:
            found.append(f"{part} had no verdict, and was handed over as PASS")
    wanted = {part: _due(n) for n, part in enumerate(_names("z", 5))}
    if {part: ruled.get(part) for part in wanted} != wanted:
        found.append(f"parts after it was started again are {ruled}")
    return Outcome(became, len(asked), len(answered), healed_ms, tuple(found))


def _names(mark: str, count: int) -> list[str]:
    return [f"{mark}{number}" for number in range(count)]


def _due(number: int) -> str:
    return Ruling.PASS.value if number % MISSED else Ruling.UNINSPECTED.value


def _signer(fleet: FleetKeys) -> SigningKey:
    key = ec.generate_private_key(ec.SECP256R1())
    life = timedelta(hours=3)
    template = leaf_template(Purpose.VERDICT, str(HOST), key.public_key(), life, datetime.now(UTC))
    return SigningKey(key, certify(fleet.issuing["gateway-ca"], template))
