"""A line adapter without a broker."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Unavailable
from framegate.identity.certificates import Purpose
from framegate.identity.pem import private_pem
from framegate_controller.ca.issue import certify, issue_line
from framegate_controller.ca.keys import SigningKey
from framegate_controller.ca.template import leaf_template
from framegate_line.adapter import Adapter
from framegate_line.credentials import load_credentials
from framegate_line.ledger import Ledger
from framegate_line.rules import Rules, Trigger
from framegate_simulators.fixtures.frames import passed

CAM1, CAM2 = "camera.line-1.cam1", "camera.line-1.cam2"


RULES = Rules("press-7", "line-1", (CAM1, CAM2), deadline_ms=1000, stop_after=3, hold_ms=500)


FAR_S = 3_600.0


class UnhurriedAdapter(Adapter):
    """Under the rules above no deadline falls due but by the bench's clock, which stands: a machine
    that is busy for a second takes no part's time from it. Under a test's own one does by itself.
    """

    def _arm(self, part) -> None:
        if self.rules is RULES:
            self._later(FAR_S, part)
        else:
            super()._arm(part)


class RecordingOutput:
    """An output that remembers, and can be made to fail."""

    def __init__(self, name="recording") -> None:
        self.name = name
        self.decisions, self.stops, self.beats, self.broken = [], [], 0, False
        self.expected = []

    async def expect(self, sequence):
        self.expected.append(sequence)

    async def decide(self, decision, envelope):
        if self.broken:
            raise Unavailable.of(Reason.LINE_OUTPUT, "an output", "broken")
        self.decisions.append((decision, envelope))

    async def beat(self, count, envelope):
        if self.broken:
            raise Unavailable.of(Reason.LINE_OUTPUT, "an output", "broken")
        self.beats += 1

    async def ask_stop(self, notice, envelope):
        self.stops.append(notice)

    async def close(self):
        pass


class LineBench:
    def __init__(self, fleet, folder) -> None:
        self.fleet, self.folder = fleet, folder
        self.now = time.time_ns() // 1_000_000
        key = ec.generate_private_key(ec.SECP256R1())
        (folder / "line.key").touch(0o600)
        (folder / "line.key").write_bytes(private_pem(key))
        (folder / "line.pem").write_bytes(
            issue_line(fleet, "press-7", key.public_key()).public_bytes(Encoding.PEM)
        )
        (folder / "root.pem").write_bytes(fleet.root.pem)
        (folder / "authorities.pem").write_bytes(b"".join(k.pem for k in fleet.issuing.values()))
        self.output = RecordingOutput()
        self.gateway = self.signer("gateway.line-1.gw1")
        self.open()

    def open(self) -> None:
        self.ledger = Ledger(self.folder / "ledger.db", "press-7")
        self.adapter = UnhurriedAdapter(
            RULES,
            self.ledger,
            load_credentials(self.folder, "press-7"),
            (self.output,),
            lambda: self.now,
        )

    def signer(self, name, purpose=Purpose.VERDICT, label="gateway-ca") -> SigningKey:
        key = ec.generate_private_key(ec.SECP256R1())
        return SigningKey(
            key,
            certify(
                self.fleet.issuing[label],
                leaf_template(
                    purpose, name, key.public_key(), timedelta(minutes=10), datetime.now(UTC)
                ),
            ),
        )

    def verdict(self, camera=CAM1, sequence=1, outcome="PASS", by=None, **changes) -> bytes:
        by = by or self.gateway
        statement = passed(
            self.now,
            verdict_id=f"{camera[-1]}{sequence}",
            device=camera,
            part=f"p{sequence}",
            trigger_sequence=sequence,
            outcome=outcome,
            reason="stale" if outcome == "UNINSPECTED" else "",
            inspected_percent=0 if outcome == "UNINSPECTED" else 100,
            defects=({"kind": "open", "score": 0.9, "box": [0, 0, 1, 1]},)
            if outcome == "DEFECT"
            else (),
        )
        return replace(statement, **changes).seal(by.der, by.sign)

    def trigger(self, sequence=1, **changes) -> None:
        self.adapter.trigger(Trigger(f"p{sequence}", "t", sequence, **changes))

    async def settled(self):
        while self.adapter._tasks:
            await asyncio.gather(*self.adapter._tasks)
            await asyncio.sleep(0)  # of tasks that are done, gather waits for nothing (Python 3.12)
        return [d.outcome for d, _ in self.output.decisions]


@pytest.fixture
def bench_line(keys, tmp_path):
    """A line adapter of two cameras, its ledger and its output."""
    line = LineBench(keys, tmp_path)
    yield line
    line.ledger.close()
