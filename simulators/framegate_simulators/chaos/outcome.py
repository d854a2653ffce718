"""What came of one run under a fault, and of many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rich.table import Table

WORST: Final = 20
"""Problems that are told one by one; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: what was asked and answered in it, what became of it, how long it took to be as
    before (ms, from the moment that the fault was over), and what must not be: nothing.
    """

    became: str
    asked: int
    answered: int
    healed_ms: float
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class Tally:
    """All runs under one fault; `limit_ms` is within what it has to heal by itself."""

    fault: str
    limit_ms: float
    runs: int = 0
    asked: int = 0
    answered: int = 0
    skipped: str = ""
    became: dict[str, int] = field(default_factory=dict)
    healed_ms: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome, seed: int) -> None:
        """Count a run; one that healed too late is a problem too."""
        self.runs += 1
        self.asked += outcome.asked
        self.answered += outcome.answered
        self.became[outcome.became] = self.became.get(outcome.became, 0) + 1
        self.healed_ms.append(outcome.healed_ms)
        problems = list(outcome.problems)
        if outcome.healed_ms > self.limit_ms:
            problems.append(f"healed after {outcome.healed_ms:.0f} ms, of {self.limit_ms:.0f}")
        self.problems += [f"seed {seed}: {problem}" for problem in problems]

    def body(self) -> dict[str, Any]:
        """As JSON values."""
        healed = sorted(self.healed_ms)
        return {
            "fault": self.fault,
            "runs": self.runs,
            "skipped": self.skipped,
            "asked": self.asked,
            "answered": self.answered,
            "became": dict(sorted(self.became.items())),
            "healed_ms_median": round(healed[len(healed) // 2], 1) if healed else 0.0,
            "healed_ms_most": round(healed[-1], 1) if healed else 0.0,
            "healed_ms_limit": self.limit_ms,
            "problems": self.problems[:WORST],
            "problem_count": len(self.problems),
        }


def table(tallies: Iterable[Tally]) -> Table:
    """Faults and what became of them, for a terminal of 80 columns."""
    shown = Table(
        "fault", "runs", "asked", "became", "healed, s (most)", "wrong", box=None, pad_edge=False
    )
    for tally in tallies:
        body = tally.body()
        if not tally.runs and not tally.problems:
            shown.add_row(tally.fault, "0", "", f"not run: {tally.skipped}", "", "")
            continue
        shown.add_row(
            tally.fault,
            str(tally.runs),
            str(tally.asked),
            ", ".join(f"{count} {what}" for what, count in body["became"].items()),
            f"{body['healed_ms_median'] / 1e3:.2f} ({body['healed_ms_most'] / 1e3:.2f})",
            str(body["problem_count"]),
        )
    return shown


def wrong(results: Iterable[Mapping[str, Any]]) -> int:
    """How many problems there were in all."""
    return sum(int(one["problem_count"]) for one in results)
