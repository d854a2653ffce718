"""What every edge of the wire shares: failures in and out of calls, and the certificate at the
other end of a connection.
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import Awaitable, Iterator
from functools import lru_cache
from typing import Any, Final, NoReturn, TypeVar

import grpc
from cryptography import x509

from framegate.errors import (
    EvidenceRejected,
    Failure,
    FramegateError,
    Malformed,
    Reason,
    Refused,
    Unavailable,
)
from framegate.identity.certificates import UNREADABLE
from framegate.record.following import LogPosition
from framegate.signed.receipt import Checkpoint
from framegate_proto.causes import cause_in_words
from framegate_proto.v1 import framegate_pb2 as pb

T = TypeVar("T")
FAILURES_KEY: Final = "framegate-failures-bin"
"""Trailing metadata of a refused call: its failures, as an AttestationReply with nothing else in
it.
"""
REASON_KEY: Final = "framegate-reason-bin"
"""Metadata of an operator's call: why, in UTF-8."""
DRY_RUN_KEY: Final = "framegate-dry-run"
"""Metadata of an operator's call: 1 where it is only to be said whether it would be done."""
NOTICE_KEY: Final = "framegate-notice-bin"
"""Trailing metadata: what everybody should know, a line each, in UTF-8."""
CHUNK_BYTES: Final = 32 * 1024
"""Of evidence, in one message: what a port buffers of somebody of whom nothing is known yet."""
MAX_REMEMBERED: Final = 4_096
"""Certificates of callers, some kilobytes each: a caller shows the same one with every call."""
MAX_FAILURES: Final = 16
"""Failures that fit the peer's header limit; the registry keeps them all."""
MAX_SHOWN: Final = 4
"""Certificates that a peer may show behind its own; a fleet has one issuing CA there."""

_STATUS: Final = {
    Reason.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.CONFLICT: grpc.StatusCode.ALREADY_EXISTS,
    Reason.NAME_TAKEN: grpc.StatusCode.ALREADY_EXISTS,
    Reason.USAGE: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Reason.CERTIFICATE_EXPIRED: grpc.StatusCode.UNAUTHENTICATED,
    Reason.TOO_MANY_TRIES: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_BY_CLASS: Final[tuple[tuple[type[FramegateError], grpc.StatusCode], ...]] = (
    (Malformed, grpc.StatusCode.INVALID_ARGUMENT),
    (Unavailable, grpc.StatusCode.UNAVAILABLE),
    (EvidenceRejected, grpc.StatusCode.FAILED_PRECONDITION),
)


def to_seen_log(head: Checkpoint | None) -> pb.SeenLog:
    """What the controller has to go on from: the last head of its record that was seen."""
    if head is None:
        return pb.SeenLog()
    return pb.SeenLog(size=head.size, restorations=head.restorations)


def from_log_position(message: pb.WatchEvent | pb.TrustUpdate) -> LogPosition | None:
    """Where the controller says that its record stands, unverified; None where it does not say."""
    if not message.HasField("log"):
        return None
    log = message.log
    return LogPosition(log.checkpoint, tuple(log.growth), tuple(log.restorations))


def to_failures(failures: tuple[Failure, ...]) -> list[pb.Failure]:
    """Failures as messages."""
    return [
        pb.Failure(reason=f.reason, expected=f.expected, actual=f.actual, hint=f.hint)
        for f in failures
    ]


def from_failures(messages: Any) -> tuple[Failure, ...]:
    """Failures out of messages; an id this program does not know reads as `internal`."""
    known = set(Reason)
    return tuple(
        Failure(
            Reason(m.reason) if m.reason in known else Reason.INTERNAL, m.expected, m.actual, m.hint
        )
        for m in messages
    )


def to_status(error: FramegateError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """(status, details, trailing metadata) of a refused call: ids, expectations and hints, never a
    cause or a traceback.
    """
    default = next(
        (code for kind, code in _BY_CLASS if isinstance(error, kind)),
        grpc.StatusCode.PERMISSION_DENIED,
    )
    raw = pb.AttestationReply(
        failures=to_failures(error.failures[:MAX_FAILURES])
    ).SerializeToString()
    return _STATUS.get(error.reason, default), error.reason.value, ((FAILURES_KEY, raw),)


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: FramegateError) -> NoReturn:
    """End a call with `error`'s failures in the trailing metadata."""
    code, details, metadata = to_status(error)
    await context.abort(code, details, trailing_metadata=metadata)
    raise AssertionError("abort returns to nobody")


def from_rpc_error(error: Any, hint: str) -> FramegateError:
    """The failures that a refused call carries; Unavailable with `hint` where nobody answered."""
    for key, value in error.trailing_metadata() or ():
        if key == FAILURES_KEY and isinstance(value, bytes):
            failures = from_failures(pb.AttestationReply.FromString(value).failures)
            kinds: dict[grpc.StatusCode, type[FramegateError]] = {
                code: kind for kind, code in _BY_CLASS
            }
            if failures:
                return kinds.get(error.code(), Refused)(failures)
    return Unavailable.of(
        Reason.UNAVAILABLE, "an answer", cause_in_words(error.code(), error.details() or ""), hint
    )


async def answered(call: Awaitable[T], hint: str) -> T:
    """The result of a client's call or read, with errors that are ours.

    grpc.aio reports a channel that was closed under a call as CancelledError, which would silently
    end the task that waits; here only a cancellation of this very task stays one. Raises what
    `from_rpc_error` gives, or Unavailable.
    """
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error, hint) from error
    except (asyncio.CancelledError, asyncio.InvalidStateError, grpc.aio.UsageError) as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Unavailable.of(
            Reason.UNAVAILABLE, "an answer", "the connection was closed", hint
        ) from error


def evidence_parts(
    state: bytes, mac: bytes, evidence: bytes, with_offer: int = 0
) -> Iterator[pb.EvidencePart]:
    """What `Complete` is told: what is offered under a challenge's `state`, then the evidence; or
    both at once, where it has no more than the `with_offer` bytes that came with the challenge.
    """
    whole = len(evidence) <= with_offer
    yield pb.EvidencePart(
        offer=pb.EvidenceOffer(
            state=state,
            mac=mac,
            size=len(evidence),
            sha256=hashlib.sha256(evidence).digest(),
            evidence=evidence if whole else b"",
        )
    )
    if whole:
        return
    for start in range(0, len(evidence), CHUNK_BYTES):
        yield pb.EvidencePart(chunk=evidence[start : start + CHUNK_BYTES])


def write_record(writer: asyncio.StreamWriter, record: bytes) -> None:
    """Queue one record on the socket between an agent and its host's gateways: 32-bit length,
    record.
    """
    writer.write(struct.pack(">I", len(record)) + record)


async def read_record(reader: asyncio.StreamReader, most: int, what: str) -> bytes:
    """The next record, of at most `most` bytes. Raises Malformed, or IncompleteReadError at the
    end.
    """
    size = int.from_bytes(await reader.readexactly(4), "big")
    if size > most:
        raise Malformed.of(Reason.TOO_LARGE, f"at most {most} bytes of {what}", size)
    return await reader.readexactly(size)


def presented_certificate(context: Any) -> x509.Certificate:
    """The certificate the peer of a servicer `context` presented over TLS 1.3. Unverified beyond
    TLS: the caller MUST establish its purpose.

    Raises Refused where there is none, or the connection is older than TLS 1.3.
    """
    auth = context.auth_context()
    version = [
        v.decode() if isinstance(v, bytes) else str(v) for v in auth.get("ssl_tls_version", [])
    ]
    if version != ["TLSv1.3"]:
        raise Refused.of(Reason.UNAUTHENTICATED, "TLS 1.3", ", ".join(version) or "no TLS")
    pems = list(auth.get("x509_pem_cert", []))
    if len(pems) != 1:
        raise Refused.of(
            Reason.UNAUTHENTICATED,
            "a client certificate",
            "none",
            "join the fleet, or sign in as an operator",
        )
    return _parsed(pems[0] if isinstance(pems[0], bytes) else pems[0].encode())


@lru_cache(maxsize=MAX_REMEMBERED)
def _parsed(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def presented_chain(context: Any) -> tuple[x509.Certificate, ...]:
    """What the peer of a servicer `context` showed behind its certificate, unverified; empty where
    that is nothing, or cannot be read.
    """
    pems = list(context.auth_context().get("x509_pem_cert_chain", []))
    try:
        raw = b"".join(p if isinstance(p, bytes) else p.encode() for p in pems)
        return tuple(x509.load_pem_x509_certificates(raw)[:MAX_SHOWN]) if raw else ()
    except UNREADABLE:
        return ()
