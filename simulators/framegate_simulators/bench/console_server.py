"""The web console as a benchmark serves it: the product's application with sessions that are there
already, so that nobody waits for fifty passwords. Its line on standard input says where the fleet
is and whose sessions; its line on standard output where it serves, and the cookies.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import uvicorn
from cryptography import x509

from framegate_console.app import application
from framegate_console.server import listening_at
from framegate_console.sessions import Session, Sessions
from framegate_console.settings import ConsoleSettings
from framegate_console.signing_in import SignInDesk
from framegate_console.visit import Console
from framegate_operator.contexts import OperatorContext

LIFE_MS = 3_600_000


def main() -> None:
    """Serve until standard input ends."""
    asyncio.run(_serve(json.loads(sys.stdin.readline())))


async def _serve(told: dict[str, Any]) -> None:
    root = told["root"].encode()
    file, fleet = Path(told["context"]), told["fleet"]
    context = OperatorContext(file, told["join"], fleet, told["server_name"], root)
    listening = listening_at("127.0.0.1:0")
    port = listening.getsockname()[1]
    settings = ConsoleSettings(context=file, listen=f"127.0.0.1:{port}")
    console = Console(settings, context, SignInDesk(context), Sessions(settings.sessions))
    authorities = tuple(
        x509.load_der_x509_certificate(base64.b64decode(a)) for a in told["authorities"]
    )
    cookies = [
        console.sessions.begin(
            Session(
                operator=p["name"],
                certificate=p["chain"].encode(),
                key=p["key"].encode(),
                root_certificate=x509.load_pem_x509_certificate(root),
                authority_certificates=authorities,
                expires_ms=int(time.time() * 1000) + LIFE_MS,
                fleet_address=fleet,
            ),
            None,
        )
        for p in told["people"]
    ]
    config = uvicorn.Config(
        application(console),
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    print(json.dumps({"port": port, "cookies": cookies}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    server.force_exit = True
    await serving


if __name__ == "__main__":
    main()
