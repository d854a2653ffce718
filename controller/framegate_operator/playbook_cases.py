"""Cases beside a playbook: entries of the record go in, what it answers is expected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.playbooks.planner import InForce, Planner
from framegate.playbooks.playbook import Playbook
from framegate.playbooks.sighting import sighting_of
from framegate.record.entry import MAX_ENTRY_BYTES

MAX_CASES_BYTES: Final = 64 * MAX_ENTRY_BYTES
"""A case is a handful of entries, as `framegate audit export` writes them."""
_EXAMPLE: Final = '[{"case": "…", "entries": [{"event": "…"}], "expect": ["act"]}]'


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case by its words, and what was otherwise than expected; empty where nothing was."""

    case: str
    failure: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"case": self.case, "ok": not self.failure, "failure": self.failure}


def run_cases(playbook: Playbook, file: Path) -> tuple[CaseResult, ...]:
    """What came of every case in `file`; none where there is no such file. Raises Malformed."""
    if not file.exists():
        return ()
    try:
        cases = json.loads(file.read_bytes()[:MAX_CASES_BYTES])
        return tuple(_run(playbook, case) for case in cases)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        actual = f"{type(error).__name__}: {error}"[:200]
        raise Malformed.of(Reason.PLAYBOOK, f"cases: {_EXAMPLE}", actual) from error


def _run(playbook: Playbook, case: Mapping[str, Any]) -> CaseResult:
    """Entries need an event; index, time, actor and device are made up where they lack them."""
    planner = Planner()
    planner.put(InForce(playbook=playbook, revision=1, people=frozenset(case.get("people", ()))))
    came: list[str] = []
    for number, entry in enumerate(case["entries"]):
        blank = {"index": number, "at_ms": number * 1000, "actor": "controller"}
        came += [run.verdict.value for run in planner.see(sighting_of({**blank, **entry}))]
    expected = [str(v) for v in case["expect"]]
    failure = "" if came == expected else f"expected {expected}, came {came}"
    return CaseResult(str(case["case"])[:200], failure)
