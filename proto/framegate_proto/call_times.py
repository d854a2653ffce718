"""How calls end and how long they take, counted where they come in. A call's name is one of the
contract's: what a stranger asks for that nobody has is `other`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import lru_cache
from types import TracebackType
from typing import Any, Final

import grpc

from framegate_proto.call_context import Called, PassedContexts
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import open_inference_pb2 as oip

_CONTRACTS: Final = {**pb.DESCRIPTOR.services_by_name, **oip.DESCRIPTOR.services_by_name}
SERVICES: Final = frozenset({*_CONTRACTS, "Health"})
"""Services that a program may have, `other` left out."""
CALLS: Final = frozenset(
    {f"{name}.{m.name}" for name, service in _CONTRACTS.items() for m in service.methods}
    | {"Health.Check", "Health.Watch"}
)
"""Their calls, SERVICE.CALL."""
MAX_REMEMBERED: Final = 1_024
"""Paths whose call was worked out once: of what is served there are some hundred."""
OUTCOMES: Final = frozenset({"ok", "refused", "failed", "cancelled"})
"""What becomes of a call: `refused` is the caller's doing, `failed` ours or the network's."""
_OURS: Final = frozenset(
    {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}
)


Spans = Callable[[str, tuple[tuple[str, str | bytes], ...], bool], AbstractContextManager[object]]
"""Begins the span of a call: its name, its metadata, and whether it is a stream."""


class CallTimes(PassedContexts):
    """Counts calls of the servers it is given to; `told` gets service and seconds of each that has
    one answer.
    """

    def __init__(self, told: Callable[[float, str], None], spans: Spans | None = None) -> None:
        super().__init__(lambda context, called: _Around(self, called, context))
        self._told, self.spans = told, spans
        self.ended: Counter[tuple[str, str]] = Counter()

    def unserved(self) -> None:
        """See `PassedContexts`."""
        self.ended["other", "refused"] += 1

    def over(self, call: str, outcome: str, seconds: float, *, streams: bool) -> None:
        """A call ended."""
        self.ended[call, outcome] += 1
        if not streams:
            self._told(seconds, call.partition(".")[0])


class _Around:
    """Tells when and how a call ended, and has it in a span where there are any."""

    def __init__(self, times: CallTimes, called: Called, context: Any) -> None:
        self._times, self._called, self._context = times, called, context
        self._name = call_of(called.path)
        self._span: AbstractContextManager[object] | None = None
        self._began = time.monotonic()

    def __enter__(self) -> Any:
        """It begins."""
        if self._times.spans is not None:
            metadata = tuple(self._context.invocation_metadata() or ())
            self._span = self._times.spans(self._name, metadata, self._called.streams)
            self._span.__enter__()
        return self._context

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """It is over, by `error` or in peace."""
        try:
            if self._span is not None:
                self._span.__exit__(kind, error, where)
        finally:
            seconds = time.monotonic() - self._began
            outcome = _outcome(error, self._context)
            self._times.over(self._name, outcome, seconds, streams=self._called.streams)


@lru_cache(maxsize=MAX_REMEMBERED)
def call_of(path: str | bytes) -> str:
    """SERVICE.CALL of a path, /package.SERVICE/CALL; `other` where the contract has none such."""
    text = path.decode("ascii", "replace") if isinstance(path, bytes) else path
    service, _, call = text.rpartition("/")
    name = f"{service.rpartition('.')[2]}.{call}"
    return name if name in CALLS else "other"


def _outcome(error: BaseException | None, context: Any) -> str:
    if error is None:
        return "ok"
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "cancelled"
    if isinstance(error, grpc.aio.AbortError):
        return "failed" if context.code() in _OURS else "refused"
    return "failed"
