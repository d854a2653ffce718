"""Who is signed in here: people's sessions, in this process's memory and nowhere else.

A session is an operator's: a key that was made here for one sign-in, its certificate, and when it
ends. Whoever takes this process over has what these can do, each under its person's own rights,
until they end; there is nothing else to take.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Refused
from framegate.identity.certificates import load_authorities
from framegate_operator.session_credentials import SessionCredential

COOKIE: Final = "__Host-framegate"
"""Browsers take a cookie of that prefix from its very host alone, over a channel they trust."""
MOST_OF_ONE: Final = 16
"""Sessions of one person: browsers at some desks. A person who signs in again and again takes
nobody else's place.
"""
_TOKEN_BYTES: Final = 32


@dataclass(slots=True, eq=False)
class Session:
    """One person's session. `live` is what follows the fleet for it, made by whoever serves."""

    operator: str
    certificate: bytes
    key: bytes
    root_certificate: x509.Certificate
    authority_certificates: tuple[x509.Certificate, ...]
    expires_ms: int
    fleet_address: str
    roles: tuple[str, ...] = ()
    ended: bool = False
    at_end: list[Callable[[], None]] = field(default_factory=list)
    live: Any = None

    @classmethod
    def of(
        cls,
        credential: SessionCredential,
        root: x509.Certificate,
        fleet_address: str,
        roles: Sequence[str] = (),
    ) -> Session:
        """A session with this credential; `fleet_address` is where the fleet is, unless the
        controller said otherwise at the sign-in.
        """
        return cls(
            credential.operator,
            credential.certificate,
            credential.key,
            root,
            credential.authorities,
            credential.expires_ms,
            credential.fleet_address or fleet_address,
            tuple(roles),
        )

    @property
    def authorities_pem(self) -> bytes:
        """The issuing CAs in PEM."""
        return b"".join(c.public_bytes(Encoding.PEM) for c in self.authority_certificates)

    @property
    def over(self) -> bool:
        """Whether it has ended, by time or otherwise."""
        return self.ended or self.expires_ms <= time.time() * 1000

    def know(self, authorities: Sequence[bytes]) -> bool:
        """Take issuing CAs (DER) as the controller has them now, each signed by the root; whether
        that changed anything. Raises Malformed, Refused (CERTIFICATE).
        """
        issuing = load_authorities(authorities, self.root_certificate)
        if not issuing or issuing == self.authority_certificates:
            return False
        self.authority_certificates = tuple(issuing)
        return True

    def end(self) -> None:
        """It is used no more: its key is forgotten, and what follows the fleet for it stops."""
        if self.ended:
            return
        self.ended, self.key = True, b""
        for work in self.at_end:
            work()


class Sessions:
    """Sessions, `most` at once, by the digest of their cookie's value: the value itself is in the
    browser alone.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._sessions: dict[bytes, Session] = {}

    def begin(self, session: Session, before: str | None) -> str:
        """The value of the session's cookie, drawn here. What the browser had `before` is ended:
        nobody goes on in a session that somebody else began in this browser. Of more than
        `MOST_OF_ONE` of the same person the one that began first ends.

        Raises Refused (TOO_MANY_TRIES) where there are as many as there may be.
        """
        self.end(before)
        self.sweep()
        own = [d for d, each in self._sessions.items() if each.operator == session.operator]
        for digest in own[: max(0, len(own) - MOST_OF_ONE + 1)]:
            self._sessions.pop(digest).end()
        if len(self._sessions) >= self._most:
            wanted, hint = f"at most {self._most} sessions", "sign out where nobody works"
            raise Refused.of(Reason.TOO_MANY_TRIES, wanted, len(self._sessions), hint)
        value = secrets.token_urlsafe(_TOKEN_BYTES)
        self._sessions[_digest(value)] = session
        return value

    def of(self, value: str | None) -> Session | None:
        """The session of a cookie; None where there is none, or it is over."""
        if not value:
            return None
        session = self._sessions.get(_digest(value))
        if session is not None and session.over:
            self.end(value)
            return None
        return session

    def end(self, value: str | None) -> None:
        """End a cookie's session, if there is one."""
        session = self._sessions.pop(_digest(value), None) if value else None
        if session is not None:
            session.end()

    def sweep(self) -> None:
        """Forget those that are over."""
        for digest, session in list(self._sessions.items()):
            if session.over:
                session.end()
                del self._sessions[digest]

    def end_all(self) -> None:
        """End every one of them."""
        for session in self._sessions.values():
            session.end()
        self._sessions.clear()


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()
