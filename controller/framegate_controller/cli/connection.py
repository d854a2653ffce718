"""The operator's connection: a context file with address, root and credential; calls whose errors are ours again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc
from cryptography import x509

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate_proto.edge import from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc

T = TypeVar("T")
CALL_TIMEOUT_S: Final = 15.0
_HINT: Final = "is it running and reachable? has your credential (24 h) ended? framegate-controller operator NAME makes a new one on the controller's host"
_MEMBERS: Final = ("fleet_address", "server_name", "root", "certificate", "key", "authorities")


@dataclass(frozen=True, slots=True)
class OperatorContext:
    """Where the fleet is and who the operator is."""

    fleet_address: str
    server_name: str
    root: bytes
    certificate: bytes
    key: bytes
    authorities: bytes

    @property
    def root_certificate(self) -> x509.Certificate:
        """The fleet's root."""
        return x509.load_pem_x509_certificate(self.root)

    @property
    def authority_certificates(self) -> tuple[x509.Certificate, ...]:
        """Issuing CAs, to verify verdicts with."""
        return tuple(x509.load_pem_x509_certificates(self.authorities))


def load_context(path: Path | None) -> OperatorContext:
    """The context in `path`, else the one FRAMEGATE_CONTEXT names, else ~/.config/framegate/context.json. Raises Unavailable or Refused."""
    chosen = path or Path(os.environ.get("FRAMEGATE_CONTEXT", Path.home() / ".config/framegate/context.json"))
    try:
        mode = chosen.stat().st_mode & 0o077
        body = json.loads(chosen.read_text())
        context = OperatorContext(*(body[m] if m in {"fleet_address", "server_name"} else body[m].encode() for m in _MEMBERS))
    except FileNotFoundError as error:
        hint = "set FRAMEGATE_CONTEXT or --context to the file that framegate-controller init wrote"
        raise Unavailable.of(Reason.UNAVAILABLE, f"an operator's context in {chosen}", "no file", hint) from error
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise Refused.of(Reason.USAGE, f"an operator's context in {chosen}", type(error).__name__, "framegate-controller operator NAME makes one") from error
    if mode:
        raise Refused.of(Reason.USAGE, f"{chosen} readable by you alone", oct(mode), f"chmod 600 {chosen}")
    return context


@contextmanager
def operator_stub(context: OperatorContext) -> Iterator[Any]:
    """A stub of the controller's operator service."""
    with _channel(context, context.fleet_address, context.server_name, context.root) as channel:
        yield Calls(rpc.OperatorStub(channel))


@contextmanager
def gateway_stub(context: OperatorContext, device: str, address: str) -> Iterator[Any]:
    """A stub of a gateway's operator service."""
    _, zone, name = device.split(".")
    with _channel(context, address, f"{name}.{zone}.gateway.framegate", context.authorities) as channel:
        yield Calls(rpc.GatewayOperatorStub(channel))


def gateways(context: OperatorContext) -> list[tuple[str, str]]:
    """(device, operators' address) of every gateway process that stands now."""
    with operator_stub(context) as stub:
        devices = stub.List(pb.ListRequest(kind="gateway")).devices
    return [(d.device, a) for d in devices for a in d.operator_addresses if a]


def first_answer(context: OperatorContext, ask: Callable[[Any], T], nothing: Refused) -> tuple[str, T]:
    """(device, answer) of the first gateway whose stub answers `ask`. Raises what the last one said, or `nothing` where no gateway stands."""
    problem: FramegateError = nothing
    for device, address in gateways(context):
        try:
            with gateway_stub(context, device, address) as stub:
                return device, ask(stub)
        except FramegateError as error:
            problem = error
    raise problem


@contextmanager
def _channel(context: OperatorContext, address: str, server_name: str, anchors: bytes) -> Iterator[grpc.Channel]:
    credentials = grpc.ssl_channel_credentials(anchors, context.key, context.certificate)
    options = (("grpc.ssl_target_name_override", server_name), ("grpc.max_receive_message_length", 64 * 1024 * 1024), ("grpc.enable_http_proxy", 0))
    with grpc.secure_channel(address, credentials, options=options) as channel:
        yield channel


class Calls:
    """A stub whose calls have a deadline and raise our errors."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._stub, name)

        def call(request: Any, *, stream: bool = False) -> Any:
            try:
                return _items(method(request)) if stream else method(request, timeout=CALL_TIMEOUT_S)
            except grpc.RpcError as error:
                raise from_rpc_error(error, _HINT) from error

        return call


def _items(call: Any) -> Iterator[Any]:
    try:
        yield from call
    except grpc.RpcError as error:
        raise from_rpc_error(error, _HINT) from error
    finally:
        call.cancel()
