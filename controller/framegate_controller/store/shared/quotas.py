"""Shares of a verifier's time and of the store: of strangers by their network, of machines by
themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, Self

from framegate.errors import Reason, Refused
from framegate_controller.timing import Timing
from framegate_host.prefixes import prefix_of
from framegate_host.token_buckets import Rate, TokenBuckets

BEGINS: Final = Rate(32, 0.5)
"""Challenges for one EK from one network: a machine that boots asks for one, and for some more
where its controller is slow.

By both: an EK's public half is public, so whoever knows one must not use up its owner's share
elsewhere (N131).
"""
MAX_KEPT: Final = 20_000
"""Buckets in memory, some hundred bytes each."""
ATTESTATIONS: Final = 64.0
"""Attestations at once: a rollout, an operator and reboots ask for some more than the timer."""
ATTESTATIONS_AN_INTERVAL: Final = 4.0
LEAST_PER_S: Final = 12 / 60
"""However long the interval is: what `ask again` and reboots take."""
EVIDENCE_BYTES: Final = Rate(24 * 1024 * 1024, 24 * 1024 * 1024 / 600)
"""Evidence at once, and in ten minutes: four of the largest, which take half a second of a core
each. A sound machine sends its whole logs at a boot, some hundred KiB, and then only what is new.
"""


class Level(NamedTuple):
    """What is left of a share: calls, and bytes of evidence."""

    calls: float
    size: float


@dataclass(frozen=True, slots=True)
class MachineRates:
    """What one machine's share is, of attestations and of bytes of their evidence."""

    calls: Rate
    size: Rate

    @classmethod
    def of(cls, timing: Timing, per_minute: float = 0) -> Self:
        """`per_minute`: attestations, 0 for what the interval gives."""
        per_s = max(ATTESTATIONS_AN_INTERVAL * 1000 / timing.interval_ms, LEAST_PER_S)
        per_s = per_minute / 60 or per_s
        return cls(Rate(max(ATTESTATIONS, per_s), per_s), EVIDENCE_BYTES)

    def short(self, left: Level, size: int) -> Refused | None:
        """That `left` does not hold one more attestation with evidence of `size` bytes, and for how
        long; None where it does.
        """
        if left.calls < 1:
            wanted = f"at most {60 * self.calls.per_s:g} attestations a minute of one machine"
            return _too_many(wanted, (1 - left.calls) / self.calls.per_s)
        if left.size < size:
            mib = int(self.size.burst) // (1024 * 1024)
            wanted = f"at most {mib} MiB of evidence in ten minutes of one machine"
            return _too_many(wanted, (size - left.size) / self.size.per_s)
        return None


class BeginQuota(Protocol):
    """Challenges given to whoever shows a ticket, or the public half of an EK (N86, N131). They
    cost nothing but the work of making them.
    """

    def begin(self, shown_sha256: bytes, address: str, now_ms: int) -> None:
        """One more. Raises Refused (TOO_MANY_TRIES)."""


class DeviceQuota(Protocol):
    """What one enrolled machine may ask of its verifiers, whatever it is trusted for (N132)."""

    def look(self, device: str, size: int, now_ms: int) -> None:
        """Whether evidence of `size` bytes would be taken. Raises Refused (TOO_MANY_TRIES)."""

    def take(self, device: str, size: int, now_ms: int) -> None:
        """Evidence of `size` bytes is worked on now. Raises Refused (TOO_MANY_TRIES)."""


class InMemoryBeginQuota:
    """Challenges given by this process."""

    def __init__(self, rate: Rate = BEGINS) -> None:
        self._buckets: TokenBuckets[tuple[bytes, str]] = TokenBuckets(rate, MAX_KEPT)
        self._rate = rate

    def begin(self, shown_sha256: bytes, address: str, now_ms: int) -> None:
        """See `BeginQuota`."""
        key = shown_sha256, prefix_of(address)
        if not self._buckets.take(key, now_ms):
            raise too_many_begins(self._rate, self._buckets.level(key, now_ms))


class InMemoryDeviceQuota:
    """What machines asked of this process."""

    def __init__(self, rates: MachineRates) -> None:
        self._rates = rates
        self._calls: TokenBuckets[str] = TokenBuckets(self._rates.calls, MAX_KEPT)
        self._bytes: TokenBuckets[str] = TokenBuckets(self._rates.size, MAX_KEPT)

    def look(self, device: str, size: int, now_ms: int) -> None:
        """See `DeviceQuota`."""
        left = Level(self._calls.level(device, now_ms), self._bytes.level(device, now_ms))
        if (short := self._rates.short(left, size)) is not None:
            raise short

    def take(self, device: str, size: int, now_ms: int) -> None:
        """See `DeviceQuota`."""
        self.look(device, size, now_ms)
        self._calls.take(device, now_ms)
        self._bytes.take(device, now_ms, size)


def too_many_begins(rate: Rate, left: float) -> Refused:
    """That no challenge is left for one EK or ticket of a network, and for how long."""
    wanted = f"at most {60 * rate.per_s:g} challenges a minute for one EK from there"
    return _too_many(wanted, (1 - left) / rate.per_s)


def _too_many(wanted: str, wait_s: float) -> Refused:
    return Refused.of(Reason.TOO_MANY_TRIES, wanted, "more", f"wait {max(1.0, wait_s):.0f} s")
