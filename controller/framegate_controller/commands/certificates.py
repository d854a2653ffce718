"""Certificates that only the controller's own host gives out: for servers, lines and enforcers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.certificates import common_name
from framegate.identity.names import parse_name
from framegate.identity.pem import private_pem
from framegate.record.fleet_events import CertificateHandedOut
from framegate_controller.ca.issue import issue_enforcer, issue_line, issue_server
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.commands.options import at_the_host, errors, known_keys, registry_at
from framegate_controller.registry_address import StoreAt
from framegate_controller.settings import ControllerSettings
from framegate_host.certificate_end import Life
from framegate_host.console import safe, talk, typed
from framegate_host.private_files import private_folder, write_private, write_public
from framegate_host.setting_flags import with_settings

Out = Annotated[Path, typer.Option(help="Folder for key, certificate and CAs.")]


@with_settings(ControllerSettings)
def server_certificate(
    name: Annotated[str, typer.Argument(help="Name of the server, for instance: broker")],
    out: Out,
    state: Path,
    store: str,
    store_password_file: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Issue a server certificate, for instance for the MQTT broker."""
    with errors():
        at = StoreAt(state, store, store_password_file)
        keys = known_keys(at, passphrase_file)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = issue_server(keys, parse_name(name), key.public_key())
        chain = certificate.public_bytes(Encoding.PEM) + keys.issuing["server-ca"].pem
        _hand_out(at, certificate, out / name, private_pem(key), chain)
        write_public(out / "root.pem", keys.root.pem)
        clients = keys.generations_pem("gateway-ca", "broker-ca", "operator-ca")
        write_public(out / "clients.pem", clients + keys.root.pem)
        talk.print(
            f"{safe(out)}/{safe(name)}.key, {safe(name)}.pem (90 days), root.pem, clients.pem"
        )


@with_settings(ControllerSettings)
def line_certificate(
    line: Annotated[str, typer.Argument(help="Name of the line; its PLC bridge is NAME-plc.")],
    out: Out,
    state: Path,
    store: str,
    store_password_file: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Issue the certificate of a line adapter (framegate-line), or of a line's PLC bridge,
    which is called NAME-plc on the broker.
    """
    with errors():
        at = StoreAt(state, store, store_password_file)
        keys = known_keys(at, passphrase_file)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = issue_line(keys, parse_name(line, "line"), key.public_key())
        chain = certificate.public_bytes(Encoding.PEM) + keys.issuing["broker-ca"].pem
        _hand_out(at, certificate, out / "line", private_pem(key), chain)
        _write_authorities(out, keys)
        talk.print(
            f"{safe(out)}: line.key, line.pem (90 days), root.pem, authorities.pem; "
            f"next: framegate-line run --credentials {typed(out)}"
        )


@with_settings(ControllerSettings)
def enforcer_certificate(
    name: Annotated[str, typer.Argument(help="Name of the enforcer, for instance: switch-1")],
    zone: Annotated[str, typer.Option(help="The fleet's zone whose segment it enforces.")],
    out: Out,
    state: Path,
    store: str,
    store_password_file: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Issue the certificate of an enforcer of a zone's segments (framegate-segment)."""
    with errors():
        at = StoreAt(state, store, store_password_file)
        keys = known_keys(at, passphrase_file)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = issue_enforcer(keys, zone, name, key.public_key())
        chain = certificate.public_bytes(Encoding.PEM) + keys.issuing["gateway-ca"].pem
        _hand_out(at, certificate, out / "enforcer", private_pem(key), chain)
        _write_authorities(out, keys)
        talk.print(
            f"{safe(out)}: enforcer.key, enforcer.pem (90 days), root.pem, authorities.pem; "
            f"next: framegate-segment run --credentials {typed(out)}"
        )


def _hand_out(
    at: StoreAt, certificate: x509.Certificate, place: Path, key: bytes, chain: bytes
) -> None:
    """Key and certificate, with its CA's, at `place` with the suffixes .key and .pem, once the
    record says that it was made: what is in nobody's record is in nobody's hands.
    """
    private_folder(place.parent)
    life = Life.of(certificate)
    handed = CertificateHandedOut(
        subject=common_name(certificate),
        serial=f"{certificate.serial_number:x}",
        begins_ms=int(life.begins.timestamp() * 1000),
        ends_ms=int(life.ends.timestamp() * 1000),
    )
    with registry_at(at) as registry, at_the_host(registry) as tx:
        tx.record(handed)
    write_private(place.with_name(f"{place.name}.key"), key)
    write_public(place.with_name(f"{place.name}.pem"), chain)


def _write_authorities(out: Path, keys: FleetKeys) -> None:
    """The root, and the CAs whose certificates whoever has this folder is to believe."""
    write_public(out / "root.pem", keys.root.pem)
    authorities = b"".join(c.public_bytes(Encoding.PEM) for c in keys.intermediates)
    write_public(out / "authorities.pem", authorities)
