"""Graphs that may run."""

from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.graph import verify_graph
from framegate_simulators.fixtures.networks import network


def test_the_default_network_is_a_graph_as_it_must_be():
    verify_graph(load_bundle(DEFAULT_BUNDLE).model, 6)
    verify_graph(network(), 6)


@given(st.binary(max_size=400), st.integers(0, 2_000))
def test_graphs_of_any_bytes_raise_only_our_errors(data, at):
    raw = bytearray(network())
    raw[at % len(raw) : at % len(raw) + len(data)] = data
    for candidate in (data, bytes(raw)):
        try:
            verify_graph(candidate, 6)
        except Malformed:
            continue
