"""The operator's connection: a context file with address, root and credential; calls whose errors
are ours again.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.identity.names import split_device_id
from framegate_host.console import ask, talk
from framegate_operator.answers import CONTROLLER, reading
from framegate_operator.contexts import OperatorContext, read_context
from framegate_operator.options import WRITE
from framegate_operator.output import notice
from framegate_proto.asked import content_of
from framegate_proto.edge import DRY_RUN_KEY, NOTICE_KEY, REASON_KEY, from_rpc_error
from framegate_proto.targets import secured_target
from framegate_proto.v1 import framegate_pb2 as pb

T = TypeVar("T")
CALL_TIMEOUT_S: Final = 15.0
MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes: receipts of a day, evidence with its logs, pictures."""
WAIT_S: Final = 1.0
HEARD_S: Final = 5.0
"""A gateway hears of a factor by its feed from the controller, within a second or so."""
HEARD_AGAIN_S: Final = 0.5
_HINT: Final = (
    "is it running and reachable? framegate-controller run; does your session stand, and are both"
    " clocks right? framegate login NAME"
)


def load_context(path: Path | None) -> OperatorContext:
    """The context, signed in. Raises Unavailable where there is none, Refused where nobody is
    signed in or the session is over.
    """
    context = read_context(path)
    name = context.operator or "NAME"
    if not context.key:
        raise Refused.of(
            Reason.SIGNED_OUT, "a session", "nobody is signed in", f"framegate login {name}"
        )
    if context.expires_ms <= time.time() * 1000:
        raise Refused.of(
            Reason.SIGNED_OUT,
            "a session that still runs",
            "one that ended",
            f"framegate login {name}",
        )
    return context


def _stubs() -> Any:
    # the stubs of all services are megabytes of code: for whoever calls, and not for the web
    # console, which reads what we work out of answers
    from framegate_proto.v1 import framegate_pb2_grpc  # noqa: PLC0415

    return framegate_pb2_grpc


@contextmanager
def sign_in_stub(context: OperatorContext) -> Iterator[Any]:
    """A stub of the controller's sign-in service, for somebody without a session."""
    credentials = grpc.ssl_channel_credentials(context.root)
    target = secured_target(context.join_address, context.server_name)
    with grpc.secure_channel(target.name, credentials, options=target.options) as channel:
        yield Calls(lambda: _stubs().SignInStub(channel))


@contextmanager
def operator_stub(context: OperatorContext, timeout_s: float = CALL_TIMEOUT_S) -> Iterator[Any]:
    """A stub of the controller's operator service, whose calls may take `timeout_s`."""
    with _channel(context, context.fleet_address, context.server_name, context.root) as channel:
        stub = _stubs().OperatorStub(channel)
        yield Calls(lambda: stub, _OnRefusal(stub), timeout_s)


@contextmanager
def gateway_stub(
    context: OperatorContext, device: str, address: str, timeout_s: float = CALL_TIMEOUT_S
) -> Iterator[Any]:
    """A stub of a gateway's operator service, whose calls may take `timeout_s`.

    Where it cannot be reached, the controller is asked once whether the CAs have changed since this
    session began, and if so it is tried again with those.
    """
    _, zone, name = device.split(".")
    server_name = f"{name}.{zone}.gateway.framegate"
    with ExitStack() as channels:

        def connect() -> Any:
            channel = _channel(context, address, server_name, context.authorities)
            return _stubs().GatewayOperatorStub(channels.enter_context(channel))

        yield Calls(connect, _AtGateway(context), timeout_s=timeout_s)


def gateways(context: OperatorContext) -> list[tuple[str, str]]:
    """(device, operators' address) of every gateway process that stands now. Raises Malformed where
    one has no device's name.
    """
    with operator_stub(context) as stub:
        devices = stub.List(pb.ListRequest(kind="gateway")).devices
    for device in devices:
        split_device_id(device.device)
    return [(d.device, a) for d in devices for a in d.operator_addresses if a]


def first_answer(
    context: OperatorContext, ask: Callable[[Any], T], nothing: Refused, *, of: str = ""
) -> tuple[str, T]:
    """(device, answer) of the first gateway whose stub answers `ask`; `of`: of this one, whose word
    it is. Raises what one said, that it does not answer before that it has nothing;
    Unavailable where no gateway stands.
    """
    endpoints = [e for e in gateways(context) if of in {"", e[0]}]
    if not endpoints:
        wanted, hint = nothing.failures[0].expected, "framegate gateway list"
        seen = f"unknown: no process of {of or 'any gateway'} has shown itself"
        raise Unavailable.of(Reason.UNAVAILABLE, wanted, seen, hint)
    problem: FramegateError = nothing
    for device, address in endpoints:
        try:
            with gateway_stub(context, device, address) as stub:
                return device, ask(stub)
        except FramegateError as error:
            problem = nearer(problem, error)
    raise problem


def nearer(problem: FramegateError, error: FramegateError) -> FramegateError:
    """Which of what two gateways said is the answer: while one of them cannot be asked, or says
    what cannot be, that another has nothing does not say that there is nothing.
    """
    return problem if not _absent(problem) and _absent(error) else error


def _absent(error: FramegateError) -> bool:
    return error.reason == Reason.NOT_FOUND


def with_approval(
    context: OperatorContext,
    device: str,
    verb: str,
    request: Any,
    call: Callable[[Any], T],
) -> T:
    """`call(request)` at a gateway; where that takes somebody else's approval, with the one the
    controller has of exactly this, or after asking for it.

    Raises Refused (APPROVAL_NEEDED), saying who has to do what, where nobody approved yet.
    """
    try:
        return call(request)
    except Refused as error:
        if error.reason != Reason.APPROVAL_NEEDED or WRITE.get().dry_run:
            raise
        request.approval = approvals(context, [device], verb, request, error)[device]
    return call(request)


def approvals(
    context: OperatorContext,
    devices: Sequence[str],
    verb: str,
    request: Any,
    needed: Refused,
) -> dict[str, bytes]:
    """The controller's approvals of exactly `request` for these gateways of one zone, all by one
    request; asked for where there is none yet.

    Raises Refused (`needed`, saying who has to do what) where nobody approved and the command does
    not wait.
    """
    content = content_of(request)
    named = sorted(set(devices))
    with operator_stub(context) as stub:
        while True:
            try:
                statements = stub.TakeApproval(
                    pb.TakeApprovalRequest(
                        verb=verb, content_sha256=content.digest(verb), gateways=named
                    )
                ).approvals
                with reading("an approval for each gateway", CONTROLLER):
                    return dict(zip(named, statements, strict=True))
            except Refused as absent:
                if absent.reason != Reason.NOT_FOUND:
                    raise
            asked = pb.VerbRequest(
                verb=verb,
                gateways=named,
                content_type=content.kind,
                content=content.body,
                reason=WRITE.get().reason or request.reason,
            )
            row = stub.RequestVerb(asked)
            if not WRITE.get().wait:
                hint = (
                    f"somebody else: framegate access approve {row.id}; then run this command again"
                )
                raise Refused([replace(needed.failures[0], hint=hint)])
            time.sleep(WAIT_S)


@contextmanager
def _channel(
    context: OperatorContext, address: str, server_name: str, anchors: bytes
) -> Iterator[grpc.Channel]:
    credentials = grpc.ssl_channel_credentials(anchors, context.key, context.certificate)
    most = ("grpc.max_receive_message_length", MAX_ANSWER)
    target = secured_target(address, server_name, most)
    with grpc.secure_channel(target.name, credentials, options=target.options) as channel:
        yield channel


class _OnRefusal:
    """What the command line does about a refusal that a person can mend on the spot: a fresh
    factor, an approval worth waiting for.
    """

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def mended(self, error: FramegateError) -> bool:
        """Whether to try again."""
        if error.reason == Reason.FACTOR_NEEDED and sys.stdin.isatty():
            code = ask(
                "this needs a fresh second factor; code of your authenticator",
                hide_input=True,
            )
            try:
                self._call(self._stub.ProveFactor, pb.ProveFactorRequest(code=code))
            except Refused as wrong:  # the session stands: nobody has to sign in anew
                again = f"{wrong.failures[0].hint}, then the same again; no framegate login"
                raise Refused([replace(wrong.failures[0], hint=again)]) from wrong
            return True
        if error.reason == Reason.APPROVAL_NEEDED and WRITE.get().wait and not WRITE.get().dry_run:
            (identifier,) = re.findall(r"access approve ([0-9a-f]{8})", error.failures[0].hint) or [
                ""
            ]
            return bool(identifier) and self._approved(identifier)
        return False

    def _approved(self, identifier: str) -> bool:
        talk.print(
            f"waiting for somebody else: framegate access approve {identifier} (Ctrl-C ends the"
            " waiting, not the request)"
        )
        while True:
            rows = [
                r
                for r in self._call(self._stub.ListAccess, pb.ListAccessRequest(all=True)).rows
                if r.id == identifier
            ]
            if not rows or rows[0].state in {"denied", "expired", "used"}:
                return False
            if rows[0].state == "approved":
                return True
            time.sleep(WAIT_S)

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            raise from_rpc_error(error, _HINT) from error


class _AtGateway:
    """The same at a gateway: a factor is shown to the controller, whose feed tells the gateway."""

    def __init__(self, context: OperatorContext) -> None:
        self._context, self._until, self._looked = context, 0.0, False

    def mended(self, error: FramegateError) -> bool:
        """Whether to try again. Raises Unavailable where the gateway itself hears nobody, and so
        cannot know who asks: others may answer.
        """
        if error.reason == Reason.TRUST_FEED:
            raise Unavailable(error.failures)
        if error.reason == Reason.UNAVAILABLE:
            return self._others_sign()
        if error.reason != Reason.FACTOR_NEEDED or not sys.stdin.isatty():
            return False
        if self._until:  # it was shown, and the gateway may not have heard of it so far
            time.sleep(HEARD_AGAIN_S)
            return time.monotonic() < self._until
        with _channel(
            self._context,
            self._context.fleet_address,
            self._context.server_name,
            self._context.root,
        ) as channel:
            proved = _OnRefusal(_stubs().OperatorStub(channel)).mended(error)
        self._until = time.monotonic() + HEARD_S
        return proved

    def _others_sign(self) -> bool:
        """Whether other CAs sign for gateways than this session knew."""
        if self._looked:
            return False
        self._looked = True
        try:
            with operator_stub(self._context) as stub:
                return self._context.know(stub.WhoAmI(pb.WhoAmIRequest()).authorities)
        except FramegateError:  # what is wrong with the gateway is what is told
            return False


class Calls:
    """A stub whose calls have a deadline, carry the options of a change, and raise our errors."""

    def __init__(
        self,
        connect: Callable[[], Any],
        on_refusal: _OnRefusal | _AtGateway | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        """`connect` gives a stub; it is asked again after a refusal that was mended."""
        self._connect, self._on_refusal, self._timeout_s = connect, on_refusal, timeout_s
        self._stub = connect()

    def __getattr__(self, name: str) -> Any:
        def call(request: Any, *, stream: bool = False) -> Any:
            options = WRITE.get()
            metadata = (
                (REASON_KEY, options.reason.encode()),
                *((((DRY_RUN_KEY, "1"),)) if options.dry_run else ()),
            )
            if stream:
                return self._items(name, request, metadata)
            while True:
                try:
                    reply, done = getattr(self._stub, name).with_call(
                        request, timeout=self._timeout_s, metadata=metadata
                    )
                except grpc.RpcError as error:
                    refusal = from_rpc_error(error, _HINT)
                    if self._mended(refusal):
                        continue
                    raise refusal from error
                for key, value in done.trailing_metadata() or ():
                    if key == NOTICE_KEY:
                        notice(value.decode(errors="replace"))
                return reply

        return call

    def _mended(self, refusal: FramegateError) -> bool:
        mended = self._on_refusal is not None and self._on_refusal.mended(refusal)
        if mended:
            self._stub = self._connect()
        return mended

    def _items(self, name: str, request: Any, metadata: Any) -> Iterator[Any]:
        """What a stream brings; one that is refused before it brought anything may be mended."""
        begun = False
        while True:
            call = getattr(self._stub, name)(request, metadata=metadata)
            try:
                for item in call:
                    begun = True
                    yield item
                return
            except grpc.RpcError as error:
                refusal = from_rpc_error(error, _HINT)
                if begun or not self._mended(refusal):
                    raise refusal from error
            finally:
                call.cancel()
