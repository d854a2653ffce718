"""N138: what limits count strangers by."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate_host.prefixes import MAX_NAME, prefix_of


@pytest.mark.parametrize(
    ("peer", "prefix"),
    [
        ("ipv4:10.0.0.1", "10.0.0.1"),
        ("ipv6:%5B2001:db8:0:1::1%5D", "2001:db8:0:1::/64"),
        ("ipv6:[2001:db8:0:1:ffff:ffff:ffff:ffff]", "2001:db8:0:1::/64"),
        ("ipv6:%5B2001:db8:0:2::1%5D", "2001:db8:0:2::/64"),
        ("ipv6:%5B::ffff:10.0.0.1%5D", "10.0.0.1"),
        ("ipv6:%5Bfe80::1%25eth0%5D", "fe80::/64"),
        ("ipv4:10.0.0.1:5000", "10.0.0.1"),
        ("ipv6:%5B2001:db8:0:1::1%5D:5000", "2001:db8:0:1::/64"),
        ("10.0.0.1", "10.0.0.1"),
        ("unix:", "unix:"),
        ("peer", "peer"),
        ("", ""),
        ("ipv4:10.0.0.256", "ipv4:10.0.0.256"),
    ],
)
def test_n138_an_ipv4_address_or_an_ipv6_64_is_one(peer, prefix):
    assert prefix_of(peer) == prefix


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_n138_every_address_of_a_64_counts_as_one(address, host):
    if address.ipv4_mapped is not None:
        return
    beside = ipaddress.IPv6Address(int(address) >> 64 << 64 | host)
    if beside.ipv4_mapped is None:
        assert prefix_of(f"ipv6:%5B{address}%5D") == prefix_of(f"ipv6:%5B{beside}%5D")


@given(st.text(max_size=300))
def test_whatever_a_peer_is_called_its_prefix_is_short(peer):
    assert len(prefix_of(peer)) <= MAX_NAME
