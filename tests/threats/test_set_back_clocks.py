"""N208: an old challenge key has a machine go back to a time when what was withdrawn counted; a
controller whose clock was ahead keeps its machines out once it is right again. With a real TPM.
"""

import base64
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from framegate.errors import Reason, Refused
from framegate_agent.attestation import Attester
from framegate_agent.state import AgentState
from framegate_agent.tpm.chip import Tpm
from framegate_agent.trusted_clock import LEEWAY_MS, TrustedClock
from framegate_simulators.forge.challenge_desk import ChallengeDesk

HOUR_MS = 3_600_000


@dataclass
class Standing:
    """A machine, and a controller of which only its challenge key is real."""

    tpm: Tpm
    state: AgentState
    desk: ChallengeDesk
    boot_log: Path
    clock: TrustedClock = field(default_factory=lambda: TrustedClock(0))

    async def attests(self, *ahead_ms: int) -> AgentState:
        """It attests while that one's clock is so far ahead, once for each."""
        attester = Attester(self.tpm, self.boot_log, self.clock)
        async with self.desk.channel() as channel:
            for self.desk.ahead_ms in ahead_ms:
                outcome = await attester.attest(self.state, channel, ())
                self.state = outcome.state
        return self.state

    async def is_refused(self, ahead_ms: int) -> str:
        """What came, as the refusal says it."""
        with pytest.raises(Refused) as caught:
            await self.attests(ahead_ms)
        assert caught.value.reason == Reason.SESSION_EXPIRED
        return caught.value.failures[0].actual

    def started_again(self) -> None:
        """The agent, with what it kept."""
        self.clock = TrustedClock(self.state.seen_ms, self.clock.marshal())

    def is_right(self) -> bool:
        return abs(self.clock.now_ms() - time.time_ns() // 1_000_000) < LEEWAY_MS


@pytest.fixture
def standing(machine, keys, tmp_path):
    tpm = Tpm(machine.tcti)
    root = base64.b64encode(keys.root.der).decode()
    state = AgentState("join:1", "fleet:1", "controller", root)
    yield Standing(tpm, state, ChallengeDesk(keys.signing["challenge"]), tmp_path)
    tpm.close()


async def test_n208_a_controller_that_was_ahead_is_followed_back(standing):
    await standing.attests(0, HOUR_MS)
    assert not standing.is_right()
    told = await standing.attests(0)
    assert standing.is_right() and standing.desk.answered == 3
    assert abs(told.seen_ms - time.time_ns() // 1_000_000) < LEEWAY_MS, "and so it is kept"


async def test_n208_so_it_is_by_an_agent_that_was_started_again_meanwhile(standing):
    await standing.attests(0, HOUR_MS)
    standing.started_again()
    await standing.attests(0)
    assert standing.is_right()


async def test_n208_two_controllers_that_differ_are_both_answered(standing):
    await standing.attests(0, HOUR_MS, 0, HOUR_MS, 0)
    assert standing.is_right()


@pytest.mark.parametrize("back_ms", [2 * LEEWAY_MS, HOUR_MS])
async def test_n208_an_old_key_takes_no_machine_back(standing, back_ms):
    await standing.attests(0)
    assert "one from the past" in await standing.is_refused(-back_ms)
    assert standing.is_right() and standing.desk.answered == 1, "the TPM signed nothing for it"


async def test_n208_nor_does_it_after_a_controller_that_was_ahead(standing):
    await standing.attests(0, HOUR_MS)
    await standing.is_refused(-2 * LEEWAY_MS)
    await standing.attests(0)
    await standing.is_refused(-2 * LEEWAY_MS)
    assert standing.is_right()


@pytest.mark.parametrize("ahead_ms", [0, HOUR_MS])
async def test_n208_nor_does_it_step_by_step(standing, ahead_ms):
    """Each within the leeway of the one before; a controller that was ahead meanwhile or not."""
    step_ms = LEEWAY_MS - 1_000
    await standing.attests(0, ahead_ms, -step_ms, ahead_ms)
    for steps in range(2, 5):
        await standing.is_refused(-steps * step_ms)
    await standing.attests(0)
    assert standing.is_right()


async def test_n208_nor_by_a_wall_clock_that_was_set_back_with_it(standing, monkeypatch):
    """Whoever answers NTP has the machine's own clock; the TPM's is nobody's."""
    await standing.attests(0)
    was = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: was() - HOUR_MS * 1_000_000)
    await standing.is_refused(0)


async def test_n208_a_machine_that_never_saw_the_right_time_waits_for_it(standing):
    """Nothing tells it from a machine before which somebody lays an old key."""
    await standing.attests(HOUR_MS)
    said = await standing.is_refused(0)
    assert "or later" in said


async def test_n208_what_was_kept_and_spoilt_sets_nothing_back(standing):
    await standing.attests(0, HOUR_MS)
    for spoilt in (b"", b"{", b"[]", b'{"seen": [[0]]}', b'{"seen": [[0, -1]]}', b"\xff"):
        standing.clock = TrustedClock(standing.state.seen_ms, spoilt)
        await standing.is_refused(0)
