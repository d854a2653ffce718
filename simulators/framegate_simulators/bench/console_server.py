"""The web console as a benchmark serves it: the program's own modules, allocator and server, with
sessions that are there already, so that nobody waits for fifty passwords. Its line on standard
input says where the fleet is and whose sessions; its line on standard output where it serves, and
the cookies.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

from framegate_host.start_imports import import_to_stay

LIFE_MS: Final = 3_600_000
PROGRAM: Final = "framegate_console.main"
"""What the program consists of, imported as its entry point imports it: its memory is measured."""


def main() -> None:
    """Serve until standard input ends."""
    import_to_stay(PROGRAM)
    from framegate_host.mapped_text import let_go_of_text
    from framegate_host.signals import run_service

    let_go_of_text()
    run_service(_serve(json.loads(sys.stdin.readline())))


async def _serve(told: dict[str, Any]) -> None:
    from framegate_console.server import listening_at, serve_console

    listening = listening_at("127.0.0.1:0")
    console, cookies = _console(told, f"127.0.0.1:{listening.getsockname()[1]}")
    print(json.dumps({"port": listening.getsockname()[1], "cookies": cookies}), flush=True)
    ending = asyncio.create_task(_end_with_input())
    await serve_console(console, listening)
    await ending


def _console(told: dict[str, Any], listen: str) -> tuple[Any, list[str]]:
    from cryptography import x509

    from framegate_console.sessions import Session, Sessions
    from framegate_console.settings import ConsoleSettings
    from framegate_console.signing_in import SignInDesk
    from framegate_console.visit import Console
    from framegate_operator.contexts import OperatorContext

    root = told["root"].encode()
    file, fleet = Path(told["context"]), told["fleet"]
    context = OperatorContext(file, told["join"], fleet, told["server_name"], root)
    settings = ConsoleSettings(context=file, listen=listen)
    console = Console(settings, context, SignInDesk(context), Sessions(settings.sessions))
    authorities = tuple(
        x509.load_der_x509_certificate(base64.b64decode(a)) for a in told["authorities"]
    )
    sessions = (
        Session(
            operator=p["name"],
            certificate=p["chain"].encode(),
            key=p["key"].encode(),
            root_certificate=x509.load_pem_x509_certificate(root),
            authority_certificates=authorities,
            expires_ms=int(time.time() * 1000) + LIFE_MS,
            fleet_address=fleet,
        )
        for p in told["people"]
    )
    return console, [console.sessions.begin(session, None) for session in sessions]


async def _end_with_input() -> None:
    await asyncio.to_thread(sys.stdin.read)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
