"""The fleet's methods by name, known once to the process. A stub makes every method of a service
for each channel: some 40 KiB a session, and more time than a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, cast

import grpc

from framegate_proto.v1 import framegate_pb2_grpc as rpc


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


class _Listener:
    """Stands for a channel, and hears from a stub what the methods of its service are."""

    def unary_unary(self, path: str, **given: Any) -> Method:
        return _method(path, given, streams=False)

    def unary_stream(self, path: str, **given: Any) -> Method:
        return _method(path, given, streams=True)


def _method(path: str, given: Mapping[str, Any], *, streams: bool) -> Method:
    return Method(path, streams, given["request_serializer"], given["response_deserializer"])


@cache
def operator_methods() -> Mapping[str, Method]:
    """The controller's, of its operators' service."""
    return MappingProxyType(vars(rpc.OperatorStub(cast(grpc.Channel, _Listener()))))


@cache
def gateway_methods() -> Mapping[str, Method]:
    """A gateway's, of its operators' service."""
    return MappingProxyType(vars(rpc.GatewayOperatorStub(cast(grpc.Channel, _Listener()))))
