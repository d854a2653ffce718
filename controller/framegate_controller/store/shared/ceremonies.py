"""Sign-ins that were begun and wait for their answer.

A security key's challenge, or a person on their way through a provider.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, Generic, Protocol, TypeVar

MAX_CEREMONIES: Final = 2_000
"""Challenges for security keys that wait, a kilobyte each.

A flood pushes out the oldest, whose persons begin again.
"""
MAX_FLOWS: Final = 1_000
"""Sign-ins at a provider that wait; likewise."""
C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class OpenCeremony:
    """A WebAuthn challenge to `operator`: to `create` a key, or to `get` an answer by one.

    `state` is the library's, in JSON values.
    """

    operator: str
    kind: str
    state: Mapping[str, Any]
    expires_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFlow:
    """A sign-in at a provider, of `kind` code or device.

    A code flow has verifier, nonce and redirect; a device flow its code, the address that began
    it, and when to ask again.
    """

    kind: str
    expires_ms: int
    verifier: str = ""
    nonce: str = ""
    redirect: str = ""
    device_code: str = ""
    source: str = ""
    every_ms: int = 0
    next_ms: int = 0


class Waiting(Protocol[C]):
    """Remembers what waits, by a random name that only whoever began it was told.

    That it is not too late, the caller MUST check.
    """

    def keep(self, name: bytes, begun: C) -> None:
        """Remember it, or what became of it."""

    def get(self, name: bytes) -> C | None:
        """What waits under `name`, which goes on waiting."""

    def take(self, name: bytes) -> C | None:
        """What waits under `name`, which waits no more: of two who take it one gets it."""


class InMemoryWaiting(Generic[C]):
    """What waits at this process, the oldest forgotten past `most`."""

    def __init__(self, most: int) -> None:
        self._held: OrderedDict[bytes, C] = OrderedDict()
        self._most, self._lock = most, Lock()

    def keep(self, name: bytes, begun: C) -> None:
        """See `Waiting`."""
        with self._lock:
            if name not in self._held and len(self._held) >= self._most:
                self._held.popitem(last=False)
            self._held[name] = begun

    def get(self, name: bytes) -> C | None:
        """See `Waiting`."""
        with self._lock:
            return self._held.get(name)

    def take(self, name: bytes) -> C | None:
        """See `Waiting`."""
        with self._lock:
            return self._held.pop(name, None)
