"""Disconnect-Request to an access switch (RFC 5176): the session of a MAC address ends, and the
port asks for admission anew. What a switch acknowledged is what it says; only an acknowledgement
under the shared secret counts as one.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framegate.errors import Malformed, Reason, Refused, Unavailable

REQUEST, ACKNOWLEDGED, REFUSED = 40, 41, 42
_CALLING_STATION: Final = 31
_EVENT_TIMESTAMP: Final = 55
_MESSAGE_AUTHENTICATOR: Final = 80
_HEADER: Final = struct.Struct("!BBH16s")
ANSWERS: Final = 8
"""Datagrams that wait to be looked at: a switch sends one for each try, others are strangers'."""
TRIES: Final = 3
WAIT_S: Final = 0.5
"""For each try; a switch answers within milliseconds, and a datagram may be lost."""
MIN_SECRET: Final = 16
"""Characters: MD5 keyed with less is guessed out of one packet."""
MAX_PACKET: Final = 4096
"""RFC 2865, 3."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Where a switch listens for this, and the secret that both know."""

    host: str
    port: int
    secret: bytes


def load_switch(address: str, secret_file: Path | None) -> Switch | None:
    """The switch at `address`; None where none is given. Raises Refused: no secret, a short one, or
    one that others can read.
    """
    if not address:
        return None
    hint = "disconnect_secret_file names a file with the switch's secret, mode 600"
    if secret_file is None:
        raise Refused.of(Reason.USAGE, "a secret for the switch", "none", hint)
    try:
        if secret_file.stat().st_mode & 0o077:
            seen = "others can read it"
            raise Refused.of(Reason.USAGE, f"{secret_file} readable by its owner", seen, hint)
        secret = secret_file.read_bytes().strip()
    except OSError as error:
        raise Refused.of(
            Reason.USAGE, f"a secret in {secret_file}", error.strerror, hint
        ) from error
    if len(secret) < MIN_SECRET:
        wanted = f"a secret of at least {MIN_SECRET} characters"
        raise Refused.of(Reason.USAGE, wanted, f"{len(secret)}", hint)
    host, _, port = address.rpartition(":")
    return Switch(host.strip("[]"), int(port), secret)


def disconnect_request(secret: bytes, identifier: int, mac: str, now_s: int) -> bytes:
    """The request, signed twice: Message-Authenticator (RFC 5176, 3.3) over a zero authenticator,
    then the request authenticator (RFC 5176, 2.3).
    """
    station = mac.upper().replace(":", "-").encode()
    attributes = (
        _attribute(_CALLING_STATION, station)
        + _attribute(_EVENT_TIMESTAMP, struct.pack("!I", now_s))
        + _attribute(_MESSAGE_AUTHENTICATOR, bytes(16))
    )
    bare = _HEADER.pack(REQUEST, identifier, _HEADER.size + len(attributes), bytes(16))
    signed = hmac.new(secret, bare + attributes, hashlib.md5).digest()
    attributes = attributes[:-16] + signed
    digest = _md5(bare + attributes + secret)
    return _HEADER.pack(REQUEST, identifier, len(bare) + len(attributes), digest) + attributes


def parse_answer(answer: bytes, request: bytes, secret: bytes) -> bool:
    """Whether the switch did it.

    1. it is whole, an acknowledgement or a refusal, and of this request; 2. its authenticator is
    over the request's and the secret (RFC 2865, 3). Raises Malformed.
    """
    if not _HEADER.size <= len(answer) <= MAX_PACKET:  # 1
        raise _bad("a RADIUS packet", f"{len(answer)} bytes")
    code, identifier, length, authenticator = _HEADER.unpack_from(answer)
    if length != len(answer) or code not in {ACKNOWLEDGED, REFUSED} or identifier != request[1]:
        raise _bad("an answer to this request", f"code {code}, {length} of {len(answer)} bytes")
    head = struct.pack("!BBH", code, identifier, length)
    wanted = _md5(head + request[4:20] + answer[_HEADER.size :] + secret)
    if not hmac.compare_digest(wanted, authenticator):  # 2
        raise _bad("an answer under the shared secret", "another authenticator")
    return bool(code == ACKNOWLEDGED)


async def disconnect(switch: Switch, mac: str) -> None:
    """Have `switch` end the session of `mac`. Raises Refused where it says no, Unavailable where no
    answer under the secret comes in `TRIES`.
    """
    request = disconnect_request(switch.secret, secrets.randbelow(256), mac, int(time.time()))
    loop = asyncio.get_running_loop()
    answers: asyncio.Queue[bytes] = asyncio.Queue(ANSWERS)
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Answers(answers), remote_addr=(switch.host, switch.port)
        )
    except OSError as error:
        raise _silent(switch, error.strerror or str(error)) from error
    try:
        for _ in range(TRIES):
            transport.sendto(request)
            if await _answered(answers, request, switch):
                return
    finally:
        transport.close()
    raise _silent(switch, f"none after {TRIES} tries")


async def _answered(answers: asyncio.Queue[bytes], request: bytes, switch: Switch) -> bool:
    end = asyncio.get_running_loop().time() + WAIT_S
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            answer = await asyncio.wait_for(answers.get(), left)
        except TimeoutError:
            return False
        try:
            done = parse_answer(answer, request, switch.secret)
        except Malformed:
            continue  # a stranger's, and no answer
        if not done:
            wanted = f"switch {switch.host} to end the session"
            raise Refused.of(Reason.SEGMENT, wanted, "Disconnect-NAK", "does it know that address?")
        return True
    return False


class _Answers(asyncio.DatagramProtocol):
    """What comes back; more than a few are nobody's answers."""

    def __init__(self, answers: asyncio.Queue[bytes]) -> None:
        self._answers = answers

    def datagram_received(self, data: bytes, addr: object) -> None:
        """See `asyncio.DatagramProtocol`."""
        if not self._answers.full():
            self._answers.put_nowait(data)


def _attribute(kind: int, value: bytes) -> bytes:
    return bytes([kind, len(value) + 2]) + value


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data).digest()  # noqa: S324 - RADIUS has no other


def _bad(expected: str, actual: str) -> Malformed:
    return Malformed.of(Reason.MALFORMED, expected, actual)


def _silent(switch: Switch, seen: str) -> Unavailable:
    wanted = f"an answer of switch {switch.host}:{switch.port} under the shared secret"
    return Unavailable.of(Reason.UNAVAILABLE, wanted, seen, "is dynamic authorisation on there?")
