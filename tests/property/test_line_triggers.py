"""N128, N129: whatever a PLC counts and a broker holds back, a part passes only by verdicts on that
very part, and every part has one outcome.
"""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framegate.errors import Reason, Refused
from framegate.signed.statement import MAX_GRANT_TTL_S, Outcome
from framegate_line import adapter as line_adapter
from framegate_line.adapter import Adapter
from framegate_line.ledger import Ledger
from framegate_line.rules import Rules, Ruling, Trigger
from framegate_simulators.fixtures.frames import VERDICT_LIFE_MS, passed
from support.line import CAM1, RecordingOutput

RULES = Rules("press-7", "line-1", (CAM1,), deadline_ms=2000, hold_ms=500)
STEP = st.one_of(
    st.tuples(
        st.just("enter"),
        st.sampled_from(["p1", "p2"]),
        st.sampled_from(["t", "u"]),
        st.sampled_from([1, 2]),
        st.booleans(),
    ),
    st.tuples(st.just("inspect"), st.integers(0, 40)),
    st.tuples(st.just("deliver"), st.integers(0, 40)),
    st.tuples(st.just("again"), st.integers(0, 40)),
    st.tuples(st.just("wait"), st.sampled_from([1, 400, 1500, 5_000, 30_000, 100_000, 200_000])),
)


class Plant:
    """Real parts, each with its own trigger and verdicts; what the adapter is told, and what it
    says.
    """

    def __init__(self, folder: Path) -> None:
        self.now = 10**12
        self.parts: list[Trigger] = []
        self.entered_ms: list[int] = []
        self.made_for: dict[str, int] = {}
        self.envelopes: list[bytes] = []
        self._verdicts: dict[bytes, object] = {}
        self.output = RecordingOutput()
        self.ledger = Ledger(folder / "l.db", "press-7")
        credentials = type("C", (), {"authorities": (), "root": None, "der": b"", "sign": None})
        self.adapter = Adapter(RULES, self.ledger, credentials, (self.output,), lambda: self.now)

    def verify(self, envelope, *_):
        verdict = self._verdicts[envelope]
        if verdict.valid_until_ms < self.now:
            raise Refused.of(Reason.VERDICT, "a verdict of now", "an old one")
        return verdict

    def enter(self, part, part_type, sequence, timed) -> None:
        trigger = Trigger(part, part_type, sequence, self.now if timed else 0)
        self.parts.append(trigger)
        self.entered_ms.append(self.now)
        self.adapter.trigger(trigger)

    def inspect(self, index) -> None:
        """A gateway sees that part's frame, which may have been held back while its grant ran."""
        if not self.parts:
            return
        number = index % len(self.parts)
        if self.now - self.entered_ms[number] > 1000 * MAX_GRANT_TTL_S:
            return
        trigger, envelope = self.parts[number], b"v%d" % len(self.envelopes)
        self._verdicts[envelope] = passed(
            self.now,
            verdict_id=envelope.decode(),
            device=CAM1,
            part=trigger.part,
            part_type=trigger.part_type,
            trigger_sequence=trigger.trigger_sequence,
            valid_until_ms=self.now + VERDICT_LIFE_MS,
        )
        self.made_for[envelope.decode()] = number
        self.envelopes.append(envelope)

    def deliver(self, index) -> None:
        if self.envelopes:
            self.adapter.verdict(self.envelopes[index % len(self.envelopes)])

    def again(self, index) -> None:
        """The broker brings a trigger again that says when it was."""
        if self.parts and (trigger := self.parts[index % len(self.parts)]).at_ms:
            self.adapter.trigger(trigger)

    def wait(self, ms) -> None:
        self.now += ms
        for part in self.ledger.left_open():
            if part.deadline_ms <= self.now:
                self.adapter._decide(part, Ruling(Outcome.UNINSPECTED, Reason.TIMEOUT))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, max_size=40))
def test_n128_a_part_passes_by_its_own_verdicts_alone(steps):
    async def run(folder: Path) -> None:
        plant = Plant(folder)
        line_adapter.verify_verdict, real = plant.verify, line_adapter.verify_verdict
        try:
            for name, *values in steps:
                getattr(plant, name)(*values)
            plant.wait(60_000)
        finally:
            line_adapter.verify_verdict = real
            for timer in plant.adapter._timers.values():
                timer.cancel()
            for task in list(plant.adapter._tasks):
                task.cancel()
            await asyncio.gather(*plant.adapter._tasks, return_exceptions=True)
        rows = plant.ledger._db.execute(
            "SELECT triggered_ms, outcome, verdicts, part, part_type, sequence FROM parts"
        ).fetchall()
        counted = Counter(plant.ledger.counts().outcomes)
        plant.ledger.close()
        assert sum(counted.values()) == len(rows) <= len(plant.parts)
        for triggered_ms, outcome, verdicts, *name in rows:
            if outcome != "PASS":
                continue
            (number,) = {plant.made_for[v] for v in verdicts.split(",")}
            trigger = plant.parts[number]
            assert [trigger.part, trigger.part_type, trigger.trigger_sequence] == name
            assert plant.entered_ms[number] == triggered_ms, "made for a part before it"

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))
