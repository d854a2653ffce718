"""What must be so on a line after every fault, looked at while it runs: the ledger, both gateways'
receipts and the controller's registry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from framegate.errors import FramegateError
from framegate.machines.lifecycle import State
from framegate.signed.statement import Outcome
from framegate_controller.ca.open import load_fleet
from framegate_controller.record.check import check_record
from framegate_controller.store.database import open_registry
from framegate_controller.timing import Timing
from framegate_line.ledger import Ledger
from framegate_simulators.chaos.kept_receipts import KeptReceipts
from framegate_simulators.plant.diverter import Part
from framegate_simulators.plant.line_plant import LINE, LinePlant

SLACK_MS: Final = 3_000
"""From the moment that a result is too old to the one at which the registry says so."""


class LineChecks:
    """Of one line; every check says what is wrong, in words."""

    def __init__(self, line: LinePlant) -> None:
        self._line, self._plant = line, line.plant
        self._keys = load_fleet(line.plant.folder / "controller" / "keys")

    def problems(self, since: int) -> Iterator[str]:
        """What is wrong, and with what happened to parts from index `since` on."""
        line = self._line
        outside = line.outside(since)
        if not outside.exact:
            yield from (f"{p.part} went through uninspected" for p in outside.uninspected)
            yield f"in {outside.parts_in}, out {outside.let_through + outside.diverted}"
        through = [p for p in line.conveyor.parts[since:] if p.let_through]
        yield from self._ledger(through)
        yield from self._receipts(through)
        yield from self._registry()

    def open_parts(self) -> int:
        """Parts in the adapter's ledger that are not decided."""
        ledger = Ledger(self._plant.ledger(LINE), LINE, reading=True)
        try:
            return ledger.counts().waiting
        finally:
            ledger.close()

    def _ledger(self, through: Sequence[Part]) -> Iterator[str]:
        """1. no part stands twice; 2. who was let through stands there as PASS. All are asked for:
        a clock that was set back leaves parts of later on top for as long.
        """
        ledger = Ledger(self._plant.ledger(LINE), LINE, reading=True)
        try:
            rows = ledger.latest(len(self._line.conveyor.parts))
        finally:
            ledger.close()
        stands = Counter(row.key.part for row in rows)
        yield from (f"{p} stands {n} times in the ledger" for p, n in stands.items() if n > 1)  # 1
        passed = {row.key.part for row in rows if row.outcome == Outcome.PASS}
        for part in through:
            if part.part not in passed:  # 2
                yield f"{part.part} went through, and the ledger does not say PASS"

    def _receipts(self, through: Sequence[Part]) -> Iterator[str]:
        """1. each gateway's receipts are whole; 2. each PASS by which a part went through has its
        leaf.
        """
        ids = Counter[str]()
        for gateway in self._line.gateways:
            path = gateway.machine.folder / "gateway" / "receipts.db"
            kept = KeptReceipts.of(path)
            ids += kept.ids
            yield from (f"{gateway.name}: {it}" for it in kept.problems(all_signed=False))  # 1
        seen = self._line.observer.verdicts
        for part in through:
            for camera in self._line.cameras:
                key = (part.part, part.part_type, part.sequence, camera)
                passes = [v for v in seen.get(key, ()) if v.outcome == Outcome.PASS]
                if not any(v.verdict_id in ids for v in passes):  # 2
                    yield f"{part.part} went through, and its PASS has no receipt"

    def _registry(self) -> Iterator[str]:
        """1. the record is whole; 2. nobody is trusted by a result that is too old."""
        store = open_registry(self._plant.folder / "controller" / "registry.db")
        try:
            with store.reading() as tx:
                stale_ms = Timing(int(1e3 * self._plant.interval_s)).stale_ms + SLACK_MS
                for device in tx.devices.all():
                    age_ms = tx.now_ms - device.standing.result_ms
                    if device.state == State.TRUSTED and age_ms > stale_ms:  # 2
                        yield f"{device.id} is trusted by a result of {age_ms} ms ago"
                check_record(tx, self._keys)  # 1
        except FramegateError as error:
            yield f"record: {error}"
        finally:
            store.close()
