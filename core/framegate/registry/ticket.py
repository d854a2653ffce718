"""A ticket to join, as the controller keeps it: by the hash of its code, never the code."""

from __future__ import annotations

from dataclasses import dataclass, replace

from framegate.identity.names import DeviceId
from framegate.machines.ticket import TicketEvent, TicketState, step


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """`ek_sha256` is the one EK it is for, None for any (somebody has to approve then); `replaces`:
    another machine in a device's place.
    """

    code_sha256: bytes
    device: DeviceId
    ek_sha256: bytes | None
    expires_ms: int
    used_ms: int = 0
    replaces: bool = False
    reserved_ek: bytes | None = None
    reserved_until_ms: int = 0

    def state(self, now_ms: int) -> TicketState:
        """Where it stands at `now_ms`."""
        if self.used_ms:
            return TicketState.USED
        if self.expires_ms < now_ms:
            return TicketState.EXPIRED
        return TicketState.RESERVED if self.reserved_until_ms > now_ms else TicketState.OPEN

    def reserved(self, ek_sha256: bytes, now_ms: int, life_ms: int) -> Ticket:
        """Held for one EK for `life_ms`. Raises Refused (TRANSITION). That it is the holder's, the
        caller has established.
        """
        step(self.state(now_ms), TicketEvent.RESERVE)
        return replace(self, reserved_ek=ek_sha256, reserved_until_ms=now_ms + life_ms)

    def used(self, now_ms: int) -> Ticket:
        """Consumed. Raises Refused (TRANSITION)."""
        step(self.state(now_ms), TicketEvent.USE)
        return replace(self, used_ms=now_ms)
