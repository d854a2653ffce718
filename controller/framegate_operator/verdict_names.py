"""Verdicts as gateways hand them out, verified; and the one that somebody names."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, Protocol

import typer
from cryptography import x509

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.identity.certificates import from_ms
from framegate.signed.dsse import envelope_certificate, parse_envelope
from framegate.signed.statement import Outcome, Verdict
from framegate_host.console import safe, show_failures, talk
from framegate_operator.connection import gateway_stub, gateways
from framegate_operator.contexts import OperatorContext
from framegate_operator.output import counted
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
        handed = handed_out(operator, device, told)
        verdicts += [v for v in handed.verdicts if v.issued_at_ms <= settled_ms]
    if verdicts:
        return max(verdicts, key=lambda v: v.issued_at_ms).verdict_id
    wanted, hint = f"a DEFECT verdict, {SETTLED_S:g} s old or more", "framegate verdict list"
    if not endpoints:
        seen = "unknown: no gateway process has shown itself"
        silent = Unavailable.of(Reason.UNAVAILABLE, wanted, seen, "framegate gateway list")
    raise silent or Refused.of(Reason.NOT_FOUND, wanted, "none yet", hint)


@dataclass(frozen=True, slots=True)
class SignedVerdict:
    """A verdict that holds, and the envelope that says so."""

    verdict: Verdict
    envelope: bytes


@dataclass(frozen=True, slots=True)
class HandedOut:
    """What one gateway hands out as its verdicts: those that hold, and why others do not. They hide
    nothing that holds, of this gateway or of another.
    """

    signed: tuple[SignedVerdict, ...]
    problems: tuple[FramegateError, ...]

    @property
    def verdicts(self) -> list[Verdict]:
        """Those that hold, without their envelopes."""
        return [each.verdict for each in self.signed]


def handed_out(operator: Anchored, gateway: str, envelopes: Iterable[bytes]) -> HandedOut:
    """Each envelope as `verified_verdict`, and that the verdict is of `gateway`: another's is not
    its to hand out (N220). What does not hold is said to the person, and by whom.
    """
    signed, problems = list[SignedVerdict](), list[FramegateError]()
    for envelope in envelopes:
        try:
            verdict = verified_verdict(operator, envelope)
            if verdict.gateway != gateway:
                wanted = f"a verdict of {gateway}"
                raise Refused.of(Reason.VERDICT, wanted, f"one of {verdict.gateway}")
            signed.append(SignedVerdict(verdict, envelope))
        except FramegateError as error:
            problems.append(error)
    if problems:
        talk.print(
            f"[red]{safe(gateway)} hands out {counted(len(problems), 'verdict')} of which no proof"
            f" holds[/]: look into its host, framegate why {safe(gateway)}"
        )
        show_failures(problems[0].failures)
    return HandedOut(tuple(signed), tuple(problems))


def verified_verdicts(operator: Anchored, envelopes: Iterable[bytes]) -> list[Verdict]:
    """Each as `verified_verdict`: one that does not verify is an error, not a gap."""
    return [verified_verdict(operator, envelope) for envelope in envelopes]


def verified_verdict(operator: Anchored, envelope: bytes) -> Verdict:
    """The verdict in `envelope`, judged at the time it was made.

    1. as `Verdict.verify`, at a time at which its key's certificate lived; 2. it was made while
    that certificate lived. Raises Malformed, Refused (VERDICT), or as `verify_certificate`.
    """
    certificate = envelope_certificate(parse_envelope(envelope, Verdict.TYPE))
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    at = min(max(datetime.now(UTC), begin), end)
    verdict, _ = Verdict.verify(  # 1
        envelope, operator.authority_certificates, operator.root_certificate, at
    )
    if not begin <= from_ms(verdict.issued_at_ms) <= end:  # 2
        wanted = "a verdict made while its key's certificate lived"
        raise Refused.of(Reason.VERDICT, wanted, "another")
    return verdict
