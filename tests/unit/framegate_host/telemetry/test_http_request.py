"""A head of HTTP is one of the few that are answered, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate_host.telemetry.http_request import HttpRequest, parse_request


def test_what_prometheus_sends_is_read():
    head = (
        b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9464\r\nUser-Agent: Prometheus/2.42.0\r\n"
        b"Accept: application/openmetrics-text;version=1.0.0\r\nAccept-Encoding: gzip"
    )
    wanted = "application/openmetrics-text;version=1.0.0"
    assert parse_request(head) == HttpRequest("/metrics", frozenset(), wanted, False)


@pytest.mark.parametrize("query", ["verbose", "verbose=", "verbose=1", "a=1&verbose"])
def test_names_of_a_query_are_read(query):
    asked = parse_request(f"HEAD /readyz?{query} HTTP/1.0".encode())
    assert asked is not None and "verbose" in asked.query and asked.head_only


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET /metrics",
        b"GET  /metrics HTTP/1.1",
        b"POST /metrics HTTP/1.1",
        b"GET http://127.0.0.1/metrics HTTP/1.1",
        b"GET /metrics HTTP/2.0",
        b"GET /metrics HTTP/1.1\nHost: x",
        b"GET /met\x00rics HTTP/1.1",
        b"GET /" + b"a" * 256 + b" HTTP/1.1",
        b"GET /metrics HTTP/1.1\r\nContent-Length: 5",
        b"GET /metrics HTTP/1.1\r\ntransfer-encoding: chunked",
        b"GET /metrics HTTP/1.1\r\nno colon",
        b"GET /metrics HTTP/1.1\r\nHost: \xff",
        b"GET /metrics HTTP/1.1\r\nHost: " + b"a" * 9000,
        b"GET /readyz?" + b"&".join(b"a" for _ in range(30)) + b" HTTP/1.1",
    ],
)
def test_anything_else_is_not(head):
    assert parse_request(head) is None


@given(st.binary(max_size=400))
def test_no_bytes_raise(head):
    parse_request(head)
    parse_request(b"GET /metrics HTTP/1.1\r\n" + head)
