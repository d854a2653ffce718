"""Whose span a call belongs to: by W3C's traceparent, or by nothing."""

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from framegate_proto.traces import (
    TRACEPARENT,
    NoTraces,
    OpenTelemetryTraces,
    TraceParent,
    parent_in,
    traces_to,
)

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_traceparent_is_read_and_written_alike():
    parent = parent_in(((TRACEPARENT, GOOD),))
    assert parent == TraceParent(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, True)
    assert parent.text() == GOOD


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("other", GOOD),),
        ((TRACEPARENT, GOOD), (TRACEPARENT, GOOD)),
        ((TRACEPARENT, GOOD.encode()),),
        ((TRACEPARENT, GOOD.upper()),),
        ((TRACEPARENT, GOOD + "-x"),),
        ((TRACEPARENT, "ff" + GOOD[2:]),),
        ((TRACEPARENT, GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32)),),
        ((TRACEPARENT, GOOD.replace("00f067aa0ba902b7", "0" * 16)),),
        ((TRACEPARENT, "x" * 10_000),),
    ],
)
def test_anything_else_is_no_parent(metadata):
    assert parent_in(metadata) is None


@pytest.fixture
def traced():
    exporter = InMemorySpanExporter()
    return OpenTelemetryTraces("agent", exporter), exporter


def test_a_call_is_its_callers_child_and_a_stream_is_linked(traced):
    traces, exporter = traced
    with traces.span("attest"):
        metadata = traces.metadata()
    with traces.call_span("Fleet.Begin", metadata, False):
        pass
    with traces.call_span("Fleet.Watch", metadata, True):
        pass
    with traces.call_span("Fleet.List", (), False):
        pass
    traces.close()
    spans = {s.name: s for s in exporter.get_finished_spans()}
    caller = spans["attest"].context
    child, stream, alone = (spans[f"Fleet.{n}"] for n in ("Begin", "Watch", "List"))
    assert child.parent.span_id == caller.span_id and child.context.trace_id == caller.trace_id
    assert stream.parent is None and stream.context.trace_id != caller.trace_id
    assert [link.context.span_id for link in stream.links] == [caller.span_id]
    assert alone.parent is None and not alone.links


def test_outside_of_a_span_a_call_says_nothing(traced):
    assert traced[0].metadata() == ()


def test_without_a_collector_nothing_is_traced():
    traces = traces_to("", "agent")
    assert isinstance(traces, NoTraces)
    with traces.span("x"), traces.call_span("Fleet.Begin", ((TRACEPARENT, GOOD),), False):
        assert traces.metadata() == ()
