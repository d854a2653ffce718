"""Verdicts as gateways hand them out, verified; and the one that somebody names."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Final, Protocol

import typer
from cryptography import x509

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.identity.certificates import from_ms
from framegate.signed.dsse import envelope_certificate, parse_envelope
from framegate.signed.statement import Outcome, Verdict
from framegate_host.console import safe, talk
from framegate_operator.connection import gateway_stub, gateways
from framegate_operator.contexts import OperatorContext
from framegate_proto.v1 import framegate_pb2 as pb


class Anchored(Protocol):
    """Whoever knows by which CAs a fleet's verdicts are verified."""

    @property
    def root_certificate(self) -> x509.Certificate:
        """The fleet's root."""

    @property
    def authority_certificates(self) -> tuple[x509.Certificate, ...]:
        """Its issuing CAs."""


VerdictName = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="Verdict id or its unique beginning; latest: the latest DEFECT."
    ),
]
LATEST: Final = "latest"
SETTLED_S: Final = 5.0
"""A younger verdict's receipt may not be signed and in the log yet."""
LOOKED_AT: Final = 100
"""Verdicts of each gateway among which the latest settled one is looked for."""


def verdict_named(operator: OperatorContext, name: str) -> str:
    """The verdict id that `name` stands for: itself, or of the latest DEFECT that every proof of is
    there and that gateways still have the frame of. Raises Refused (NOT_FOUND) where there is none,
    Unavailable where nobody can tell.
    """
    if name != LATEST:
        return name
    request = pb.ListVerdictsRequest(limit=LOOKED_AT, outcome=Outcome.DEFECT)
    settled_ms = (time.time() - SETTLED_S) * 1000
    verdicts: list[Verdict] = []
    silent: FramegateError | None = None
    endpoints = gateways(operator)
    for device, address in endpoints:
        try:
            with gateway_stub(operator, device, address) as stub:
                told = stub.ListVerdicts(request).verdicts
        except Unavailable as error:
            silent = error
            talk.print(f"[yellow]{safe(device)} does not answer[/]: its verdicts are not looked at")
            continue
        verdicts += [v for v in verified_verdicts(operator, told) if v.issued_at_ms <= settled_ms]
    if verdicts:
        return max(verdicts, key=lambda v: v.issued_at_ms).verdict_id
    wanted, hint = f"a DEFECT verdict, {SETTLED_S:g} s old or more", "framegate verdict list"
    if not endpoints:
        seen = "unknown: no gateway process has shown itself"
        silent = Unavailable.of(Reason.UNAVAILABLE, wanted, seen, "framegate gateway list")
    raise silent or Refused.of(Reason.NOT_FOUND, wanted, "none yet", hint)


def verified_verdicts(operator: Anchored, envelopes: Iterable[bytes]) -> list[Verdict]:
    """Verdicts whose signature holds, judged at the time each was made; one that does not verify is
    an error, not a gap.
    """
    verdicts = []
    for envelope in envelopes:
        certificate = envelope_certificate(parse_envelope(envelope, Verdict.TYPE))
        at = min(
            max(datetime.now(UTC), certificate.not_valid_before_utc),
            certificate.not_valid_after_utc,
        )
        verdict, _ = Verdict.verify(
            envelope, operator.authority_certificates, operator.root_certificate, at
        )
        if (
            not certificate.not_valid_before_utc
            <= from_ms(verdict.issued_at_ms)
            <= certificate.not_valid_after_utc
        ):
            raise Refused.of(
                Reason.VERDICT, "a verdict made while its key's certificate lived", "another"
            )
        verdicts.append(verdict)
    return verdicts
