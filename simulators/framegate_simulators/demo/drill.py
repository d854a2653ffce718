"""make drill: a camera begins to replay old pictures among new ones. An operator sees the incident,
quarantines the camera, releases it and closes the incident.

How soon it was found and contained is measured from outside, by the verdicts on the broker and a
clock, and held against what `framegate kpi` and `scripts/kpi_check.py` say by the record alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from framegate.errors import Reason
from framegate.signed.statement import Outcome, Verdict
from framegate_host.console import Terminal
from framegate_simulators.plant.line_plant import operator_keys
from framegate_simulators.plant.observer import Observer
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, PlantError, wait_for

CAMERA: Final = "camera.line-1.cam1"
CHECK: Final = Path(__file__).parents[3] / "scripts" / "kpi_check.py"
RATE: Final = 2.0
STUCK_AFTER: Final = 12
"""Boards: some seconds of a stream that nobody has anything to say against."""
PATIENCE_S: Final = 90.0
SLACK_MS: Final = 1_000
"""Between the record and whoever watches: a report is signed within a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """Milliseconds from the first replayed picture: until an operator could see the incident, and
    to the last picture that was accepted; both seen from outside, then by the record.
    """

    detect_outside: int
    contain_outside: int
    detect_record: int
    contain_record: int
    acknowledge_record: int
    recover_record: int

    @property
    def agree(self) -> bool:
        """Whether the record says nothing better than what was seen: it detects no earlier than it
        is, and contains at the very frame.
        """
        return (
            0 <= self.detect_record <= self.detect_outside + SLACK_MS
            and abs(self.contain_record + self.detect_record - self.contain_outside) <= SLACK_MS
        )


class Drill:
    """One drill in a running plant with gateway, broker and the camera `cam1`, which is stuck."""

    def __init__(self, plant: Plant, observer: Observer) -> None:
        self._plant, self._observer = plant, observer

    def run(self) -> Drilled:
        """Declare, wait, respond, recover, close, measure. PlantError where anything fails."""
        p = self._plant
        p.framegate("incident", "drill", "cam1", "--for", "30m", "--reason", "make drill")
        first = wait_for("a replayed picture", self._first_replayed, PATIENCE_S)
        number = int(wait_for("an incident", self._incident, PATIENCE_S)["incident"])
        seen_ms = time.time_ns() // 1_000_000
        p.framegate("incident", "assign", number, "anna")
        p.framegate("camera", "quarantine", "cam1", "--reason", f"incident {number}")
        wait_for("UNINSPECTED(quarantined)", self._quarantined, PATIENCE_S)
        last = self._last_accepted()
        p.framegate("incident", "note", number, "quarantined; the driver hands out old buffers")
        wait_for("the record to know", lambda: self._kpi()["contain"]["n"], PATIENCE_S)
        p.framegate("camera", "release", "cam1", "--reason", f"incident {number}")
        wait_for("cam1 to be trusted", lambda: self._kpi()["recover"]["n"], PATIENCE_S)
        p.framegate("incident", "close", number, "--verdict", "test", "--note", "make drill")
        own = self._kpi()
        self._require_same()
        return Drilled(
            detect_outside=seen_ms - first,
            contain_outside=last - first,
            detect_record=own["detect"]["values"][0],
            contain_record=own["contain"]["values"][0],
            acknowledge_record=own["acknowledge"]["values"][0],
            recover_record=own["recover"]["values"][0],
        )

    def _first_replayed(self) -> int:
        frozen = [v for v in self._verdicts() if v.reason == Reason.FRAME_FROZEN]
        return min((v.issued_at_ms for v in frozen), default=0)

    def _incident(self) -> dict[str, Any] | None:
        rows = self._plant.ask("incident", "list")
        return next((r for r in rows if r["about"] == CAMERA and r["drill"]), None)

    def _quarantined(self) -> bool:
        return any(v.reason == Reason.QUARANTINED for v in self._verdicts())

    def _last_accepted(self) -> int:
        """Of what was sealed before: what follows the first refusal is refused."""
        accepted = [v for v in self._verdicts() if v.outcome != Outcome.UNINSPECTED]
        return max(v.issued_at_ms for v in accepted)

    def _verdicts(self) -> list[Verdict]:
        return [
            v for key, vs in list(self._observer.verdicts.items()) if key[3] == CAMERA for v in vs
        ]

    def _kpi(self) -> dict[str, Any]:
        drills: dict[str, Any] = self._plant.ask("kpi")["drills"]
        return drills

    def _require_same(self) -> None:
        """That the independent script has the same figures of an export."""
        export = self._plant.folder / "drill.log"
        self._plant.framegate("audit", "export", "--out", export)
        own = self._plant.ask("kpi", "--export", export)
        done = self._plant.command(sys.executable, CHECK, export)
        if json.loads(done.stdout) != own:
            raise PlantError(f"two figures of one record: {done.stdout} and {json.dumps(own)}")


def prepared(plant: Plant, say: Callable[[str], None]) -> Observer:
    """A plant in which cam1 streams and will be stuck soon, watched on the broker."""
    say("a fleet, a broker, a gateway and a camera")
    plant.found_fleet()
    plant.start_controller()
    plant.start_broker()
    plant.framegate("trust", "add-tpm-ca", plant.folder / "maker.pem")
    gateway, camera = plant.add_machine("gw1", "gateway"), plant.add_machine("cam1")
    for site in (gateway, camera):
        plant.join(site, plant.invite(site))
    plant.write_golden([1])
    plant.start_agent(gateway)
    wait_for("the agent's socket", lambda: plant.agent_socket(gateway).exists(), PATIENCE_S)
    plant.start_gateway(gateway)
    keys = operator_keys(plant)
    observer = Observer(keys.client("observer"), keys.authorities, keys.root, plant.broker_port)
    plant.start_agent(
        camera,
        "--source",
        f"exec:{SIM} camera --design 1 --rate {RATE} --stuck-after {STUCK_AFTER}",
    )
    return observer


def main() -> None:
    """make drill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=Path("build"))
    args = parser.parse_args()
    console = Terminal(highlight=False)
    args.build.mkdir(exist_ok=True)
    try:
        with Plant(interval_s=4.0) as plant, plant.explained():
            observer = prepared(plant, console.print)
            try:
                console.print("from some board on every second picture is an old one")
                drilled = Drill(plant, observer).run()
            finally:
                observer.close()
    except PlantError as error:
        console.print(f"[red]the drill failed[/]: {error}", soft_wrap=True)
        sys.exit(1)
    (args.build / "drill.json").write_text(json.dumps(asdict(drilled), indent=1) + "\n")
    table = Table("from the first old picture", "seen from outside", "by the record", box=None)
    contained = drilled.contain_record + drilled.detect_record
    rows = (
        ("until it is found", drilled.detect_outside, drilled.detect_record),
        ("to the last picture accepted", drilled.contain_outside, contained),
    )
    for what, outside, record in rows:
        table.add_row(what, f"{outside / 1000:.1f} s", f"{record / 1000:.1f} s")
    console.print(table)
    console.print(f"{args.build / 'drill.json'}: all figures, in milliseconds")
    if not drilled.agree:
        console.print("[red]the record and what was seen do not agree[/]")
        sys.exit(1)


if __name__ == "__main__":
    run_to_its_end(main)
