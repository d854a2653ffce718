"""Faults of a controller whose registry is a file: it is killed, its disk is full or read-only, its
clock is set, a page of the file is damaged.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framegate.errors import FramegateError
from framegate.machines.lifecycle import State
from framegate.record.entry import Act
from framegate_controller.clockwork.staleness import look
from framegate_controller.registry_address import StoreAt
from framegate_controller.restoration.backup import Source, take_backup
from framegate_controller.restoration.restore import Ask, restore_backup
from framegate_controller.store.database import Database
from framegate_simulators.chaos import cell
from framegate_simulators.chaos.cell import Asking, Clock, Founded, life, opened
from framegate_simulators.chaos.desk import Desk, device_of
from framegate_simulators.chaos.disk import SmallDisk
from framegate_simulators.chaos.forked import Forked, Say
from framegate_simulators.chaos.outcome import Outcome

ACTS: Final = 14
BREATH_S: Final = 0.03
"""Longer than an attestation takes, so that any of its instants may be the last."""
ROOM: Final = 96 * 1024
"""What a disk has left: some attestations, and then it is full."""
HOUR_MS: Final = 3_600_000
PAGE: Final = 4096


@dataclass(frozen=True, slots=True)
class Run:
    """One run: the fleet, a folder of its own, and chance."""

    founded: Founded
    folder: Path
    chance: random.Random

    @property
    def at(self) -> StoreAt:
        return StoreAt(self.folder)

    def asking(self, say: Say, names: Sequence[str] = cell.ALL) -> Asking:
        return Asking(self.founded, self.chance, say, names)


def killed(run: Run) -> Outcome:
    """kill -9 a controller at any instant."""
    clock = Clock(run.founded.made_ms)

    def living(say: Say) -> None:
        with opened(run.at, clock) as store:
            life(Desk(store, run.founded.keys, clock), run.asking(say), ACTS)

    run.founded.copied(run.folder)
    child = Forked(living)
    child.killed_at(run.chance, lines=ACTS, breath_s=BREATH_S)
    return _judged(run, child, clock, "killed")


def disk_full(run: Run) -> Outcome:
    """The disk fills up while it lives, and somebody makes room."""
    return _on_a_disk(run, lambda disk, _store: disk.leave(ROOM), lambda disk: disk.empty())


def disk_read_only(run: Run) -> Outcome:
    """The file system becomes read-only between two acts; later it is writable again."""

    def fault(disk: SmallDisk, store: Database) -> None:
        store.engines.close()
        disk.writable(may=False)

    return _on_a_disk(run, fault, lambda disk: disk.writable(may=True))


def clock_forward(run: Run) -> Outcome:
    """The clock is set an hour forward: who is not heard again is no longer trusted."""
    return _clock_set(run, HOUR_MS)


def clock_back(run: Run) -> Outcome:
    """The clock is set an hour back: nobody is trusted an hour longer for it."""
    return _clock_set(run, -HOUR_MS)


def damaged_page(run: Run) -> Outcome:
    """A page of the file is damaged while no controller runs. What stands there then is refused, or
    was not touched; a backup brings back what the backup has.
    """
    founded, clock = run.founded, Clock(run.founded.made_ms)
    founded.copied(run.folder)
    shutil.copytree(founded.folder / "keys", run.folder / "keys")
    archive = run.folder / "backup"
    take_backup(Source(at=run.at, passphrase_file=None), archive)
    how = damage(run.folder / "registry.db", run.chance)
    child = Forked(lambda say: _live_damaged(run, clock, say))
    code = child.ended()
    refused = was_refused(child)
    problems: tuple[str, ...] = ()
    if not refused:
        if code:
            problems = child.fell()
        else:
            with opened(run.at, clock) as store:
                problems = cell.judge(store, founded, child.lines).problems
    begun = time.monotonic()
    to = run.folder / "again"
    passphrase = run.folder / "keys" / "passphrase"
    ask = Ask(
        at=StoreAt(to), passphrase_file=passphrase, root=None, seen=(), act=Act(actor="host.x")
    )
    restore_backup(archive, ask)
    problems += cell.heal(StoreAt(to), founded, clock, cell.MACHINES)  # its tickets are void
    asked = sum("asked" in line for line in child.lines)
    answered = sum("answered" in line for line in child.lines)
    became = f"{how}: {'refused' if refused else 'not touched'}"
    return Outcome(became, asked, answered, 1e3 * (time.monotonic() - begun), problems)


def _live_damaged(run: Run, clock: Clock, say: Say) -> None:
    """Start on the file as a controller does, read all of it, live on it."""
    with refusal_said(say), opened(run.at, clock) as store:
        store.require_sound()
        life(Desk(store, run.founded.keys, clock), run.asking(say), 4)


@contextmanager
def refusal_said(say: Say) -> Iterator[None]:
    """A child that lives on a damaged file says so where the file is refused, and ends in order."""
    try:
        yield
    except FramegateError as error:
        say({"damage": str(error)[:200]})


def was_refused(child: Forked) -> bool:
    """Whether it said that its file was."""
    return any("damage" in line for line in child.lines)


def damage(file: Path, chance: random.Random) -> str:
    """Damage one page; what was done to it."""
    pages = file.stat().st_size // PAGE
    with file.open("r+b") as raw:
        at, how = chance.randrange(pages) * PAGE, chance.choice(("noise", "zeros", "another page"))
        raw.seek(chance.randrange(pages) * PAGE)
        other = raw.read(PAGE)
        raw.seek(at)
        raw.write({"noise": chance.randbytes(PAGE), "zeros": bytes(PAGE)}.get(how, other))
    return how


def _on_a_disk(
    run: Run,
    fault: Callable[[SmallDisk, Database], None],
    mend: Callable[[SmallDisk], None],
) -> Outcome:
    """Live on a disk of its own, through the fault and after it, in one process."""
    founded, clock = run.founded, Clock(run.founded.made_ms)
    run.folder.mkdir(parents=True, exist_ok=True)

    def living(say: Say) -> None:
        disk = SmallDisk(run.folder / "disk")
        founded.copied(disk.folder)
        with opened(StoreAt(disk.folder), clock) as store:
            desk = Desk(store, founded.keys, clock)
            life(desk, run.asking(say), 2)
            fault(disk, store)
            life(desk, run.asking(say), ACTS)
            mend(disk)
            say({"mended": True})
            life(desk, run.asking(say), 4)
        founded.copied(run.folder)
        for name in ("registry.db", "registry.db-wal"):
            if (disk.folder / name).exists():
                shutil.copy(disk.folder / name, run.folder / name)

    child = Forked(living)
    child.ended()
    problems = child.fell()
    mended = next((n for n, line in enumerate(child.lines) if "mended" in line), 0)
    after = child.lines[mended:]
    problems += tuple(f"after it was mended: {x['why']}" for x in after if "refused" in x)
    refused = sum("refused" in line for line in child.lines[:mended])
    return _judged(
        run, child, clock, "refused, went on" if refused else "nothing refused", problems
    )


def _clock_set(run: Run, by_ms: int) -> Outcome:
    founded, clock = run.founded, Clock(run.founded.made_ms + 2 * HOUR_MS)
    founded.copied(run.folder)
    silent, stale_ms = "cam1", 2 * 60_000

    def living(say: Say) -> None:
        with opened(run.at, clock) as store:
            desk = Desk(store, founded.keys, clock)
            life(desk, run.asking(say), ACTS // 2)
            desk.attest(founded.machines[silent], silent, lambda e: say({"asked": _plain(e)}))
            clock.step(by_ms)
            heard = desk.attest(
                founded.machines["cam2"], "cam2", lambda e: say({"asked": _plain(e)})
            )
            say({"heard": heard.state})
            # as its timer does: silent for as long as makes it stale, by the clock that was set
            clock.step(stale_ms)
            with store.writing() as tx:
                look(tx, device_of(silent), stale_ms)
            with store.reading() as tx:
                device = tx.devices.get(device_of(silent))
                say({"silent": device.state.value if device is not None else ""})

    child = Forked(living)
    child.ended()
    problems = child.fell()
    said = {k: v for line in child.lines for k, v in line.items() if k in {"heard", "silent"}}
    if said.get("silent") == State.TRUSTED:
        problems += ("a machine that was silent is trusted on by a clock that was set",)
    if said.get("heard") != State.TRUSTED:
        problems += (f"a machine that was heard is {said.get('heard')}",)
    clock.step(by_ms + stale_ms)
    return _judged(run, child, clock, "set", problems)


def _plain(evidence: str) -> dict[str, str]:
    return {"name": "", "how": "attest", "evidence": evidence}


def _judged(
    run: Run,
    child: Forked,
    clock: Clock,
    became: str,
    problems: tuple[str, ...] = (),
) -> Outcome:
    """Hold what is there against what was said, and time how it heals."""
    begun = time.monotonic()
    with opened(run.at, clock) as store:
        judged = cell.judge(store, run.founded, child.lines)
    problems += judged.problems + cell.heal(run.at, run.founded, clock)
    healed_ms = 1e3 * (time.monotonic() - begun)
    return Outcome(became, judged.asked, judged.answered, healed_ms, problems)
