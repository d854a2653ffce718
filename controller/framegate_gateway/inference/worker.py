"""The inference child: decodes hostile images and runs the model, without keys, files or network.

It speaks length-prefixed messages on the one socket it inherits: a JSON head and a body. It gets
model and golden images as bytes, so it needs no file system; before the first frame it gives up the
right to open anything. What it answers is `service`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import socket
import struct
import sys
from typing import Any, Final

from framegate.errors import FramegateError

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 4, 38
MEMORY_BYTES: Final = 8 * 1024**3
"""Address space: some ten times what the default model needs on its largest frame.

A runaway decoder ends here, not the host.
"""


def confine() -> str:
    """Leave the network namespace where the kernel allows, never gain rights, be no use to a
    debugger; says in words what held.
    """
    libc, confinement = ctypes.CDLL(None, use_errno=True), []
    if libc.unshare(CLONE_NEWNET) == 0 or libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0:
        confinement.append("no network")
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        confinement.append("no new privileges")
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0:
        confinement.append("not dumpable")
    return ", ".join(confinement)


def close_the_door() -> str:
    """From here on no file, socket or pipe can be opened."""
    # a new descriptor takes the lowest free number: with the limit there, none can be made, and
    # those above stay usable
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, lowest))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        socket.socket().close()
    except OSError:
        return "opens nothing"
    return ""


def main() -> None:
    """Serve one parent until it goes away.

    A model that is refused is answered by {"failed": reason, "why"} and the end.
    """
    confinement = [confine()]
    pipe = socket.socket(fileno=int(sys.argv[1]))
    threads = int(sys.argv[2])
    # numpy starts threads, and a process that has some cannot leave its namespaces
    from framegate_gateway.inference.service import load  # noqa: PLC0415 - after it is confined

    head, body = receive(pipe)
    try:
        service = load(head, body, threads)
        asked = 0 if head["elsewhere"] else service.verify()
    except FramegateError as error:
        send(pipe, {"failed": error.reason.value, "why": _why(error)}, b"")
        return
    confinement.append(close_the_door())
    isolation = ", ".join(c for c in confinement if c)
    send(pipe, {"ready": True, "isolation": isolation, "known_answers": asked}, b"")
    while True:
        try:
            request, body = receive(pipe)
        except (EOFError, ConnectionError):
            return
        try:
            answer, picture = service.answer(request, body)
        except FramegateError as error:
            answer, picture = {"failed": error.reason.value, "why": _why(error)}, b""
        except Exception as error:  # noqa: BLE001 - whatever an image does, the next is served
            why = f"{type(error).__name__}: {error}"[:300]
            answer, picture = {"failed": "image", "why": why}, b""
        taken = request.get("part_type") in service.goldens
        send(pipe, {"id": request["id"], "golden_taken": taken, **answer}, picture)


def _why(error: FramegateError) -> str:
    failure = error.failures[0]
    return f"{failure.actual} where {failure.expected} was expected"[:300]


def send(pipe: socket.socket, head: dict[str, Any], body: bytes) -> None:
    """One message: 32-bit sizes of head and body, head, body."""
    raw = json.dumps(head).encode()
    pipe.sendall(struct.pack(">II", len(raw), len(body)) + raw)
    if body:
        pipe.sendall(body)


def receive(pipe: socket.socket) -> tuple[dict[str, Any], bytes]:
    """The next message. Raises EOFError at the end."""
    head_size, body_size = struct.unpack(">II", _exactly(pipe, 8))
    head = json.loads(_exactly(pipe, head_size))
    return head, _exactly(pipe, body_size)


def _exactly(pipe: socket.socket, size: int) -> bytes:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        got = pipe.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return bytes(buffer)


if __name__ == "__main__":
    main()
