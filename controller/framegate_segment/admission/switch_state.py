"""Who is trusted now, by MAC address, for a RADIUS server that asks for each port it lets in: a
file that ends by itself. Whoever is not in it, or no longer, gets the join VLAN.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.segment.policy import Binding, Segment
from framegate.segment.radius import Attribute, Vlans, attributes_for
from framegate.segment.ruling import TRUSTED, DeviceStanding
from framegate_host.private_files import write_public
from framegate_segment.enforcement.enforcer import Standing

log = logging.getLogger(__name__)
_MAC: Final = re.compile(r"[0-9a-f]{12}")
_PORT_LIFE_S: Final = 3_600
"""How long the join VLAN stands at most before a switch asks again; nothing hangs on it."""


@dataclass(frozen=True, slots=True)
class _Trusted:
    zone: str
    device: str
    until_ms: int


class SwitchState:
    """Writes the file. `now_ms` is the clock that a reader on this host goes by, too."""

    def __init__(
        self,
        file: Path,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._file, self._monotonic, self._now_ms = file, monotonic, now_ms
        self._written: dict[str, _Trusted] | None = None
        self._written_ms = 0

    def update(self, segment: Segment | None, standings: Mapping[str, Standing]) -> tuple[str, ...]:
        """Write who is trusted where that changed, or a third of a life is over; devices that are
        trusted and were not: their ports ask again, and get more.
        """
        if segment is None:
            return ()
        trusted = self._trusted(segment, standings)
        before, now = self._written, self._now_ms()
        due = not 0 <= now - self._written_ms < segment.life_s * 1000 / 3
        if before is not None and set(before) == set(trusted) and not due:
            return ()
        rows = {mac: [t.zone, t.device, t.until_ms] for mac, t in trusted.items()}
        body = {"life_s": segment.life_s, "trusted": rows}
        try:
            write_public(self._file, json.dumps(body, sort_keys=True).encode())
        except OSError as error:
            log.error("%s is not written, and ends by itself: %s", self._file, error)
            return ()
        self._written, self._written_ms = trusted, now
        if before is None:
            return ()
        return tuple(t.device for mac, t in trusted.items() if mac not in before)

    def _trusted(self, segment: Segment, standings: Mapping[str, Standing]) -> dict[str, _Trusted]:
        now_s, now_ms = self._monotonic(), self._now_ms()
        trusted: dict[str, _Trusted] = {}
        for binding in segment.bindings:
            standing = standings.get(binding.device) if binding.mac else None
            if standing is None or standing.state != TRUSTED or standing.ends_at_s <= now_s:
                continue
            left = min(standing.ends_at_s - now_s, float(segment.life_s))
            until = now_ms + int(left * 1000)
            trusted[binding.mac] = _Trusted(binding.zone, binding.device, until)
        return trusted


def attributes_now(file: Path, mac: str, vlans: Vlans, now_ms: int) -> tuple[Attribute, ...]:
    """What a switch is answered about `mac`, in any of its spellings: a zone's VLAN for who is
    trusted at this moment and as long as that stands, the join VLAN for everybody else, and for
    everybody where the file is not there or not whole. Raises Malformed (USAGE): no MAC address.
    """
    bare = "".join(c for c in mac.lower() if c not in ":-.")
    if not _MAC.fullmatch(bare):
        raise Malformed.of(Reason.USAGE, "a MAC address", ascii(mac)[:40])
    spelled = ":".join(bare[n : n + 2] for n in range(0, 12, 2))
    life, trusted = _PORT_LIFE_S, None
    try:
        body = json.loads(file.read_bytes())
        life = int(body["life_s"])
        if spelled in body["trusted"]:
            zone, device, until = body["trusted"][spelled]
            trusted = _Trusted(str(zone), str(device), int(until))
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.info("%s: %s; the join VLAN for all", file, error)
    binding = Binding(
        zone=trusted.zone if trusted else "",
        device=trusted.device if trusted else "",
        host="" if trusted else spelled,
        mac=spelled,
        port="",
        addresses=(),
    )
    left = (trusted.until_ms - now_ms) // 1000 if trusted else 0
    if trusted is None or left <= 0 or trusted.zone not in vlans.zones:
        return attributes_for(binding, None, 0, vlans, life)
    return attributes_for(binding, DeviceStanding(state=TRUSTED), left, vlans, life)
