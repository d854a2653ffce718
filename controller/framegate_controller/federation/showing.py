"""This fleet's own bundle, for others to fetch."""

from __future__ import annotations

import socket

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.federation.bundle import REFRESH_S, bundle_of
from framegate.identity.pem import private_pem
from framegate_controller.bundleport.messages import BundleSetup
from framegate_controller.bundleport.port import BundleEndpoint
from framegate_controller.ca.issue import issue_bundle_endpoint
from framegate_controller.ca.keys import FleetKeys


def shown_bundle(
    keys: FleetKeys, listener: socket.socket, refresh_s: int = REFRESH_S
) -> BundleEndpoint:
    """What shows the bundle at `listener`: its process gets that one document, and a key of its
    own for as long as it runs.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issue_bundle_endpoint(keys, key.public_key()).public_bytes(Encoding.PEM)
    setup = BundleSetup(
        key=private_pem(key),
        chain=certificate + keys.issuing["server-ca"].pem,
        document=bundle_of([keys.root.certificate], refresh_s),
    )
    return BundleEndpoint(listener, setup)
