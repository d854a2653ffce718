"""An adversary with a gateway of his own: the process on an honest, attested host is replaced by
one that lies in its verdicts and receipts.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Final

from framegate.signed.statement import Outcome
from framegate_gateway.admission.admitted import Admitted
from framegate_gateway.inference.inspection import Inspection
from framegate_gateway.server import GatewayProcess
from framegate_gateway.settings import GatewaySettings
from framegate_gateway.verdicts.maker import VerdictMaker, _Frame, _Signed
from framegate_host.signals import run_service, until_stopped

LIES: Final = ("alter", "invent", "drop")


class LyingMaker(VerdictMaker):
    """Makes verdicts that are signed, and untrue.

    alter: every part passes, on the strength of another image; invent: beside each real verdict
    stands a PASS on a part that no camera ever saw; drop: every third frame gets its answer and no
    receipt.
    """

    lie = ""
    _count = 0

    async def inspected(self, admitted: Admitted, inspection: Inspection, took_ms: float) -> bytes:
        """A verdict, and the lie."""
        self._count += 1
        if self.lie == "alter":
            other = hashlib.sha256(b"a good part" + os.urandom(8)).digest()
            return await super().inspected(
                replace(admitted, image_sha256=other),
                replace(inspection, defects=()),
                took_ms,
            )
        if self.lie == "invent":
            invented = replace(
                admitted.metadata,
                part=f"ghost-{secrets.token_hex(3)}",
                trigger_sequence=10**9 + self._count,
            )
            ghost = replace(
                admitted,
                metadata=invented,
                metadata_bytes=invented.marshal(),
                image_sha256=secrets.token_bytes(32),
                counter=admitted.counter + 10**6,
            )
            await super().inspected(ghost, replace(inspection, defects=()), took_ms)
        if self.lie == "drop" and self._count % 3 == 0:
            signed = self._signed_only(admitted, inspection)
            self._journal.add(signed.verdict, signed.envelope, None)
            return signed.envelope
        return await super().inspected(admitted, inspection, took_ms)

    def _signed_only(self, admitted: Admitted, inspection: Inspection) -> _Signed:
        frame = _Frame(
            admitted.metadata,
            admitted.metadata_bytes,
            admitted.image_sha256.hex(),
            admitted.counter,
            admitted,
        )
        outcome = Outcome.DEFECT if inspection.defects else Outcome.PASS
        return self._signed(frame, outcome, "", inspection)


def run_lying_gateway(
    lie: str, agent_socket: Path, golden: Path, port: int, operator_port: int, state: Path
) -> None:
    """Serve until ended."""
    if lie not in LIES:
        raise SystemExit(f"expected a lie of {', '.join(LIES)}, got {lie!a}")

    async def main() -> None:
        settings = GatewaySettings(
            agent_socket=agent_socket,
            golden=(golden,),
            port=port,
            operator_port=operator_port,
            state=state,
        )
        gateway = GatewayProcess(settings)
        gateway.maker.__class__ = LyingMaker
        gateway.maker.lie = lie  # type: ignore[attr-defined]
        await until_stopped(gateway.run())

    run_service(main())
