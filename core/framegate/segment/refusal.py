"""Why something does not pass, as a packet's log prefix says it: a closed grammar, written by the
compiler and read by the enforcer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.segment.policy import Mode

MAX_PREFIX: Final = 127
"""NF_LOG_PREFIXLEN less its zero (include/uapi/linux/netfilter/nf_log.h)."""
NO_CONDUIT: Final = "-"
_PREFIX: Final = re.compile(
    r"fg (allow|drop|would-drop|observed) ([a-zA-Z0-9._-]{1,40}) ([a-z-]{1,20}) "
)


class Verdict(StrEnum):
    """What becomes of a packet. Only the first is *allowed*: what a stage or an observation lets
    through is never called so.
    """

    ALLOW = "allow"
    DROP = "drop"
    WOULD_DROP = "would-drop"
    OBSERVED = "observed"


class Why(StrEnum):
    """Why a packet has another verdict than allow."""

    NONE = "-"
    TRUST_FROM = "trust-from"  # the conduit's near end is not trusted now
    TRUST_TO = "trust-to"  # its far end is not
    NO_CONDUIT = "no-conduit"  # no conduit carries it
    TO_ENFORCER = "to-enforcer"  # it is for the enforcer itself
    PEERS = "peers"  # from host to host of one bridge
    UNKNOWN_PORT = "unknown-port"  # a bridge port that no zone names
    MAC = "mac"  # somebody else's MAC address on this port
    ARP = "arp"
    ADDRESS = "address"  # somebody else's address on this port
    NEIGHBOUR = "neighbour"  # a neighbour advertisement for somebody else's address
    ROUTER = "router"  # a router advertisement or redirect from a device's port
    DHCP = "dhcp"  # a DHCP server behind a device's port
    FRAGMENT = "fragment"  # an IPv6 fragment or routing header, which hides what follows
    UNADMITTED = "unadmitted"  # 802.1X has not opened the port for this MAC address
    ETHERTYPE = "ethertype"  # neither ARP, IPv4 nor IPv6, a VLAN tag among them


SPOOFED: Final = frozenset(
    {
        Why.MAC,
        Why.ARP,
        Why.ADDRESS,
        Why.NEIGHBOUR,
        Why.ROUTER,
        Why.DHCP,
        Why.FRAGMENT,
        Why.ETHERTYPE,
    }
)
"""Reasons of a guarded port: somebody speaks as somebody else. `where` is then the port."""

FEED_LOST: Final = "the trust feed is lost"
"""Words of an enforcer that renews nobody, in what it says of a refusal."""
VERDICTS: Final = {
    Mode.ENFORCE: Verdict.DROP,
    Mode.STAGE: Verdict.WOULD_DROP,
    Mode.OBSERVE: Verdict.OBSERVED,
}
"""What a refusal comes to, by how far its place is enforced."""


@dataclass(frozen=True, slots=True)
class Told:
    """A packet's fate: the verdict, where it was decided (a conduit, a bridge port, or `-`), and
    why.
    """

    verdict: Verdict
    where: str
    why: Why

    @property
    def prefix(self) -> str:
        """As it stands before a logged packet."""
        return f"fg {self.verdict} {self.where} {self.why} "

    @classmethod
    def parse(cls, prefix: str) -> Told:
        """Out of `prefix`. Raises Malformed (SEGMENT): somebody else's rule logs to our group."""
        matched = _PREFIX.fullmatch(prefix)
        if matched is None or matched[3] not in set(Why):
            raise Malformed.of(Reason.SEGMENT, "a prefix of our rules", ascii(prefix)[:80])
        return cls(Verdict(matched[1]), matched[2], Why(matched[3]))
