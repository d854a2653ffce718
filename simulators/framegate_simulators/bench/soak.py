"""make soak: a whole line at full speed; every process's memory and every file's size over time.

Hours are compressed by rate: a line of one part a second makes in three hours what this one makes
in ten minutes, machines attest every few seconds in place of every minute, and quotas are small, so
that receipts and ledger reach them and stay within. It fails where a process still grows after its
warm-up, where a file is over its rule, where a part is lost, or where a program takes more than
five seconds to end.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.table import Table

from framegate_host.console import Terminal
from framegate_simulators.plant.line_plant import LINE, LinePlant
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import PlantError
from framegate_simulators.process_readings import children_of, resident_kib

RATE: Final = 12.0
"""Parts a second: what two cores inspect while they run everything else of the plant, too."""
SAMPLE_S: Final = 5.0
SAY_S: Final = 60.0
"""Between two words about how far it is."""
WARM_UP_PARTS: Final = 5_000
"""Parts of the warm-up, of two gateways: their last 2,000 verdicts, pictures of defects, and caches
of databases and allocators fill with them. Nothing is judged by them.
"""
JUDGED_SAMPLES: Final = 12
"""Samples after the warm-up that are needed to say anything: a minute."""
GREW_KIB: Final = 2048
"""What the medians of the first and the last third after the warm-up may differ by, or `GREW_SHARE`
of the first, whatever is more. Resident memory of one process goes up and down by some hundred KiB.
"""
GREW_SHARE: Final = 0.02
RECEIPT_QUOTA_MIB: Final = 2
LEDGER_QUOTA_MIB: Final = 16
FILE_SLACK: Final = 1.6
"""A file may be so much larger than what its quota counts: free pages, indices, its journal."""
RECEIPT_BYTES: Final = 1.2 * 1024
"""What a kept receipt may take of its file, at most, with all that belongs to it."""
LEAST_RECEIPTS: Final = 500
"""Kept ones of a file, below which what the file has anyhow is most of it."""
ENDS_S: Final = 5.0
"""From SIGTERM to the end of a program, at most."""
_BARS: Final = "▁▂▃▄▅▆▇█"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Memory:
    """One process over the run: resident KiB at the end of the warm-up (median of the third after
    it), at the end (median of the last third), at most; `series` is every sample, in KiB.
    """

    first_kib: int
    last_kib: int
    most_kib: int
    series: tuple[int, ...]

    @classmethod
    def of(cls, series: Sequence[int], warm: int) -> Memory:
        """What the samples of one process say; the first `warm` are shown and not judged."""
        judged = series[warm:]
        third = max(1, len(judged) // 3)
        first, last = median(judged[:third]), median(judged[-third:])
        return cls(int(first), int(last), max(series), tuple(series))

    @property
    def grows(self) -> bool:
        """Whether it still grew after the warm-up."""
        return self.last_kib - self.first_kib > max(GREW_KIB, GREW_SHARE * self.first_kib)

    @property
    def picture(self) -> str:
        """Its samples as a line of bars, from half of the most on."""
        step = max(1, len(self.series) // 40)
        shown, least = self.series[::step], self.most_kib / 2
        scale = (len(_BARS) - 1) / max(1.0, self.most_kib - least)
        return "".join(_BARS[max(0, round((kib - least) * scale))] for kib in shown)


@dataclass(frozen=True, slots=True)
class Room:
    """What `kept` receipts take of a receipts.db: bytes by table or index, pages that are filled in
    part counted whole, free ones and the journal not.
    """

    kept: int
    tables: Mapping[str, int]

    @classmethod
    def of(cls, path: Path) -> Room:
        """Of the store at `path`, of whichever process that is or was."""
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            query = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC"
            tables = dict(connection.execute(query).fetchall())
            (kept,) = connection.execute("SELECT count(*) FROM leaves WHERE kind < 2").fetchone()
        return cls(int(kept), tables)

    @property
    def each(self) -> int:
        """Bytes a receipt; 0 where there is none."""
        return round(sum(self.tables.values()) / self.kept) if self.kept else 0

    @property
    def over(self) -> bool:
        """Whether a receipt takes more than `RECEIPT_BYTES`."""
        return self.kept >= LEAST_RECEIPTS and self.each > RECEIPT_BYTES


def processes(plant: Plant) -> Iterator[tuple[str, int]]:
    """(name, pid) of every process of the plant, and of their children by what they are."""
    for name in sorted(plant.running):
        pid = plant.process(name).pid
        yield name, pid
        for child in children_of(pid):
            yield f"{name}, {_what(child)}", child


def _what(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "child"
    modules = [word for word in words if word.startswith("framegate_") or "framegate-sim" in word]
    return modules[0].rsplit("/", 1)[-1] if modules else "child"


def _files(plant: Plant, line: LinePlant) -> dict[str, int]:
    """Bytes of the files that grow with frames and parts, with their journals."""
    at = _receipts(line) | {
        f"ledger of {LINE}": plant.ledger(LINE),
        "registry": plant.folder / "controller" / "registry.db",
    }
    sizes = {}
    for name, path in at.items():
        both = (path, path.with_name(path.name + "-wal"))
        sizes[name] = sum(one.stat().st_size for one in both if one.exists())
    return sizes


def _receipts(line: LinePlant) -> dict[str, Path]:
    """The files of receipts, by what they are called in the result."""
    folders = {f"receipts of {g.name}": g.machine.folder / "gateway" for g in line.gateways}
    return {name: folder / "receipts.db" for name, folder in folders.items()}


def far(lasted_s: float, seconds: float, parts: int) -> str:
    """How far a run is; whether it is past its warm-up, and if not, whether it will be in time."""
    done = f"{lasted_s / 60:.0f} of {seconds / 60:g} min, {parts} parts"
    if parts >= WARM_UP_PARTS:
        return f"{done}: judged"
    needs_s = lasted_s * WARM_UP_PARTS / max(1, parts) + JUDGED_SAMPLES * SAMPLE_S
    if lasted_s < SAY_S or needs_s <= seconds:
        return f"{done}: warming up, until {WARM_UP_PARTS}"
    minutes = math.ceil(needs_s / 60)
    return f"{done}: at this pace too short to be judged, it takes MINUTES={minutes}"


def soak(plant: Plant, line: LinePlant, seconds: float, say: Say) -> dict[str, Any]:
    """Run the line for so long; what was measured. `say` is told once a minute how far it is."""
    memory: defaultdict[str, list[int]] = defaultdict(list)
    files: defaultdict[str, list[int]] = defaultdict(list)
    warm = 0
    line.conveyor.start()
    begun = time.monotonic()
    said_s = 0.0
    while (lasted_s := time.monotonic() - begun) < seconds:
        warm += (parts := len(line.conveyor.parts)) < WARM_UP_PARTS
        for name, pid in processes(plant):
            memory[name].append(resident_kib(pid))
        for name, size in _files(plant, line).items():
            files[name].append(size)
        if lasted_s >= said_s:
            say(far(lasted_s, seconds, parts))
            said_s += SAY_S
        time.sleep(SAMPLE_S)
    say("no more parts; those under way, and then every program is told to end")
    line.conveyor.finish()
    outside, counted = line.outside(), line.ledger()
    samples = max(map(len, memory.values()))
    if samples - warm < JUDGED_SAMPLES:
        raise PlantError(
            f"{outside.parts_in} parts in {seconds:g} s: a run that ends in its warm-up of"
            f" {WARM_UP_PARTS} says nothing; make soak MINUTES=… for longer"
        )
    # a process that was started anew in between began anew
    whole = {name: series for name, series in memory.items() if len(series) == samples}
    seen = {name: Memory.of(series, warm) for name, series in whole.items()}
    rooms = {name: Room.of(path) for name, path in _receipts(line).items()}
    return {
        "seconds": round(seconds),
        "parts": outside.parts_in,
        "outcomes": counted["outcomes"],
        "exact": outside.exact,
        "load": [round(x, 1) for x in os.getloadavg()],
        "memory": {name: asdict(one) | {"grows": one.grows} for name, one in seen.items()},
        "ends_s": _ends(plant),
        "receipts": {name: asdict(room) | {"each": room.each} for name, room in rooms.items()},
        "files": {name: {"series": s, "last": s[-1], "most": max(s)} for name, s in files.items()},
        "grow": sorted(name for name, one in seen.items() if one.grows),
        "over": sorted([*_over(files), *(f"a frame of {n}" for n, r in rooms.items() if r.over)]),
        "pictures": {name: one.picture for name, one in seen.items()},
    }


def _over(files: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Files that are larger than their rule lets them be."""
    for name, series in files.items():
        quota = {"receipts": RECEIPT_QUOTA_MIB, "ledger": LEDGER_QUOTA_MIB}.get(name.split()[0])
        if quota is not None and series[-1] > FILE_SLACK * quota * 2**20 + _JOURNAL:
            yield name


def _ends(plant: Plant) -> dict[str, float]:
    """Seconds from SIGTERM to the end of every program of ours, one after the other, while the
    others go on.
    """
    ours, took = ("line-", "gateway-", "agent-", "controller"), {}
    for name in sorted(plant.running, reverse=True):  # machines before their controller
        if not name.startswith(ours):
            continue
        process, begun = plant.process(name), time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        took[name] = round(time.monotonic() - begun, 2)
    return took


_JOURNAL: Final = 8 * 2**20
"""SQLite's journals of a file that is written all the time: it is emptied at a thousand pages, when
no reader is in the way.
"""


def show(result: Mapping[str, Any], console: Terminal) -> None:
    """As a table: a process a row, its samples as bars."""
    table = Table("process", "MiB", "at the end", "most", "over the run", box=None)
    for name, one in sorted(result["memory"].items()):
        cells = [f"{one[key] / 1024:.1f}" for key in ("first_kib", "last_kib", "most_kib")]
        cells[1] = f"[red]{cells[1]}[/]" if one["grows"] else cells[1]
        table.add_row(name, *cells, result["pictures"][name])
    for name, one in result["files"].items():
        table.add_row(name, "", f"{one['last'] / 2**20:.1f}", f"{one['most'] / 2**20:.1f}", "file")
    console.print(table)
    for name, room in result["receipts"].items():
        if room["kept"]:
            most = ", ".join(f"{t} {size / room['kept']:.0f}" for t, size in room["tables"].items())
            console.print(f"{name}: {room['kept']}, {room['each']} bytes each: {most}")
    console.print(
        f"{result['parts']} parts in {result['seconds']} s, outcomes {result['outcomes']}; "
        f"growing: {', '.join(result['grow']) or 'none'}; "
        f"over their rule: {', '.join(result['over']) or 'none'}; "
        f"ends within {max(result['ends_s'].values())} s"
    )


def main() -> None:
    """make soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--build", type=Path, default=Path("build"))
    args = parser.parse_args()
    args.build.mkdir(parents=True, exist_ok=True)
    console = Terminal(highlight=False, width=None if os.isatty(1) else 120)
    options = ("--receipt-quota", RECEIPT_QUOTA_MIB)
    with (
        Plant(interval_s=4.0, logs=args.build / "soak-logs") as plant,
        plant.explained(),
        LinePlant(
            plant,
            rate=args.rate,
            gateway_options=options,
            line_options=("--ledger-quota", LEDGER_QUOTA_MIB),
        ) as line,
    ):
        result = soak(plant, line, 60 * args.minutes, console.print)
        if not result["parts"]:
            raise PlantError("no part went by")
    (args.build / "soak.json").write_text(json.dumps(result, indent=1) + "\n")
    show(result, console)
    late = max(result["ends_s"].values()) > ENDS_S
    raise SystemExit(1 if late or result["grow"] or result["over"] or not result["exact"] else 0)


if __name__ == "__main__":
    run_to_its_end(main)
