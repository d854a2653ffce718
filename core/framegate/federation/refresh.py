"""What a bundle that was fetched again means for the one that people approved."""

from __future__ import annotations

from dataclasses import dataclass

from framegate.errors import Reason, Refused
from framegate.federation.bundle import TrustBundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """A bundle that may stand beside the pinned one: the sequence from here on, and which keys it
    offers that nobody approved (SHA-256 in hex), which do not count.
    """

    sequence: int
    refresh_s: int
    offered: tuple[str, ...]


def refreshed(pinned: TrustBundle, sequence: int, fetched: TrustBundle) -> Refreshed:
    """What `fetched` means where `pinned` was approved and `sequence` is the highest seen so far.

    That it came from an endpoint that `pinned` vouches for, the caller MUST establish
    (`endpoint.verified_endpoint`).

    1. it is of the same fleet; 2. its sequence does not go back;
    3. every key that was approved is in it: a key that vanishes is no refresh but another trust,
       and people decide about it;
    4. keys that it has besides are offered, and count once people approved them: what lies on the
       endpoint's host signs no root.

    Raises Refused (SITE_BUNDLE).
    """
    if fetched.fleet != pinned.fleet:  # 1
        raise _refused(f"the bundle of {pinned.fleet}", f"one of {fetched.fleet}")
    if fetched.sequence < sequence:  # 2
        raise _refused(
            f"sequence {sequence} or later", f"sequence {fetched.sequence}: it goes back"
        )
    gone = pinned.keys - fetched.keys
    if gone:  # 3
        short = ", ".join(sorted(k[:16] for k in gone))
        raise _refused("every key that was approved", f"without {short}: keys vanished")
    offered = tuple(sorted(fetched.keys - pinned.keys))  # 4
    return Refreshed(sequence=fetched.sequence, refresh_s=fetched.refresh_s, offered=offered)


def _refused(expected: str, actual: str) -> Refused:
    hint = "ask the other site's people; framegate site add pins another, site withdraw ends it"
    return Refused.of(Reason.SITE_BUNDLE, expected, actual, hint)
