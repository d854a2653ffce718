"""Posture: what an agent reports of its own machine. Self-reported: bound to the quote, so attributable, but only as true as the agent."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Final

from framegate.dsse import strict_json
from framegate.errors import Malformed, Reason
from framegate.wire import MAX_POSTURE_BYTES

_MAX_TEXT: Final = 512


@dataclass(frozen=True, slots=True)
class Posture:
    """A first handful of facts. `uptime_s` since boot; `agent_sha256` of the agent's own installed files."""

    agent_version: str
    agent_sha256: str
    os_id: str
    os_version: str
    kernel: str
    architecture: str
    uptime_s: int
    reboot_pending: bool

    def marshal(self) -> bytes:
        """JSON with sorted members."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()


def parse_posture(data: bytes) -> Posture:
    """The posture in `data`: every member, each of its type, none else. Raises Malformed (POSTURE)."""
    if len(data) > MAX_POSTURE_BYTES:
        raise Malformed.of(Reason.TOO_LARGE, f"a posture of at most {MAX_POSTURE_BYTES} bytes", len(data))
    body = strict_json(data)
    kinds = {"str": str, "int": int, "bool": bool}
    if type(body) is not dict or set(body) != {f.name for f in fields(Posture)}:
        raise Malformed.of(Reason.POSTURE, "exactly the posture's members", "others")
    for field in fields(Posture):
        value = body[field.name]
        if type(value) is not kinds[str(field.type)] or (type(value) is str and (len(value) > _MAX_TEXT or not value.isprintable())):
            raise Malformed.of(Reason.POSTURE, f"{field.name} as {field.type}", type(value).__name__)
    return Posture(**body)
