"""The packet filter of one network namespace, as enforcement uses it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from framegate.segment.nft import TABLE
from framegate.segment.trusted_sets import Element
from framegate_segment.enforcement.ruleset import Ruleset
from framegate_segment.netlink.channel import Channel
from framegate_segment.netlink.conntrack import ConnectionTable, Tracked
from framegate_segment.netlink.namespace import Namespace
from framegate_segment.netlink.ruleset_events import RulesetEvents
from framegate_segment.netlink.set_elements import BRIDGE, Life, SetElements

_STRICT: Final = Path("/proc/sys/net/netfilter/nf_conntrack_tcp_loose")
"""With 1, a stream whose entry was ended is taken up again in its middle."""
_BRIDGED: Final = Path("/proc/sys/net/bridge")


def _switch_off(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.write_text("0")


class PacketFilter(Protocol):
    """What enforcement asks of the kernel."""

    def install(self, rules: str) -> None:
        """Put all rules anew, and keep what stands in sets."""

    def put(self, lives: Sequence[Life]) -> None:
        """Let elements stand for their time from now on."""

    def remove(self, elements: Iterable[Element]) -> None:
        """Take elements out."""

    def standing(self, set_name: str) -> Mapping[Element, int]:
        """What stands in a set."""

    def connections(self, addresses: frozenset[bytes]) -> list[Tracked]:
        """Connections of these addresses."""

    def end(self, connections: Sequence[Tracked]) -> int:
        """End connections."""


class Kernel:
    """The packet filter of a network namespace. Raises Unavailable or Refused."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        with namespace.entered():
            self._channel = Channel()
            self.events = RulesetEvents(frozenset({TABLE}), self._ours)
        self._sets = SetElements(self._channel, TABLE)
        self.bridge_sets = SetElements(self._channel, TABLE, BRIDGE)
        self._connections = ConnectionTable(self._channel)
        self._ruleset = Ruleset()

    def install(self, rules: str) -> None:
        """See `PacketFilter`; and what the kernel does with streams and bridges beside rules."""
        with self._namespace.entered():
            self._ruleset.install(rules)
            _switch_off(_STRICT)
            # frames of a bridge are for its own table, not for the one between zones
            _switch_off(_BRIDGED / "bridge-nf-call-iptables")
            _switch_off(_BRIDGED / "bridge-nf-call-ip6tables")

    @property
    def strict(self) -> bool:
        """Whether a stream is never taken up in its middle."""
        try:
            with self._namespace.entered():
                return _STRICT.read_text().strip() == "0"
        except OSError:
            return False

    def put(self, lives: Sequence[Life]) -> None:
        """See `PacketFilter`."""
        self._sets.put(lives)

    def remove(self, elements: Iterable[Element]) -> None:
        """See `PacketFilter`."""
        self._sets.remove(elements)

    def standing(self, set_name: str) -> Mapping[Element, int]:
        """See `PacketFilter`."""
        return self._sets.standing(set_name)

    def connections(self, addresses: frozenset[bytes]) -> list[Tracked]:
        """See `PacketFilter`."""
        return self._connections.of(addresses)

    def end(self, connections: Sequence[Tracked]) -> int:
        """See `PacketFilter`."""
        return self._connections.end(connections)

    def close(self) -> None:
        """Let go of the sockets; rules and elements stay, and end by themselves."""
        self._channel.close()
        self.events.channel.close()

    def _ours(self, port_id: int) -> bool:
        return port_id == self._channel.port_id or self._ruleset.installed_by(port_id)
