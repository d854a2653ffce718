"""Whether a part that went through had been inspected, asked of the signed verdicts themselves."""

from __future__ import annotations

import time

import paho.mqtt.client as mqtt
from cryptography import x509

from framegate.errors import FramegateError
from framegate.identity.certificates import from_ms
from framegate.signed.statement import Outcome, Verdict, verify_verdict
from framegate_simulators.plant.diverter import Part


class Observer:
    """Reads every verdict off the broker and verifies it: who really was inspected, whatever the
    adapter says.
    """

    def __init__(
        self,
        client: mqtt.Client,
        authorities: tuple[x509.Certificate, ...],
        root: x509.Certificate,
        port: int,
    ) -> None:
        self._authorities, self._root = authorities, root
        self.verdicts: dict[tuple[str, str, int, str], list[Verdict]] = {}
        self.refused = 0
        self._client = client
        client.on_connect = lambda c, *_: c.subscribe("framegate/v1/verdicts/#", qos=1)
        client.on_message = lambda _c, _u, m: self._message(bytes(m.payload))
        client.connect_async("127.0.0.1", port, 5)
        client.loop_start()

    def passed(self, part: Part, cameras: tuple[str, ...]) -> bool:
        """Whether every camera's verdicts on this part include a signed PASS."""
        return all(
            any(
                v.outcome == Outcome.PASS
                for v in self.verdicts.get((part.part, part.part_type, part.sequence, c), ())
            )
            for c in cameras
        )

    def close(self) -> None:
        """Stop reading."""
        self._client.disconnect()
        self._client.loop_stop()

    def _message(self, payload: bytes) -> None:
        try:
            verdict = verify_verdict(
                payload, self._authorities, self._root, from_ms(time.time_ns() // 1_000_000)
            )
        except FramegateError:
            self.refused += 1
            return
        self.verdicts.setdefault(
            (verdict.part, verdict.part_type, verdict.trigger_sequence, verdict.device), []
        ).append(verdict)
