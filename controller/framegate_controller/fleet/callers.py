"""Which machine is calling: asked anew for every call and every message of a stream, but for
heartbeats of a machine of which nothing was told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose, request_key, spki_of, while_alive
from framegate.identity.enforcer import parse_enforcer
from framegate.identity.names import Kind
from framegate.machines.lifecycle import State
from framegate.registry.device import Device
from framegate.wire import GatewayPublics, sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.peer import Peer, known_peer, verify_peer
from framegate_controller.store.ports import Transaction

MAX_REMEMBERED = 1024
"""Gateway processes whose request was read once; each is some hundred bytes."""


def device_key(
    certificate: x509.Certificate, address: str, keys: FleetKeys, now: datetime
) -> bytes:
    """SHA-256 of the key with which a machine opened its connection.

    A connection outlives the certificate it was made with, which goes on naming its key: it is held
    to what it was while it lived. The caller MUST ask `standing_device` whether a later one for the
    same key is alive. Raises Refused: no certificate of this fleet, or for another purpose.
    """
    lived = while_alive(certificate, now)
    return sha256(verify_peer(certificate, address, keys, lived, Purpose.DEVICE).identity.spki)


def known_device_key(certificate: x509.Certificate, keys: FleetKeys, now: datetime) -> bytes | None:
    """The same, where it was established before: of memory alone. None where it was not."""
    known = known_peer(certificate, keys, now, Purpose.DEVICE)
    if known is None:  # nothing is remembered of a moment in which it does not live
        known = known_peer(certificate, keys, while_alive(certificate, now), Purpose.DEVICE)
    return sha256(known.spki) if known is not None else None


def standing_device(tx: Transaction, key_sha256: bytes) -> Device:
    """The machine whose present key this is. Raises Refused: replaced, retired, expired."""
    machine = tx.devices.by_tls_key(key_sha256)
    if machine is None or machine.state == State.RETIRED:
        raise Refused.of(
            Reason.CERTIFICATE, "the present key of an enrolled device", "another", "join again"
        )
    if machine.certificate_expires_ms < tx.now_ms:
        hint = "rejoin on the join port"
        raise Refused.of(Reason.CERTIFICATE_EXPIRED, "a certificate alive now", "expired", hint)
    return machine


def gateway_host(tx: Transaction, peer: Peer) -> Device:
    """The host of the calling gateway process, whose key the host's last result must vouch for.

    That `peer` is a gateway of this fleet, the caller MUST have established.
    Raises Refused (NOT_TRUSTED).
    """
    host = tx.devices.get(peer.name)
    if host is None or host.kind != Kind.GATEWAY or host.state != State.TRUSTED:
        state = host.state if host is not None else "unknown"
        raise Refused.of(Reason.NOT_TRUSTED, "a gateway on a trusted host", f"{peer.name} {state}")
    if peer.identity.spki not in {_tls_key(p.publics) for p in tx.gateways.of_host(host.id)}:
        wanted = "a gateway process that its host vouches for now"
        hint = "it was replaced; its successor is attested with the host"
        raise Refused.of(Reason.NOT_TRUSTED, wanted, "another", hint)
    return host


@dataclass(frozen=True, slots=True)
class RelyingPeer:
    """Who relies on a zone's trust: a gateway, by its host's id, or an enforcer of segments."""

    name: str
    zone: str
    enforcer: bool


def relying_peer(tx: Transaction, peer: Peer) -> RelyingPeer:
    """The gateway's host or the enforcer that calls, whose certificate's purpose says which.

    That `peer` is one of this fleet, the caller MUST have established. An enforcer's certificate is
    all that it has: it is no machine that is attested. Raises Refused (NOT_TRUSTED).
    """
    if peer.identity.purpose is Purpose.ENFORCER:
        return RelyingPeer(peer.name, parse_enforcer(peer.name).zone, True)
    host = gateway_host(tx, peer)
    return RelyingPeer(host.id, host.zone, False)


@lru_cache(maxsize=MAX_REMEMBERED)
def _tls_key(publics: bytes) -> bytes:
    """The key that a process's quoted request asks for: it is asked about every second."""
    return spki_of(request_key(GatewayPublics.parse(publics).tls_csr))
