"""Which zones of a fleet are piloted: a file beside the access policy, signed and approved with it.
A zone that it does not name is enforced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.identity.names import parse_name
from framegate.toml_text import parse_toml

FILE: Final = "pilots.toml"
"""Its name in the folder of the access policy, with which it is signed and approved."""
MAX_BYTES: Final = 16 * 1024
MAX_ZONES: Final = 256
MIN_LIFE_S: Final = 60
"""Six of the controller's words: a shorter life would end on a broker that is started again."""
MAX_LIFE_S: Final = 8 * 3_600
"""A shift. So long may a line go on undiverted that nobody tells of the pilot's end."""
LIFE: Final = "10m"
MAX_PILOT_DAYS: Final = 90
"""How long a pilot may be put in force for at once: one that nobody ends ends by itself."""
_KEYS: Final = frozenset({"stage", "until", "life"})
_NEEDED: Final = frozenset({"stage", "until"})
_LIFE: Final = re.compile(r"([1-9][0-9]{0,2})(m|h)")
_SECONDS: Final = {"m": 60, "h": 3_600}


class Stage(StrEnum):
    """How far a zone is enforced. In the first two every part goes on, whatever was judged of it,
    and what enforcing would have done is counted; the second says of each such part at the line.
    """

    OBSERVE = "observe"
    WARN = "warn"
    ENFORCE = "enforce"

    @property
    def diverts(self) -> bool:
        """Whether a part without a PASS leaves the line."""
        return self is Stage.ENFORCE

    @property
    def mark(self) -> str:
        """As it stands in a verdict, a decision and a receipt: empty where all is enforced."""
        return "" if self.diverts else self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """A zone that is not enforced until a time (ms since the epoch). `life_s`: how long a line goes
    by the controller's last word of it.
    """

    zone: str
    stage: Stage
    until_ms: int
    life_s: int

    @property
    def words(self) -> str:
        """For people."""
        until = datetime.fromtimestamp(self.until_ms // 1000, UTC)
        return f"{self.stage} until {until:%F %R} UTC"


Pilots = Mapping[str, Pilot]
"""By zone."""


def parse_pilots(text: str) -> Pilots:
    """The pilots in `text`.

    1. TOML of at most `MAX_BYTES`, a table for each zone, with no key that is not known; 2. a stage
    below enforcing; 3. an end, with its offset; 4. a life within its limits. Raises Malformed
    (PILOT), saying where.
    """
    if len(text.encode()) > MAX_BYTES:  # 1
        raise _bad(f"{FILE} of at most {MAX_BYTES} bytes", len(text.encode()))
    body = parse_toml(text, lambda e: _bad(f"TOML in {FILE}", str(e)))
    if len(body) > MAX_ZONES:
        raise _bad(f"at most {MAX_ZONES} zones", len(body))
    return MappingProxyType({zone: _pilot(zone, said) for zone, said in body.items()})


def pilots_text(pilots: Pilots) -> str:
    """The file, one pilot after another in the order of their zones."""
    return "".join(
        f'[{p.zone}]\nstage = "{p.stage}"\nuntil = {_moment(p.until_ms)}\nlife = "{_life(p)}"\n'
        for _, p in sorted(pilots.items())
    )


def stage_of(pilots: Pilots, zone: str, now_ms: int) -> Stage:
    """How far `zone` is enforced at `now_ms`: wholly, unless a pilot of it runs."""
    pilot = pilots.get(zone)
    return pilot.stage if pilot is not None and now_ms < pilot.until_ms else Stage.ENFORCE


def require_ends(pilots: Pilots, now_ms: int) -> None:
    """That each ends within `MAX_PILOT_DAYS`. Raises Malformed (PILOT)."""
    last = now_ms + MAX_PILOT_DAYS * 86_400_000
    for pilot in pilots.values():
        if pilot.until_ms > last:
            raise _bad(f"[{pilot.zone}]: until, at most {MAX_PILOT_DAYS} days ahead", pilot.words)


def pilot_changes(before: Pilots, after: Pilots) -> tuple[str, ...]:
    """What `after` changes, in words for whoever has to approve it; what opens first."""
    opened: list[str] = []
    closed: list[str] = []
    for zone in sorted(set(before) | set(after)):
        old, new = before.get(zone), after.get(zone)
        if new is None:
            closed.append(f"zone {zone} is ENFORCED again")
        elif old is None:
            opened.append(f"zone {zone} DIVERTS NOTHING: {new.words}")
        elif old != new:
            longer = new.until_ms > old.until_ms or new.life_s > old.life_s
            less = (old.stage, new.stage) == (Stage.WARN, Stage.OBSERVE)
            told = f"zone {zone}: {new.words}, so far {old.words}"
            (opened if longer or less else closed).append(told)
    return (*opened, *closed)


def life_of(text: str) -> int:
    """Seconds of 10m or 8h. Raises Malformed (PILOT)."""
    matched = _LIFE.fullmatch(text)
    seconds = int(matched[1]) * _SECONDS[matched[2]] if matched is not None else 0
    if not MIN_LIFE_S <= seconds <= MAX_LIFE_S:
        raise _bad(f"a life of {MIN_LIFE_S // 60}m to {MAX_LIFE_S // 3600}h", text)
    return seconds


def _pilot(zone: str, said: Any) -> Pilot:
    parse_name(zone, "zone")
    if type(said) is not dict or not _KEYS >= set(said) >= _NEEDED:
        seen = sorted(said) if type(said) is dict else type(said).__name__
        raise _bad(f"[{zone}] with stage, until and perhaps life", seen)
    stage = said["stage"]
    if type(stage) is not str or stage not in {Stage.OBSERVE, Stage.WARN}:  # 2
        raise _bad(f"[{zone}]: stage observe or warn; a zone that is not named is enforced", stage)
    until = said["until"]
    if type(until) is not datetime or until.tzinfo is None:  # 3
        raise _bad(f"[{zone}]: until, as 2027-01-31T18:00:00Z", until)
    try:
        until_ms = int(until.timestamp() * 1000)
    except (OverflowError, ValueError) as error:
        raise _bad(f"[{zone}]: until, as 2027-01-31T18:00:00Z", until) from error
    if until_ms <= 0:
        raise _bad(f"[{zone}]: until, as 2027-01-31T18:00:00Z", until)
    life = said.get("life", LIFE)
    if type(life) is not str:
        raise _bad(f"[{zone}]: life, as {LIFE}", life)
    return Pilot(zone=zone, stage=Stage(stage), until_ms=until_ms, life_s=life_of(life))  # 4


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%FT%TZ")


def _life(pilot: Pilot) -> str:
    minutes, rest = divmod(pilot.life_s, 60)
    if rest:  # no file says it so, and a made up one is not written
        raise _bad("a life of whole minutes", pilot.life_s)
    return f"{minutes}m" if minutes % 60 else f"{minutes // 60}h"


def _bad(expected: str, actual: object) -> Malformed:
    return Malformed.of(Reason.PILOT, expected, ascii(str(actual))[:80], "framegate pilot show")
