"""The inference child: decodes hostile images and runs the model, without keys, files or network.

It speaks length-prefixed messages on the one socket it inherits, which is its standard input: a
JSON head and a body. It gets model and golden images as bytes, so it needs no file system. It
imports what it needs, is confined (`framegate_host.cages`, row `inference`), and only then sees
bytes that somebody else made. What it answers is `service`.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import struct
import sys
from typing import Any, Final

from framegate.errors import FramegateError
from framegate_host.cages import INFERENCE
from framegate_host.confinement import QUIET, Confinement, Paths
from framegate_host.logs import tell_crashes

MEMORY_BYTES: Final = 8 * 1024**3
"""Address space: some ten times what the default model needs on its largest frame.

A runaway decoder ends here, not the host.
"""
STDERR: Final = 2
MAX_WHY: Final = 300
"""Letters of a reason: a sentence, and no more room than that for what a child wants to say."""
UNCONFINED: Final = "--unconfined"
"""Serve where the kernel cannot confine; what is lacking then stands in `isolation`."""


def main() -> None:
    """Serve one parent until it goes away: worker.py THREADS [--unconfined].

    A model that is refused is answered by {"failed": reason, "why"} and the end.
    """
    tell_crashes()
    os.environ.update(QUIET)  # what this child computes with those libraries is small
    confinement = Confinement(INFERENCE, required=UNCONFINED not in sys.argv)
    pipe = socket.socket(fileno=os.dup(0))
    try:
        confinement.isolate((pipe.fileno(), STDERR))
        head, body = receive(pipe)
        from framegate_gateway.inference.service import (  # noqa: PLC0415 - isolated
            load,
            readable,
            warm_up,
        )
        from framegate_host.payload_kinds import load_kinds  # noqa: PLC0415 - isolated

        kinds = load_kinds(head["payloads"])
        warm_up(elsewhere=head["elsewhere"], provider=head["provider"], kinds=kinds)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        reads = () if head["elsewhere"] else readable(head["provider"])
        confinement.close_paths(Paths(read=reads))
        service = load(head, body, int(sys.argv[1]), kinds)
        asked = 0 if head["elsewhere"] else service.verify()
        confinement.close_calls()
    except FramegateError as error:
        send(pipe, {"failed": error.reason.value, "why": _why(error)}, b"")
        return
    send(
        pipe,
        {
            "ready": True,
            "isolation": _plain(confinement.isolation),
            "known_answers": asked,
            "provider": "" if head["elsewhere"] else head["provider"],
        },
        b"",
    )
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
            why = _plain(f"{type(error).__name__}: {error}")
            answer, picture = {"failed": "image", "why": why}, b""
        taken = request.get("part_type") in service.goldens
        send(pipe, {"id": request["id"], "golden_taken": taken, **answer}, picture)


def _plain(text: str) -> str:
    """`text` as the parent takes it: a line of ASCII."""
    return ascii(text)[1:-1][:MAX_WHY]


def _why(error: FramegateError) -> str:
    failure = error.failures[0]
    return _plain(f"{failure.actual}, not {failure.expected}")


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
