"""A simulated network with an enforcer of its router: on the kernel's own packet filter, and told
of trust by whoever tries it.
"""

from __future__ import annotations

import time
from typing import Final

from framegate.segment.nft import LOG_GROUP
from framegate.segment.policy import Segment
from framegate_segment.enforcement.enforcer import Cut, Enforcer, Standing
from framegate_segment.enforcement.kernel import Kernel
from framegate_segment.netlink.namespace import Namespace
from framegate_segment.netlink.packet_log import PacketLog
from framegate_simulators.plant.namespaces import ROUTER, Network

CAM1: Final = "camera.line-1.cam1"
GW1: Final = "gateway.line-1.gw1"
FAR_S: Final = 3_600.0


class Site:
    """A network, and an enforcer of its router."""

    def __init__(self, network: Network, segment: Segment) -> None:
        self.network, self.segment = network, segment
        namespace = Namespace(network.file(ROUTER))
        self.kernel = Kernel(namespace)
        self.log = PacketLog(LOG_GROUP, namespace)
        self.enforcer = Enforcer(self.kernel)
        self.enforcer.enforce(segment)
        self.gateway = network.wires["gw"]

    def trust(self, *devices: str) -> None:
        """They are trusted now."""
        ends = time.monotonic() + FAR_S
        self.enforcer.update({d: Standing("trusted", ends) for d in devices})

    def revoke(self, device: str = CAM1) -> float:
        """It is quarantined; when that was heard."""
        heard = time.monotonic()
        self.enforcer.update({device: Standing("quarantined", 0)})
        return heard

    def finish(self) -> list[Cut]:
        """Cuts, once they are done."""
        while (due := self.enforcer.next_finish_s) is not None and due > 0:
            time.sleep(due)
        return self.enforcer.finish()

    def close(self) -> None:
        """Let go of the kernel."""
        self.log.close()
        self.kernel.close()
