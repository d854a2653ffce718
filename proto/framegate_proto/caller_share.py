"""How many calls one caller has under way at a server: certificates are cheap to show again.

Whoever has a certificate may open as many connections as a port has, with calls on each that stay;
so what a port gives to all is shared by who calls, and a caller is a key, whichever of its
certificates it shows and from wherever (N225).
"""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from framegate.errors import Reason, Refused
from framegate_proto.call_context import Called, PassedContexts
from framegate_proto.edge import presented_certificate

T = TypeVar("T")
MAX_CALLS: Final = 64
"""At once of one key: what one connection takes. An agent has three, a gateway five, a person's
console some for each page that is open.
"""
MAX_REMEMBERED: Final = 4_096
"""Certificates whose key was read once, some kilobytes each."""


class CallerShare:
    """Calls under way at one server, by the key of whoever calls. Of the event loop alone."""

    def __init__(self, most: int = MAX_CALLS) -> None:
        self._most, self._calls = most, Counter[bytes]()

    @property
    def under_way(self) -> int:
        """Calls that have not ended, of all callers."""
        return self._calls.total()

    def calling(self, key: bytes) -> AbstractContextManager[None]:
        """One more of `key`. Entering raises Refused (TOO_MANY_TRIES) where it has its share."""
        return _Calling(self, key, None)

    def begin(self, key: bytes) -> None:
        """See `calling`."""
        if self._calls[key] >= self._most:
            wanted = f"at most {self._most} calls at once of one key, over all its connections"
            raise Refused.of(Reason.TOO_MANY_TRIES, wanted, "more", "end some of them")
        self._calls[key] += 1

    def end(self, key: bytes) -> None:
        """One that began is over."""
        self._calls[key] -= 1
        if not self._calls[key]:
            del self._calls[key]


class _Calling(Generic[T]):
    """A call of `key`, which is given `given`."""

    __slots__ = ("_given", "_key", "_share")

    def __init__(self, share: CallerShare, key: bytes, given: T) -> None:
        self._share, self._key, self._given = share, key, given

    def __enter__(self) -> T:
        self._share.begin(self._key)
        return self._given

    def __exit__(self, *_error: object) -> None:
        self._share.end(self._key)


class CallerShares(PassedContexts):
    """Refuses calls past a caller's share, before they are looked at; MUST come after
    `OutlivingContexts`.
    """

    def __init__(self, share: CallerShare | None = None) -> None:
        self._share = share or CallerShare()
        super().__init__(self._counted)

    def _counted(self, context: Any, _called: Called) -> AbstractContextManager[Any]:
        return _Calling(self._share, _key_of(presented_certificate(context)), context)


@lru_cache(maxsize=MAX_REMEMBERED)
def _key_of(certificate: x509.Certificate) -> bytes:
    key = certificate.public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
