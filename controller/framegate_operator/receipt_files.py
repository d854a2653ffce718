"""Files of receipts: one a line, and a last line that says of which time they are."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from framegate.errors import Reason, Refused
from framegate.federation.receipts import SiteReceipt
from framegate.receipt_verifier import (
    RANGE_FORMAT,
    ReceiptPending,
    ReceiptRefused,
    VerifiedReceipt,
    is_range,
    missing_frames,
    verify_receipt,
)

MAX_FILE_BYTES: Final = 4 * 1024**3
"""An export of some hundred thousand receipts; more is exported by time."""
_SHOWN: Final = 12
"""Numbers of lines that are told one by one of receipts that are refused for the same reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRange:
    """Of which time an export is, as whoever exported it says. `until_ms` is 0 where it ended at
    the moment of export; `silent` are gateways whose receipts are not in it.
    """

    camera: str
    since_ms: int
    until_ms: int
    at_ms: int
    silent: tuple[str, ...] = ()

    def line(self) -> bytes:
        """As the last line of a file."""
        body = {
            "format": RANGE_FORMAT,
            "camera": self.camera,
            "since_ms": self.since_ms,
            "until_ms": self.until_ms,
            "at_ms": self.at_ms,
            "silent": list(self.silent),
        }
        return json.dumps(body, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> ExportRange:
        """Out of a line's JSON. Raises ValueError."""
        try:
            return cls(
                camera=str(body["camera"]),
                since_ms=int(body["since_ms"]),
                until_ms=int(body["until_ms"]),
                at_ms=int(body["at_ms"]),
                silent=tuple(map(str, body["silent"])),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"a range with {type(error).__name__} {error}") from error


@dataclass(frozen=True, slots=True)
class NotHeld:
    """A receipt that does not hold, or not yet: where it stands, which check, why."""

    file: str
    line: int
    check: str
    why: str


@dataclass(slots=True)
class Checked:
    """What became of the receipts in some files; `sites` counts those that hold, by site, under an
    empty name where only a root was given.
    """

    good: list[VerifiedReceipt] = field(default_factory=list)
    pending: list[NotHeld] = field(default_factory=list)
    so_far: list[VerifiedReceipt] = field(default_factory=list)
    refused: list[NotHeld] = field(default_factory=list)
    ranges: list[ExportRange] = field(default_factory=list)
    sites: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Wholeness:
    """Frames without a receipt by session: `missing` from the time that the files are of, and
    `outside`, of which the files cannot tell.
    """

    missing: Mapping[str, tuple[int, ...]]
    outside: Mapping[str, tuple[int, ...]]


Verifier = Callable[[Any], SiteReceipt]
"""What a receipt proves, and of which site; raises as `verify_receipt` does."""


def of_this_fleet(root: bytes, *, need_camera: bool, need_log: bool) -> Verifier:
    """What verifies receipts with nothing but a root certificate."""

    def verify(body: Any) -> SiteReceipt:
        verified = verify_receipt(body, root, need_camera=need_camera, need_log=need_log)
        return SiteReceipt("", verified)

    return verify


def check_files(files: Iterable[Path], verify: Verifier) -> Checked:
    """Every receipt of the files, verified. Raises Refused where a file is too large."""
    checked = Checked()
    for name, number, line in _lines(files):
        try:
            body = json.loads(line)
            if is_range(body):
                checked.ranges.append(ExportRange.of(body))
                continue
            verified = verify(body)
            checked.good.append(verified.receipt)
            checked.sites[verified.site] += 1
        except ReceiptPending as error:
            checked.pending.append(NotHeld(name, number, error.check, str(error)))
            if error.so_far is not None:
                checked.so_far.append(error.so_far)
        except (ReceiptRefused, ValueError, RecursionError) as error:
            check = getattr(error, "check", "format")
            checked.refused.append(NotHeld(name, number, check, str(error)))
    return checked


def wholeness(checked: Checked) -> Wholeness:
    """Which frames have no receipt in files that hold all of their time. Files without a range are
    of whole sessions. A receipt that is pending is there.
    """
    receipts = [*checked.good, *checked.so_far]
    before = all(not r.since_ms for r in checked.ranges)
    after = all(not r.until_ms for r in checked.ranges)
    missing = missing_frames(receipts, before=before, after=after)
    outside = {
        session: tuple(c for c in counters if c not in missing.get(session, ()))
        for session, counters in missing_frames(receipts).items()
    }
    return Wholeness(missing, {s: counters for s, counters in outside.items() if counters})


def told_alike(rows: Iterable[NotHeld]) -> Iterator[tuple[str, str]]:
    """(why, where) of receipts that do not hold, those of one reason together."""
    places: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        places[row.why][row.file].append(row.line)
    for why, by_file in places.items():
        yield why, "; ".join(f"{name} {_numbered(lines)}" for name, lines in by_file.items())


def _numbered(lines: list[int]) -> str:
    shown = ", ".join(map(str, lines[:_SHOWN]))
    more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return f"line{'s' if len(lines) > 1 else ''} {shown}{more}"


def _lines(files: Iterable[Path]) -> Iterator[tuple[str, int, bytes]]:
    for path in files:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            hint = "export shorter times: --since, --until"
            wanted = f"files of at most {MAX_FILE_BYTES} bytes"
            raise Refused.of(Reason.TOO_LARGE, wanted, size, hint)
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield path.name, number, line
