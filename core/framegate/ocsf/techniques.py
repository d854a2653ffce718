"""Which techniques of MITRE ATLAS and ATT&CK for ICS a refusal may be the trace of: a table that is
data, with the versions that its ids are of.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from framegate.errors import Reason


@dataclass(frozen=True, slots=True)
class Technique:
    """A technique of a `matrix` (MITRE ATLAS, MITRE ATT&CK for ICS) in its version."""

    uid: str
    name: str
    matrix: str
    version: str

    def attack(self) -> dict[str, Any]:
        """As OCSF's object `attack`."""
        return {
            "technique": {"uid": self.uid, "name": self.name},
            "version": f"{self.matrix} {self.version}",
        }


@dataclass(frozen=True, slots=True)
class TechniqueTable:
    """Techniques by reason and by event's name; `none` are reasons that point at no technique."""

    reasons: dict[Reason, tuple[Technique, ...]]
    events: dict[str, tuple[Technique, ...]]
    none: frozenset[Reason]


@cache
def techniques() -> TechniqueTable:
    """The table."""
    raw = tomllib.loads((files("framegate.ocsf") / "techniques.toml").read_text("utf-8"))
    known = {
        uid: Technique(uid, name, matrix["name"], matrix["version"])
        for matrix in raw["matrix"].values()
        for uid, name in matrix["techniques"].items()
    }
    return TechniqueTable(
        {Reason(r): tuple(known[u] for u in uids) for r, uids in raw["reason"].items()},
        {name: tuple(known[u] for u in uids) for name, uids in raw["event"].items()},
        frozenset(map(Reason, raw["none"]["reasons"])),
    )


def attacks_of(reasons: Iterable[str]) -> list[dict[str, Any]]:
    """OCSF's `attacks` for these reasons, each technique once; names that are none add nothing."""
    table, known = techniques().reasons, {r.value for r in Reason}
    chosen = {t.uid: t for r in reasons if r in known for t in table.get(Reason(r), ())}
    return [technique.attack() for technique in chosen.values()]


def attacks_of_event(name: str) -> list[dict[str, Any]]:
    """The same for an event that is itself a detection."""
    return [technique.attack() for technique in techniques().events.get(name, ())]
