"""Run the campaign: each threat against a live target, with what was attempted, what came back, and
whether the attacker got nothing.

A threat without an attempt is `untried`, never passed. First of all a sound machine must be
trusted, and at the end another: a target that refuses everybody, or has fallen over, refuses
nobody's attack.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from framegate_simulators.attack import (
    agent,
    boot,
    enrolment,
    gateway,
    people,
    service,
    stores,
    structures,
)
from framegate_simulators.attack.target import ATTEMPTS, Seen, Target
from framegate_simulators.plant.plant import Plant

THREATS: Final = (
    *(f"N{n:02}" for n in range(1, 19)),
    *(
        f"N{n}"
        for n in (*range(20, 32), *range(40, 51), *range(60, 66), *range(70, 74), *range(80, 91))
    ),
    *(f"N{n}" for n in (*range(100, 111), *range(111, 126))),
)
"""Every line of the threat list."""
LAST: Final = ("N31",)
"""Attempts after which the controller rightly holds off this machine's address for a minute."""
MODULES: Final = (structures, enrolment, boot, service, stores, gateway, agent, people)
"""Importing them registers their attempts."""


def run_campaign(
    say: Callable[[dict[str, Any]], None], only: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    """One row a threat: id, attempt, observed, refused (True, False or None where untried),
    seconds. `say` gets each as it comes.
    """
    rows: list[dict[str, Any]] = []
    with Plant(interval_s=60.0) as plant:
        plant.found_fleet()
        plant.start_controller()
        plant.framegate("trust", "add-tpm-ca", plant.folder / "maker.pem")
        target = Target(plant)
        for row in _rows(target, only):
            rows.append(row)
            say(row)
    return rows


def _rows(target: Target, only: frozenset[str]) -> Iterator[dict[str, Any]]:
    yield _row("control", "a sound machine joins and attests", lambda: _control(target))
    by_threat = {a.threat: a for a in ATTEMPTS}
    for threat in sorted(THREATS, key=lambda n: (n in LAST, THREATS.index(n))):
        if only and threat not in only:
            continue
        if threat == LAST[0]:
            yield _row(
                "control", "a sound machine still joins after all that", lambda: _control(target)
            )
        tried = by_threat.get(threat)
        if tried is None:
            yield {
                "id": threat,
                "attempt": "",
                "observed": "untried",
                "refused": None,
                "seconds": 0.0,
            }
        else:
            yield _row(threat, tried.summary, lambda f=tried: f.run(target))  # type: ignore[misc]


def _row(threat: str, summary: str, run: Callable[[], Seen]) -> dict[str, Any]:
    begun = time.monotonic()
    try:
        seen = run()
    except Exception as error:  # noqa: BLE001 - an attempt that breaks proves nothing, and says so
        seen = Seen(False, f"the attempt itself failed: {type(error).__name__}: {error}"[:300])
    return {
        "id": threat,
        "attempt": summary,
        "observed": seen.reason,
        "refused": seen.refused,
        "seconds": round(time.monotonic() - begun, 2),
    }


def _control(target: Target) -> Seen:
    forge, device, certificate = target.enrol()
    answer = target.attest(forge, certificate, known_log=True)
    trusted = answer.certificate is not None and target.state(device) == "trusted"
    return Seen(trusted, "trusted" if trusted else f"REFUSED: {', '.join(answer.reasons)}")
