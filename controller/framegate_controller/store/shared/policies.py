"""Access policies that were verified and parsed: the one in force is asked at every call."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final, Protocol

from framegate.access.policy import PolicySet

MAX_POLICIES: Final = 8
"""The one in force and those before it, which somebody may look at; one is some hundred KiB."""


class PolicyCache(Protocol):
    """Remembers policies by a digest of what was verified: the envelope, and under which root."""

    def get(self, verified: bytes) -> PolicySet | None:
        """The policy, where it is remembered."""

    def keep(self, verified: bytes, policy: PolicySet) -> None:
        """Remember it. The caller MUST have verified it."""


class InMemoryPolicies:
    """Policies of this process, the least lately used ones forgotten past `MAX_POLICIES`."""

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, PolicySet] = OrderedDict()
        self._lock = Lock()

    def get(self, verified: bytes) -> PolicySet | None:
        """See `PolicyCache`."""
        with self._lock:
            if verified in self._held:
                self._held.move_to_end(verified)
            return self._held.get(verified)

    def keep(self, verified: bytes, policy: PolicySet) -> None:
        """See `PolicyCache`."""
        with self._lock:
            self._held[verified] = policy
            while len(self._held) > MAX_POLICIES:
                self._held.popitem(last=False)
