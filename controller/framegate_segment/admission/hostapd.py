"""hostapd's control interface for one port (hostapd 2.10, src/ap/ctrl_iface_ap.c): who 802.1X let
in, as it happens and when asked. hostapd does EAP; what it says admits to the join port alone.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framegate.errors import Reason, Unavailable

ANSWER_S: Final = 0.5
"""A tenth of a millisecond; one that takes longer is asked again at the next look."""
MAX_MESSAGE: Final = 8_192
MAX_STATIONS: Final = 64
"""Behind one port: a machine, or a few behind a hub."""
_EVENT: Final = re.compile(rb"<\d>AP-STA-(CONNECTED|DISCONNECTED) ([0-9a-f]{2}(?::[0-9a-f]{2}){5})")
_STATION: Final = re.compile(r"([0-9a-f]{2}(?::[0-9a-f]{2}){5})\n")
_AUTHORIZED: Final = re.compile(r"^flags=.*\[AUTHORIZED\]", re.MULTILINE)
_IDENTITY: Final = re.compile(r"^dot1xAuthSessionUserName=(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PortEvent:
    """A MAC address was let in, or is so no more."""

    mac: str
    admitted: bool


@dataclass(frozen=True, slots=True)
class Station:
    """A MAC address behind the port, whether it is let in at this moment, and the identity that it
    claimed.
    """

    mac: str
    authorized: bool
    identity: str


class HostapdPort:
    """The control socket of one port, attached. Raises Unavailable where nobody answers."""

    def __init__(self, path: Path, own: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._path, self._own = path, own
        self._waiting: deque[PortEvent] = deque(maxlen=MAX_STATIONS)
        try:
            own.unlink(missing_ok=True)
            self.socket.bind(str(own))
            self.socket.settimeout(ANSWER_S)
            self.socket.connect(str(path))
        except OSError as error:
            self.close()
            raise _unavailable(path, error.strerror or str(error)) from error
        if self._ask(b"ATTACH") != "OK\n":
            self.close()
            raise _unavailable(path, "it does not tell of what happens")

    def events(self) -> Iterator[PortEvent]:
        """What happened since."""
        self.socket.settimeout(0)
        try:
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._take(self.socket.recv(MAX_MESSAGE))
        except OSError as error:
            raise _unavailable(self._path, error.strerror or str(error)) from error
        finally:
            self.socket.settimeout(ANSWER_S)
        while self._waiting:
            yield self._waiting.popleft()

    def station(self, mac: str) -> Station | None:
        """How a MAC address stands now; None where hostapd does not know it."""
        return _station(self._ask(b"STA " + mac.encode()))

    def stations(self) -> Iterator[Station]:
        """Everybody behind the port."""
        one = _station(self._ask(b"STA-FIRST"))
        for _ in range(MAX_STATIONS):
            if one is None:
                return
            yield one
            one = _station(self._ask(b"STA-NEXT " + one.mac.encode()))

    def end(self, mac: str) -> None:
        """End a MAC address' session: whoever comes next proves itself anew."""
        self._ask(b"DEAUTHENTICATE " + mac.encode())

    def close(self) -> None:
        """Let go of it."""
        self.socket.close()
        self._own.unlink(missing_ok=True)

    def _ask(self, command: bytes) -> str:
        """A command's answer; events that come before it wait."""
        try:
            self.socket.send(command)
            while self._take(answer := self.socket.recv(MAX_MESSAGE)):
                pass
        except OSError as error:
            raise _unavailable(self._path, error.strerror or "no answer") from error
        return answer.decode("ascii", "replace")

    def _take(self, message: bytes) -> bool:
        """Whether it was told unasked."""
        matched = _EVENT.match(message)
        if matched is not None:
            event = PortEvent(matched[2].decode(), matched[1] == b"CONNECTED")
            self._waiting.append(event)
        return message.startswith(b"<")


def _station(answer: str) -> Station | None:
    matched = _STATION.match(answer)
    if matched is None:
        return None
    named = _IDENTITY.search(answer)
    authorized = _AUTHORIZED.search(answer) is not None
    return Station(matched[1], authorized, named[1] if named is not None else "")


def _unavailable(path: Path, seen: str) -> Unavailable:
    hint = "does hostapd run for that port, with ctrl_interface, and may this user write there?"
    return Unavailable.of(Reason.UNAVAILABLE, f"hostapd at {path}", seen, hint)
