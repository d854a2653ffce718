"""Traces over calls: W3C's traceparent in metadata, spans by OpenTelemetry where its extra is
installed and a collector is named; else nothing at all.

A call with one answer is a child of its caller's span. A stream lives for hours: its span is a root
of its own, linked to the caller's.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

TRACEPARENT: Final = "traceparent"
_FORM: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
QUEUE: Final = 2048
"""Spans that wait for the collector; more are dropped: nobody waits for a trace."""

Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class TraceParent:
    """Whose span a call belongs to, as W3C Trace Context has it (level 1, version 00)."""

    trace: int
    span: int
    sampled: bool

    def text(self) -> str:
        """As it stands in metadata."""
        return f"00-{self.trace:032x}-{self.span:016x}-{int(self.sampled):02x}"


def parent_in(metadata: Metadata) -> TraceParent | None:
    """The caller's span; None where none is said, twice, or in another form: then it has none."""
    said = [value for name, value in metadata if name == TRACEPARENT]
    matched = _FORM.fullmatch(said[0]) if len(said) == 1 and isinstance(said[0], str) else None
    if matched is None:
        return None
    trace, span = int(matched[1], 16), int(matched[2], 16)
    return TraceParent(trace, span, bool(int(matched[3], 16) & 1)) if trace and span else None


class Traces(Protocol):
    """Begins spans and says whose they are."""

    def span(self, name: str) -> AbstractContextManager[object]:
        """A span of this program's own work."""

    def call_span(
        self, call: str, metadata: Metadata, streams: bool
    ) -> AbstractContextManager[object]:
        """The span of a call that came in."""

    def metadata(self) -> Metadata:
        """What a call that goes out says of the present span."""

    def close(self) -> None:
        """Send what waits, for a moment."""


class NoTraces:
    """Nothing is traced."""

    def span(self, name: str) -> AbstractContextManager[object]:
        """See `Traces`."""
        return contextlib.nullcontext(name)

    def call_span(
        self, call: str, metadata: Metadata, streams: bool
    ) -> AbstractContextManager[object]:
        """See `Traces`."""
        return contextlib.nullcontext((call, metadata, streams))

    def metadata(self) -> Metadata:
        """See `Traces`."""
        return ()

    def close(self) -> None:
        """See `Traces`."""


class OpenTelemetryTraces:
    """Spans by OpenTelemetry's SDK; `exporter` takes them away, in a thread of the SDK's."""

    def __init__(self, program: str, exporter: Any) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        self._api = trace
        self._provider = TracerProvider(
            resource=Resource({"service.name": f"framegate-{program}"}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUE))
        self._tracer = self._provider.get_tracer("framegate")

    def span(self, name: str) -> AbstractContextManager[object]:
        """See `Traces`."""
        return self._tracer.start_as_current_span(name)

    def call_span(
        self, call: str, metadata: Metadata, streams: bool
    ) -> AbstractContextManager[object]:
        """See `Traces`."""
        given: Mapping[str, Any] = {"kind": self._api.SpanKind.SERVER}
        parent = parent_in(metadata)
        if parent is not None:
            caller = self._api.SpanContext(
                parent.trace,
                parent.span,
                is_remote=True,
                trace_flags=self._api.TraceFlags(int(parent.sampled)),
            )
            if streams:
                given = {**given, "links": [self._api.Link(caller)]}
            else:
                held = self._api.NonRecordingSpan(caller)
                given = {**given, "context": self._api.set_span_in_context(held)}
        return self._tracer.start_as_current_span(call, **given)

    def metadata(self) -> Metadata:
        """See `Traces`."""
        present = self._api.get_current_span().get_span_context()
        if not present.is_valid:
            return ()
        parent = TraceParent(present.trace_id, present.span_id, present.trace_flags.sampled)
        return ((TRACEPARENT, parent.text()),)

    def close(self) -> None:
        """See `Traces`."""
        self._provider.force_flush(1000)
        self._provider.shutdown()


def traces_to(collector: str, program: str) -> Traces:
    """Traces to the OTLP collector at HOST:PORT of this machine; none where it is empty. Raises
    ModuleNotFoundError where the extra is not installed.
    """
    if not collector:
        return NoTraces()
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 - an extra
        OTLPSpanExporter,
    )

    return OpenTelemetryTraces(program, OTLPSpanExporter(f"http://{collector}", insecure=True))
