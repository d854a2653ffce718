"""Bytes by their SHA-256, remembered: what is addressed by its content is never stale."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final, Protocol

MAX_BYTES: Final = 32 * 1024 * 1024
"""Boot logs are 20 to 200 KiB, and machines of one model and boot have the same one."""


class ContentCache(Protocol):
    """Remembers contents."""

    def get(self, sha256: bytes) -> bytes | None:
        """The content, where it is remembered."""

    def keep(self, sha256: bytes, content: bytes) -> None:
        """Remember it. The caller MUST have it from where the digest was checked."""


class InMemoryContent:
    """Contents of this process, the least lately used ones forgotten past `MAX_BYTES`."""

    def __init__(self, most: int = MAX_BYTES) -> None:
        self._held: OrderedDict[bytes, bytes] = OrderedDict()
        self._most, self._size, self._lock = most, 0, Lock()

    def get(self, sha256: bytes) -> bytes | None:
        """See `ContentCache`."""
        with self._lock:
            if sha256 in self._held:
                self._held.move_to_end(sha256)
            return self._held.get(sha256)

    def keep(self, sha256: bytes, content: bytes) -> None:
        """See `ContentCache`."""
        with self._lock:
            if sha256 in self._held or len(content) > self._most:
                return
            self._held[sha256] = content
            self._size += len(content)
            while self._size > self._most:
                self._size -= len(self._held.popitem(last=False)[1])
