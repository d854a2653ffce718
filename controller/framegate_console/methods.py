"""The fleet's methods by name, read from the contract's own description and known once to the
process. Stubs are megabytes of code, and make every method of a service for each channel: some
40 KiB a session, and more time than a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from google.protobuf.message_factory import GetMessageClass

from framegate_proto.v1 import framegate_pb2 as pb


@dataclass(frozen=True, slots=True)
class Method:
    """One method: its path, whether it answers with a stream, and how both sides are written."""

    path: str
    streams: bool
    written: Callable[[Any], bytes]
    read: Callable[[bytes], Any]

    def on(self, channel: Any, *, parsed: bool = True) -> Any:
        """It on one channel of grpc.aio. Not `parsed`: the answer's bytes as they came, for whoever
        may know them already.
        """
        opened = channel.unary_stream if self.streams else channel.unary_unary
        return opened(
            self.path,
            request_serializer=self.written,
            response_deserializer=self.read if parsed else None,
            _registered_method=True,
        )


@cache
def _methods(service: str) -> Mapping[str, Method]:
    described = pb.DESCRIPTOR.services_by_name[service]
    return MappingProxyType(
        {
            method.name: Method(
                f"/{described.full_name}/{method.name}",
                method.server_streaming,
                GetMessageClass(method.input_type).SerializeToString,
                GetMessageClass(method.output_type).FromString,
            )
            for method in described.methods
            # whoever calls sends one message: nobody at a browser sends a stream
            if not method.client_streaming
        }
    )


def operator_methods() -> Mapping[str, Method]:
    """The controller's, of its operators' service."""
    return _methods("Operator")


def gateway_methods() -> Mapping[str, Method]:
    """A gateway's, of its operators' service."""
    return _methods("GatewayOperator")


def sign_in_methods() -> Mapping[str, Method]:
    """The controller's, for whoever is not signed in."""
    return _methods("SignIn")
