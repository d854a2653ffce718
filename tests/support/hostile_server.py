"""Every call of every service, answered with what no honest controller or gateway says."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf.message import Message

from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.worst_answers import KINDS, Kind, worst_answer


class HostileStub:
    """Every call of every service, answered with one kind of answer."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def __getattr__(self, name: str) -> "HostileCall":
        if name.startswith("_"):
            raise AttributeError(name)
        (method,) = [
            service.methods_by_name[name]
            for service in pb.DESCRIPTOR.services_by_name.values()
            if name in service.methods_by_name
        ][:1]
        return HostileCall(method, self._kind)


class HostileCall:
    """One of them, as gRPC's stubs are called."""

    def __init__(self, method: Any, kind: Kind) -> None:
        self._method, self._kind = method, kind

    def _answer(self) -> Message:
        return worst_answer(self._method.output_type, self._kind)

    def __call__(self, _request: Any, **_: Any) -> Any:
        return Streamed([self._answer()] * 2) if self._method.server_streaming else self._answer()

    def with_call(self, request: Any, **_: Any) -> tuple[Message, "HostileCall"]:
        return self(request), self

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return (("framegate-notice", self._kind.text.encode(errors="replace")),)


class Streamed(list):
    """What a stream brings."""

    def cancel(self) -> None:
        """Nobody asks any more."""


class HostileStubs:
    """In the place of the module of gRPC's stubs."""

    kind = KINDS["nothing"]

    def __getattr__(self, name: str) -> Callable[[Any], HostileStub]:
        return lambda _channel: HostileStub(self.kind)


@contextmanager
def no_channel(*_given: Any, **_more: Any) -> Iterator[None]:
    """A channel to nowhere."""
    yield None
