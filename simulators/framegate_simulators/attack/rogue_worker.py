"""An inference child that was taken over after its first word: rogue_worker.py LIE THREADS.

It is the real one, but for what it sends after its first word.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, Final

from framegate_gateway.inference import worker

real = worker.send
HUGE: Final = 0xFFFF_FFFF
LIES: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "no JSON": lambda head: b"\xff\xfe",
    "no object": lambda head: b"[]",
    "nested": lambda head: b"[" * 50_000,
    "another's number": lambda head: {**head, "id": head["id"] + 1},
    "number as text": lambda head: {**head, "id": str(head["id"])},
    "defect of no class": lambda head: {
        **head,
        "defects": [{"kind": "\x1b[31m", "score": 0.5, "box": [0, 0, 1, 1]}],
    },
    "score past one": lambda head: {
        **head,
        "defects": [{"kind": "short", "score": 7, "box": [0, 0, 1, 1]}],
    },
    "box of NaN": lambda head: {
        **head,
        "defects": [{"kind": "short", "score": 0.5, "box": [0, 0, float("nan"), 1]}],
    },
    "box outside": lambda head: {
        **head,
        "defects": [{"kind": "short", "score": 0.5, "box": [0, 0, 1e9, 1]}],
    },
    "golden image that is none": lambda head: {**head, "golden": 99},
    "golden image below": lambda head: {**head, "golden": -1},
    "reason that is not its own": lambda head: {
        "id": head["id"],
        "golden_taken": False,
        "failed": "quarantined",
        "why": "so",
    },
    "reason of terminal codes": lambda head: {
        "id": head["id"],
        "golden_taken": False,
        "failed": "image",
        "why": "\x1b]0;mine\x07",
    },
    "no defects at all": lambda head: {"id": head["id"], "golden_taken": True, "golden": 0},
}


def lies(said: str) -> Callable[[socket.socket, dict[str, Any], bytes], None]:
    """`worker.send` that tells the truth once, and then says `said`."""

    def send(pipe: socket.socket, head: dict[str, Any], body: bytes) -> None:
        if "ready" in head:
            real(pipe, head, body)
        elif said == "huge head":
            pipe.sendall(struct.pack(">II", HUGE, 0))
        elif said == "huge body":
            raw = json.dumps(head).encode()
            pipe.sendall(struct.pack(">II", len(raw), HUGE) + raw)
        else:
            answer = LIES[said](head)
            raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            pipe.sendall(struct.pack(">II", len(raw), 0) + raw)

    return send


if __name__ == "__main__":
    worker.send = lies(sys.argv.pop(1))  # type: ignore[assignment]
    worker.main()
