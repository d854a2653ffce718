"""Run the campaign: each threat against a live target, with what was attempted, what came back, and
whether the attacker got nothing.

A threat without an attempt is `untried`, never passed. Each attempt stands between two controls
(`controls.py`) and has to be refused for the reasons that are stated (`expected.py`): a target that
refuses everybody, or has fallen over, refuses nobody's attack.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from framegate_simulators.attack import (
    agent,
    answers,
    asked,
    backends,
    boot,
    children,
    console,
    copies,
    crowds,
    decisions,
    doors,
    enrolment,
    frames,
    gateway,
    kept_guards,
    line,
    looks,
    made_backups,
    models,
    others_state,
    payloads,
    people,
    pilots,
    playbooks,
    reports,
    rogue_controller,
    rogue_files,
    segments,
    service,
    sinks,
    sites,
    standing,
    stores,
    structures,
    taken_port,
    two_readings,
    typed,
    vast_numbers,
    versions,
    watched,
)
from framegate_simulators.attack.controls import control
from framegate_simulators.attack.expected import EXPECTED
from framegate_simulators.attack.silent_provider import SilentProvider
from framegate_simulators.attack.target import ATTEMPTS, Attempt, Seen, Target
from framegate_simulators.plant.plant import Plant

THREATS: Final = (
    *(f"N{n:02}" for n in range(1, 19)),
    *(
        f"N{n}"
        for n in (*range(20, 32), *range(40, 51), *range(60, 66), *range(70, 74), *range(80, 91))
    ),
    *(
        f"N{n}"
        for n in (
            *range(100, 111),
            *range(111, 156),
            *range(160, 169),
            *range(170, 176),
            *range(180, 209),
            *range(210, 212),
            *range(213, 224),
            *range(225, 245),
            246,
            248,
        )
    ),
)
"""Every line of the threat list."""
LAST: Final = ("N148",)
"""What puts an old copy of the controller back; who came before it is then unknown there."""
MODULES: Final = (
    structures,
    enrolment,
    boot,
    service,
    sinks,
    stores,
    versions,
    gateway,
    frames,
    vast_numbers,
    line,
    models,
    kept_guards,
    looks,
    payloads,
    children,
    agent,
    people,
    asked,
    typed,
    backends,
    crowds,
    playbooks,
    reports,
    segments,
    pilots,
    watched,
    copies,
    sinks,
    console,
    sites,
    standing,
    doors,
    decisions,
    answers,
    made_backups,
    others_state,
    taken_port,
    rogue_controller,
    rogue_files,
    two_readings,
)
"""Importing them registers their attempts."""


def run_campaign(
    say: Callable[[dict[str, Any]], None], only: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    """One row a threat: id, attempt, observed, refused (True, False or None where untried),
    control and how often of two it was served, seconds. `say` gets each as it comes.
    """
    rows: list[dict[str, Any]] = []
    provider = SilentProvider()
    with Plant(interval_s=60.0) as plant:
        plant.metrics = {}
        plant.found_fleet()
        plant.start_controller("--oidc-issuer", provider.issuer, "--oidc-client-id", "framegate")
        plant.framegate("trust", "add-tpm-ca", plant.folder / "maker.pem")
        target = Target(plant, provider)
        try:
            for row in _rows(target, only):
                rows.append(row)
                say(row)
        finally:
            target.close()
            provider.close()
    return rows


def _rows(target: Target, only: frozenset[str]) -> Iterator[dict[str, Any]]:
    yield _control(target, "a sound machine joins and attests", "join")
    by_threat = {a.threat: a for a in ATTEMPTS}
    for threat in sorted(THREATS, key=lambda n: (n in LAST, _place(n))):
        if only and threat not in only:
            continue
        tried = by_threat.get(threat)
        yield _untried(threat) if tried is None else _tried(target, tried)
    yield _control(target, "a sound machine attests after all that", "attest")


def _place(threat: str) -> int:
    return LAST.index(threat) if threat in LAST else THREATS.index(threat)


def _untried(threat: str) -> dict[str, Any]:
    return {"id": threat, "attempt": "", "observed": "untried", "refused": None, "seconds": 0.0}


def _tried(target: Target, attempt: Attempt) -> dict[str, Any]:
    """The attempt, from an address of its own, between its controls. Refused: the attacker got
    nothing, for the reasons that are stated, and whoever is sound was served on both sides.
    """
    before = control(target, attempt.control)
    begun = time.monotonic()
    try:
        with target.elsewhere():
            seen = attempt.run(target)
    except Exception as error:  # noqa: BLE001 - an attempt that breaks proves nothing, and says so
        seen = Seen(False, f"the attempt itself failed: {type(error).__name__}: {error}"[:300])
    seconds = round(time.monotonic() - begun, 2)
    after = control(target, attempt.control)
    missing = [r for r in EXPECTED.get(attempt.threat, ()) if r not in seen.reason]
    problems = [
        f"{what}: {text}"
        for what, text in (
            ("NOT SAID", ", ".join(missing)),
            ("CONTROL BEFORE", before),
            ("CONTROL AFTER", after),
        )
        if text
    ]
    return {
        "id": attempt.threat,
        "attempt": attempt.summary,
        "observed": "; ".join([*problems, seen.reason]),
        "refused": seen.refused and not problems,
        "control": attempt.control,
        "served": (not before) + (not after),
        "seconds": seconds,
    }


def _control(target: Target, summary: str, name: str) -> dict[str, Any]:
    begun = time.monotonic()
    said = control(target, name)
    return {
        "id": "control",
        "attempt": summary,
        "observed": said or "served",
        "refused": not said,
        "seconds": round(time.monotonic() - begun, 2),
    }
