"""Where a sink may be: nothing that hides a credential, and plain text to this machine alone."""

import pytest

from framegate.errors import Malformed
from framegate.registry.sink import TRAITS, SinkKind, parse_address, parse_channel


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("file", ""),
        ("stdout", ""),
        ("syslog", "logs.example.net:6514"),
        ("syslog", "[2001:db8::1]:6514"),
        ("kafka", "a:9093,b:9093"),
        ("otlp", "collector:4317"),
        ("otlp", "https://collector.example.net"),
        ("hec", "https://splunk.example.net:8088"),
        ("elastic", "http://127.0.0.1:9200"),
        ("webhook", "https://x.example.net/hooks/7"),
    ],
)
def test_good_addresses(kind, address):
    assert parse_address(SinkKind(kind), address) == address


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("file", "/etc/passwd"),
        ("stdout", "x"),
        ("hec", ""),
        ("hec", "http://splunk.example.net"),
        ("hec", "https://user:pass@splunk.example.net"),
        ("hec", "https://splunk.example.net?token=1"),
        ("hec", "https://splunk.example.net#x"),
        ("hec", "https://"),
        ("hec", "https://x:99999"),
        ("hec", "ftp://x"),
        ("hec", "file:///etc/passwd"),
        ("webhook", "https://ex\u00e4mple.net"),
        ("webhook", "https://" + "x" * 600),
        ("elastic", "http://127.0.0.1.example.net:9200"),
        ("syslog", "logs.example.net"),
        ("syslog", "logs:0"),
        ("syslog", "logs:65536"),
        ("syslog", "logs:6514x"),
        ("syslog", "lo gs:6514"),
        ("syslog", ":6514"),
        ("syslog", "\u0661:6514"),
        ("kafka", "a:9093,,b:9093"),
        ("kafka", "a:9093,b"),
        ("mqtt", "mqtt://broker:8883"),
        ("otlp", "http://collector.example.net"),
        ("otlp", "unix:/run/x"),
    ],
)
def test_n150_bad_addresses(kind, address):
    with pytest.raises(Malformed):
        parse_address(SinkKind(kind), address)


@pytest.mark.parametrize("channel", ["a b", "x" * 201, "a\n", "#", "a/+", '"'])
def test_bad_channels(channel):
    with pytest.raises(Malformed):
        parse_channel(SinkKind.MQTT, channel)


def test_a_kind_without_channels_takes_none_and_the_others_have_one_of_their_own():
    with pytest.raises(Malformed, match="has none"):
        parse_channel(SinkKind.SYSLOG, "x")
    for kind, traits in TRAITS.items():
        assert parse_channel(kind, "") == traits.channel
    assert set(TRAITS) == set(SinkKind)
