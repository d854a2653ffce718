"""Posture: what an agent reports of its own machine. Self-reported: bound to the quote, so
attributable, but only as true as the agent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.signed.dsse import strict_json
from framegate.wire import MAX_POSTURE_BYTES

MAX_TEXT: Final = 512
MAX_LIST: Final = 2048
"""Loaded modules of a desktop: some 200; sockets, devices, users: fewer."""
VOLATILE: Final = frozenset({"uptime_s", "clock_ms", "clock_synchronised"})
"""Members that differ from minute to minute on a machine that stays as it is."""


@dataclass(frozen=True, slots=True)
class Posture:
    """Typed facts. Empty text or -1 where the agent could not tell; lists are sorted, each once.

    `agent_sha256` of the agent's own installed files; `uptime_s` since boot; `secure_boot`: 1 on, 0
    off, -1 unknown (the log decides; this is for people); `lockdown`: none, integrity,
    confidentiality; `encrypted_root`: 1 or 0; `listeners`: `tcp 0.0.0.0:22`; `modules`: loaded
    kernel modules; `usb`: `vendor:product serial`; `video`: `video0 name`; `shells`: users who can
    log in; `firewall`: number of rules loaded, -1 unknown; `clock_ms`: the machine's clock;
    `watched`: `path sha256` of files the agent is told to watch.
    """

    agent_version: str
    agent_sha256: str
    os_id: str
    os_version: str
    kernel: str
    architecture: str
    uptime_s: int
    reboot_pending: bool
    secure_boot: int = -1
    lockdown: str = ""
    encrypted_root: int = -1
    firewall: int = -1
    clock_ms: int = 0
    clock_synchronised: bool = False
    listeners: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    usb: list[str] = field(default_factory=list)
    video: list[str] = field(default_factory=list)
    shells: list[str] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)

    def marshal(self) -> bytes:
        """JSON with sorted members."""
        body = {name: getattr(self, name) for name in _MEMBERS}
        return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()

    def lasting(self) -> bytes:
        """As `marshal`, without what changes by itself: equal where nothing happened to the
        machine.
        """
        return json.dumps({name: getattr(self, name) for name in _LASTING}).encode()


_KINDS: Final[dict[str, type]] = {"str": str, "int": int, "bool": bool, "list[str]": list}
_LASTING: Final = sorted(f.name for f in fields(Posture) if f.name not in VOLATILE)
_MEMBERS: Final = {f.name: _KINDS[str(f.type)] for f in fields(Posture)}


def parse_posture(data: bytes) -> Posture:
    """The posture in `data`: every member, each of its type, none else. Raises Malformed
    (POSTURE).
    """
    if len(data) > MAX_POSTURE_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"a posture of at most {MAX_POSTURE_BYTES} bytes", len(data)
        )
    return _parsed(data)


def posture_text(data: bytes) -> str:
    """The text of the posture in `data`, to be kept and shown; empty for what is none. A machine's
    word goes nowhere unread: not into a database, not to whoever follows its zone (N211).
    """
    try:
        parse_posture(data)
    except Malformed:
        return ""
    return data.decode()


@lru_cache(maxsize=16)
def _parsed(data: bytes) -> Posture:
    """Once for each text: one attestation looks at it four times. Nobody changes a posture that was
    parsed.
    """
    body = strict_json(data)
    if type(body) is not dict or body.keys() != _MEMBERS.keys():
        raise Malformed.of(Reason.POSTURE, "exactly the posture's members", "others")
    for name, kind in _MEMBERS.items():
        value: Any = body[name]
        if type(value) is not kind:
            raise Malformed.of(Reason.POSTURE, f"{name} as {kind.__name__}", type(value).__name__)
        texts = value if type(value) is list else [value] if type(value) is str else []
        if len(texts) > MAX_LIST or not all(
            type(t) is str and len(t) <= MAX_TEXT and t.isprintable() for t in texts
        ):
            raise Malformed.of(
                Reason.POSTURE,
                f"{name}: at most {MAX_LIST} printable texts of {MAX_TEXT} characters",
                "something else",
            )
    return Posture(**body)
