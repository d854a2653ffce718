"""What every room needs to know of the fleet that this controller serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from framegate.cloud.revocations import RevocationList
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys, KeyRing
from framegate_controller.files_that_end import OtherEnd
from framegate_controller.timing import Timing


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a ticket tells a machine: where to join, where to attest, and the servers' name."""

    join: str = ""
    fleet: str = ""
    server_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Who holds the fleet's keys, its deadlines and clock, and which of its controllers this is.

    The clock gives ms since the epoch. A head of the log of decisions is shown to machines once
    `require_cosigned` witnesses cosigned it. `revocations` are what makers of confidential guests'
    chips took back, as it stands on this host now; it raises Malformed, Unavailable. `files` says
    when files on this host end, given the names of the sinks there are.
    """

    ring: KeyRing
    timing: Timing
    clock: Callable[[], int]
    controller: str
    addresses: Addresses = Addresses()
    require_cosigned: int = 1
    revocations: Callable[[], Sequence[RevocationList]] = tuple
    files: Callable[[Sequence[str]], tuple[OtherEnd, ...]] = lambda _sinks: ()

    @property
    def keys(self) -> FleetKeys:
        """The keys now; they change as CAs rotate."""
        return self.ring.keys

    @property
    def name(self) -> str:
        """As people call it."""
        return self.keys.fleet

    @property
    def digest(self) -> bytes:
        """SHA-256 of the root certificate: what binds a transcript to this fleet."""
        return sha256(self.keys.root.der)
