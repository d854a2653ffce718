"""A machine's certificate for the broker.

MQTT libraries cannot use a TPM's key, so a key in memory gets a name on a topic.
"""

from __future__ import annotations

from datetime import timedelta

from cryptography import x509

from framegate.errors import Reason, Refused
from framegate.identity.certificates import from_ms
from framegate.machines.lifecycle import State
from framegate.registry.device import Device
from framegate_controller.ca.issue import issue_broker_client
from framegate_controller.context import Fleet


def broker_certificate(fleet: Fleet, device: Device, csr: bytes) -> x509.Certificate:
    """A certificate for the key that asks in `csr`, as long as the machine's own.

    Only for a machine that is trusted now. Raises Refused (NOT_TRUSTED), Malformed (CSR_KEY).
    """
    now_ms = fleet.clock()
    left_ms = device.certificate_expires_ms - now_ms
    if device.state != State.TRUSTED or left_ms <= 0:
        hint = "its next attestation comes first"
        raise Refused.of(Reason.NOT_TRUSTED, "a trusted device", device.state, hint)
    return issue_broker_client(
        fleet.keys, device.id, csr, timedelta(milliseconds=left_ms), from_ms(now_ms)
    )
