"""This fleet's own bundle, for others to fetch."""

from __future__ import annotations

import socket
from collections.abc import Callable

from framegate.federation.bundle import REFRESH_S, bundle_of
from framegate_controller.bundleport.messages import BundleSetup
from framegate_controller.bundleport.port import BundleEndpoint
from framegate_controller.ca.issue import issue_bundle_endpoint
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.server_pair import RenewedPair


def shown_bundle(
    keys: Callable[[], FleetKeys],
    listener: socket.socket,
    refresh_s: int = REFRESH_S,
    *,
    unconfined: bool = False,
) -> BundleEndpoint:
    """What shows the bundle at `listener`: its process gets that one document, and a key of its
    own, the next of which comes with another process. `unconfined`: though the kernel cannot
    confine it.
    """
    pair = RenewedPair(issue_bundle_endpoint, keys)
    document = bundle_of([keys().root.certificate], refresh_s)

    def setup() -> BundleSetup:
        key, chain = pair()
        return BundleSetup(key=key, chain=chain, document=document)

    return BundleEndpoint(listener, setup, unconfined=unconfined)
