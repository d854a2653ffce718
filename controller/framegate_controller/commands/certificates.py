"""Certificates that only the controller's own host gives out: for servers, lines and enforcers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.names import parse_name
from framegate.identity.pem import private_pem
from framegate_controller.ca.issue import issue_enforcer, issue_line, issue_server
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.commands.options import errors, known_keys
from framegate_controller.registry_address import StoreAt
from framegate_controller.settings import ControllerSettings
from framegate_host.console import talk, typed
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
        keys = known_keys(StoreAt(state, store, store_password_file), passphrase_file)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = issue_server(keys, parse_name(name), key.public_key())
        chain = certificate.public_bytes(Encoding.PEM) + keys.issuing["server-ca"].pem
        _hand_out(out, name, private_pem(key), chain)
        write_public(out / "root.pem", keys.root.pem)
        clients = keys.generations_pem("gateway-ca", "broker-ca", "operator-ca")
        write_public(out / "clients.pem", clients + keys.root.pem)
        talk.print(f"{out}/{name}.key, {name}.pem (90 days), root.pem, clients.pem")


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
        keys = known_keys(StoreAt(state, store, store_password_file), passphrase_file)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = issue_line(keys, parse_name(line, "line"), key.public_key())
        chain = certificate.public_bytes(Encoding.PEM) + keys.issuing["broker-ca"].pem
        _hand_out(out, "line", private_pem(key), chain)
        _write_authorities(out, keys)
        talk.print(
            f"{out}: line.key, line.pem (90 days), root.pem, authorities.pem; "
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
        keys = known_keys(StoreAt(state, store, store_password_file), passphrase_file)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = issue_enforcer(keys, zone, name, key.public_key())
        chain = certificate.public_bytes(Encoding.PEM) + keys.issuing["gateway-ca"].pem
        _hand_out(out, "enforcer", private_pem(key), chain)
        _write_authorities(out, keys)
        talk.print(
            f"{out}: enforcer.key, enforcer.pem (90 days), root.pem, authorities.pem; "
            f"next: framegate-segment run --credentials {typed(out)}"
        )


def _hand_out(out: Path, name: str, key: bytes, chain: bytes) -> None:
    """Key and certificate, with its CA's, as `name` in the folder `out`."""
    private_folder(out)
    write_private(out / f"{name}.key", key)
    write_public(out / f"{name}.pem", chain)


def _write_authorities(out: Path, keys: FleetKeys) -> None:
    """The root, and the CAs whose certificates whoever has this folder is to believe."""
    write_public(out / "root.pem", keys.root.pem)
    authorities = b"".join(c.public_bytes(Encoding.PEM) for c in keys.intermediates)
    write_public(out / "authorities.pem", authorities)
