"""Calls that the join port passes on: how each is read, who answers it, and what goes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError

from framegate.errors import FramegateError, Malformed, Reason
from framegate_controller.joinport.messages import (
    BEGIN,
    COMPLETE,
    OFFER,
    PassedEvidence,
    PortAnswer,
    PortCall,
)
from framegate_controller.rpc.join import JoinService
from framegate_controller.rpc.passed_context import Ended, PassedContext
from framegate_controller.rpc.signin import SignInService
from framegate_controller.rpc.wire import Context
from framegate_proto.edge import FAILURES_KEY, to_status
from framegate_proto.v1 import framegate_pb2 as pb


@dataclass(frozen=True, slots=True)
class PassedCall:
    """How one call is read and answered."""

    parse: Callable[[bytes], Any]
    answer: Callable[[Any, Context], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that was read: its number, and what answers it."""

    number: int
    work: Callable[[], Awaitable[Any]]


def passed_calls(join: JoinService, sign_in: SignInService) -> dict[str, PassedCall]:
    """Every call that a port may pass on, by name."""
    people = {
        f"SignIn.{m.name}": PassedCall(
            getattr(pb, m.input_type.name).FromString, getattr(sign_in, m.name)
        )
        for m in pb.DESCRIPTOR.services_by_name["SignIn"].methods
        if m.name != "Methods"  # known at the port
    }
    return people | {
        BEGIN: PassedCall(pb.BeginRequest.FromString, join.Begin),
        OFFER: PassedCall(pb.EvidenceOffer.FromString, join.Offer),
        COMPLETE: PassedCall(PassedEvidence.parse, join.Complete),
    }


def asked_of(call: PortCall, calls: Mapping[str, PassedCall]) -> Asked:
    """A call as its handler takes it. Raises Malformed."""
    passed = calls.get(call.method)
    if passed is None:
        raise Malformed.of(Reason.MALFORMED, "a call of a join port", ascii(call.method))
    try:
        request = passed.parse(call.message)
    except (DecodeError, UnicodeDecodeError) as error:
        raise Malformed.of(Reason.MALFORMED, "a message of this call", error) from error
    # without the call: its message may be megabytes, and there is one of them
    context = PassedContext(call.peer)
    answer = partial(passed.answer, request, context)  # type: ignore[arg-type]
    return Asked(call.number, answer)


def _bytes(reply: Any) -> bytes:
    raw: bytes = reply.SerializeToString()
    return raw


async def answered(asked: Asked) -> PortAnswer:
    """What a call came to, as it goes back to the port."""
    try:
        reply = await asked.work()
    except Ended as ended:
        return PortAnswer(
            number=asked.number,
            status=ended.code.name,
            details=ended.details,
            failures=ended.failures,
            message=b"",
        )
    except FramegateError as error:
        return refused(asked.number, error)
    return PortAnswer(
        number=asked.number, status="", details="", failures=b"", message=_bytes(reply)
    )


def refused(number: int, error: FramegateError) -> PortAnswer:
    """A refusal, as it goes back to the port."""
    code, details, metadata = to_status(error)
    return PortAnswer(
        number=number,
        status=code.name,
        details=details,
        failures=dict(metadata)[FAILURES_KEY],
        message=b"",
    )
