"""What a process need not read twice about firmware: profiles, allowlists, what counts.

Each is named by what it was made from, so that nothing here is ever stale: a profile by its
envelope and the fleet's root, an allowlist by its digest, what counts by the firmware revision,
which every change raises.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, Protocol, TypeVar

from framegate.ima.allowlist import Allowlist
from framegate.profile.signed import LoadedProfile

V = TypeVar("V")
MOST_PROFILES: Final = 256
"""Verified profiles held: every revision of some dozen machine models; one is some hundred KiB."""
MOST_ALLOWLISTS: Final = 32
"""Parsed allowlists held: a distribution's has 100,000 files, and a profile names one or two."""
MOST_NAMES: Final = 256
"""Profiles for which it is held what counts."""


class VerifiedProfiles(Protocol):
    """Remembers profiles by the digest of root and envelope.

    Whoever asks MUST still establish that the signer was not revoked since, and that it `lives`.
    """

    def get(self, key: bytes) -> LoadedProfile | None:
        """One that was verified."""

    def keep(self, key: bytes, loaded: LoadedProfile) -> None:
        """Remember one."""


class ParsedAllowlists(Protocol):
    """Remembers allowlists by their digest."""

    def get(self, digest: bytes) -> Allowlist | None:
        """One that was parsed."""

    def keep(self, allowlist: Allowlist) -> None:
        """Remember one."""


class AtRevision(Protocol[V]):
    """Remembers one value a name, as of a committed firmware revision; under 0 nothing."""

    def get(self, name: str, revision: int) -> V | None:
        """What was kept of `name` at exactly `revision`."""

    def keep(self, name: str, revision: int, value: V) -> None:
        """Remember it."""


class _Bounded(Generic[V]):
    """The latest values, by key; a thread that asks meanwhile at worst finds nothing."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[bytes | str, V] = OrderedDict()

    def find(self, key: bytes | str) -> V | None:
        return self._held.get(key)

    def put(self, key: bytes | str, value: V) -> None:
        self._held[key] = value
        while len(self._held) > self._most:
            self._held.popitem(last=False)


class InMemoryProfiles:
    """See `VerifiedProfiles`."""

    def __init__(self, most: int = MOST_PROFILES) -> None:
        self._held = _Bounded[LoadedProfile](most)

    def get(self, key: bytes) -> LoadedProfile | None:
        """See `VerifiedProfiles`."""
        return self._held.find(key)

    def keep(self, key: bytes, loaded: LoadedProfile) -> None:
        """See `VerifiedProfiles`."""
        self._held.put(key, loaded)


class InMemoryAllowlists:
    """See `ParsedAllowlists`."""

    def __init__(self, most: int = MOST_ALLOWLISTS) -> None:
        self._held = _Bounded[Allowlist](most)

    def get(self, digest: bytes) -> Allowlist | None:
        """See `ParsedAllowlists`."""
        return self._held.find(digest)

    def keep(self, allowlist: Allowlist) -> None:
        """See `ParsedAllowlists`."""
        self._held.put(allowlist.digest, allowlist)


class InMemoryAtRevision(Generic[V]):
    """See `AtRevision`."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._held = _Bounded[tuple[int, V]](most)

    def get(self, name: str, revision: int) -> V | None:
        """See `AtRevision`."""
        entry = self._held.find(name)
        return entry[1] if entry is not None and entry[0] == revision else None

    def keep(self, name: str, revision: int, value: V) -> None:
        """See `AtRevision`."""
        if revision:
            self._held.put(name, (revision, value))
