"""The agent's socket in a process of its own, without a TPM: agent_process.py PATH [PROGRAM …],
each a path or sha256:DIGEST.

Says `ready`, and then why it refused whom, a line each, until its standard input ends.
"""

import asyncio
import logging
import os
import sys
from pathlib import Path

from framegate_agent.callers import Callers
from framegate_agent.gateway_socket import GatewaySocket


class Sealer:
    """Opens every vault for whoever gets that far."""

    def seal(self, secret: bytes) -> bytes:
        return b"sealed"

    def unseal(self, blob: bytes) -> bytes:
        return b"the-secret-of-the-vault-32-bytes"


async def main() -> None:
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    programs = [Path(name) for name in sys.argv[2:] if not name.startswith("sha256:")]
    digests = [n.removeprefix("sha256:") for n in sys.argv[2:] if n.startswith("sha256:")]
    callers = Callers({os.getuid()}, programs, digests)
    agent = GatewaySocket(
        Path(sys.argv[1]), callers, lambda: print(len(agent.publics), flush=True), Sealer()
    )
    await agent.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await agent.stop()


if __name__ == "__main__":
    asyncio.run(main())
