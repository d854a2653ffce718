"""framegate-controller: make a fleet, run its controller, and what only the controller's own host may do."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import logging
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Refused
from framegate.identity import parse_name
from framegate_controller.ca.issuance import OPERATOR_LIFE, issue_line, issue_operator, issue_profile_signer, issue_server
from framegate_controller.ca.keys import FleetKeys, found_fleet, load_fleet, private_pem, write_private
from framegate_controller.cli.output import errors, talk
from framegate_controller.server import Controller, Settings, now_ms
from framegate_controller.store.database import Database
from framegate_controller.store.evidence import add_allowlist
from framegate_controller.timing import DEFAULT_INTERVAL_MS, MAX_INTERVAL_MS, MIN_INTERVAL_MS, Timing
from framegate_controller.verifier.profiles import add_profile

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The Framegate controller: verifier, registrar and certificate authority of a fleet.")
profiles = typer.Typer(no_args_is_help=True, help="Firmware profiles.")
app.add_typer(profiles, name="profile")
State = Annotated[Path, typer.Option("--state", envvar="FRAMEGATE_CONTROLLER_STATE", help="Folder of the controller's keys and registry.")]
DEFAULT_STATE = Path("/var/lib/framegate-controller")


@app.command()
def init(
    state: State = DEFAULT_STATE, fleet: Annotated[str, typer.Option(help="Name of the fleet.")] = "plant",
    operator: Annotated[str | None, typer.Option(help="Name of the first operator; default: your login name.")] = None,
    fleet_address: Annotated[str, typer.Option(help="host:port of the fleet port, for the operator's context.")] = "127.0.0.1:7444",
    context: Annotated[Path | None, typer.Option(help="Where to write the first operator's credential; default: STATE/operator-NAME.json")] = None,
) -> None:  # fmt: skip
    """Make a fleet: its root, issuing CAs, signing keys, registry, and the first operator's credential."""
    with errors():
        keys = found_fleet(state / "keys", parse_name(fleet, "fleet"))
        Database(state / "registry.db").close()
        path = _operator(keys, state, operator or getpass.getuser(), fleet_address, context)
        talk.print(f"fleet [bold]{fleet}[/] made in {state}")
        talk.print(f"operator credential (valid {OPERATOR_LIFE.total_seconds() / 3600:.0f} h): {path}")
        talk.print("next: framegate-controller profile add FILE; framegate-controller run")


@app.command("operator")
def operator_credential(
    name: Annotated[str, typer.Argument(help="The operator's name.")], state: State = DEFAULT_STATE, fleet_address: str = "127.0.0.1:7444",
    context: Annotated[Path | None, typer.Option(help="Where to write it; default: STATE/operator-NAME.json")] = None,
) -> None:  # fmt: skip
    """Issue an operator's credential anew. Whoever can read the CA's key may do this; there is no other way in yet."""
    with errors():
        talk.print(str(_operator(load_fleet(state / "keys"), state, name, fleet_address, context)))


@app.command("server-certificate")
def server_certificate(
    name: Annotated[str, typer.Argument(help="Name of the server, for instance: broker")], out: Annotated[Path, typer.Option(help="Folder for key, certificate and CAs.")],
    state: State = DEFAULT_STATE,
) -> None:  # fmt: skip
    """Issue a server certificate, for instance for the MQTT broker."""
    with errors():
        keys = load_fleet(state / "keys")
        key = ec.generate_private_key(ec.SECP256R1())
        out.mkdir(parents=True, exist_ok=True)
        write_private(out / f"{name}.key", private_pem(key))
        (out / f"{name}.pem").write_bytes(issue_server(keys, parse_name(name), key.public_key()).public_bytes(Encoding.PEM) + keys.issuing["server-ca"].pem)
        (out / "root.pem").write_bytes(keys.root.pem)
        (out / "clients.pem").write_bytes(b"".join(keys.issuing[n].pem for n in ("gateway-ca", "broker-ca", "operator-ca")) + keys.root.pem)
        talk.print(f"{out}/{name}.key, {name}.pem, root.pem, clients.pem")


@app.command("line-certificate")
def line_certificate(
    line: Annotated[str, typer.Argument(help="Name of the line; its PLC bridge is NAME-plc.")], out: Annotated[Path, typer.Option(help="Folder for key, certificate and CAs.")],
    state: State = DEFAULT_STATE,
) -> None:  # fmt: skip
    """Issue the certificate of a line adapter (framegate-line), or of a line's PLC bridge, which is called NAME-plc on the broker."""
    with errors():
        keys = load_fleet(state / "keys")
        key = ec.generate_private_key(ec.SECP256R1())
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(out / "line.key", private_pem(key))
        (out / "line.pem").write_bytes(issue_line(keys, parse_name(line, "line"), key.public_key()).public_bytes(Encoding.PEM) + keys.issuing["broker-ca"].pem)
        (out / "root.pem").write_bytes(keys.root.pem)
        (out / "authorities.pem").write_bytes(b"".join(k.pem for k in keys.issuing.values()))
        talk.print(f"{out}: line.key, line.pem (30 days), root.pem, authorities.pem; next: framegate-line run --credentials {out}")


@profiles.command("add")
def profile_add(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)], state: State = DEFAULT_STATE,
    allowlist: Annotated[list[Path] | None, typer.Option(exists=True, dir_okay=False, help="An IMA allowlist that the profile names; may be repeated.")] = None,
) -> None:  # fmt: skip
    """Sign a firmware profile with the controller's own key and put it in force."""
    with errors():
        keys, database = load_fleet(state / "keys"), Database(state / "registry.db")
        try:
            with database.transaction() as session:
                for each in allowlist or ():
                    add_allowlist(session, each.read_bytes(), now_ms())
                profile = add_profile(session, keys, file.read_bytes(), f"host.{getpass.getuser()}", now_ms())
        finally:
            database.close()
        talk.print(f"profile {profile.name} {profile.version} revision {profile.revision} is in force")


@profiles.command("allowlist")
def profile_allowlist(files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)], state: State = DEFAULT_STATE) -> None:
    """Put IMA allowlists into the store, before a profile that names them; large ones do not fit through the operators' port."""
    with errors():
        database = Database(state / "registry.db")
        try:
            for file in files:
                with database.transaction() as session:
                    found = add_allowlist(session, file.read_bytes(), now_ms())
                talk.print(f"sha256:{found.digest.hex()}: {found.size} files")
        finally:
            database.close()


@profiles.command("signer")
def profile_signer(
    name: Annotated[str, typer.Argument(help="Who signs, for instance: carla")], out: Annotated[Path, typer.Option(help="Where to write key and certificate (PEM).")],
    state: State = DEFAULT_STATE, days: Annotated[int, typer.Option(min=1, max=730)] = 365,
) -> None:  # fmt: skip
    """Make a profile signer: a key whose signature on a firmware profile counts in this fleet until it is revoked. Use: framegate profile sign."""
    with errors():
        keys, key = load_fleet(state / "keys"), ec.generate_private_key(ec.SECP256R1())
        certificate = issue_profile_signer(keys, parse_name(name, "signer"), key.public_key(), timedelta(days=days))
        write_private(out, private_pem(key) + certificate.public_bytes(Encoding.PEM))
        talk.print(f"{out}: key and certificate of profile signer {name}, {days} days; next: framegate profile sign FILE --key {out}")


@app.command()
def run(
    state: State = DEFAULT_STATE, host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    advertise: Annotated[str, typer.Option(help="Host that tickets name; default: --host.")] = "",
    join_port: int = 7443, fleet_port: int = 7444,
    attest_interval: Annotated[float, typer.Option(min=MIN_INTERVAL_MS / 1000, max=MAX_INTERVAL_MS / 1000, help="Seconds; other deadlines follow.")] = DEFAULT_INTERVAL_MS / 1000,
    ready_file: Annotated[Path | None, typer.Option(help="Written as JSON once both ports are open.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:  # fmt: skip
    """Run the controller: the join port and the fleet port."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    with errors():
        if host in {"0.0.0.0", "::"} and not advertise:  # noqa: S104 - asked about, not bound
            raise Refused.of(Reason.USAGE, "--advertise HOST beside --host 0.0.0.0", "none", "name the address that cameras reach")
        settings = Settings(state, host, join_port, fleet_port, advertise or host, Timing(int(attest_interval * 1000)))

        async def main() -> None:
            controller = Controller(settings)
            await controller.start()
            talk.print(f"join port {controller.join_address}, fleet port {controller.fleet_address}, attest interval {attest_interval:g} s")
            if ready_file is not None:
                body = {"join": controller.join_address, "fleet": controller.fleet_address}
                ready_file.with_suffix(".tmp").write_text(json.dumps(body))
                ready_file.with_suffix(".tmp").replace(ready_file)
            stop = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            await stop.wait()
            await controller.stop()

        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(main())


def _operator(keys: FleetKeys, state: Path, name: str, fleet_address: str, context: Path | None) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issue_operator(keys, parse_name(name, "operator name"), key.public_key())
    body = {
        "fleet_address": fleet_address, "server_name": f"controller.{keys.fleet}.framegate", "root": keys.root.pem.decode(),
        "certificate": (certificate.public_bytes(Encoding.PEM) + keys.issuing["operator-ca"].pem).decode(), "key": private_pem(key).decode(),
        "authorities": "".join(k.pem.decode() for k in keys.issuing.values()),
    }  # fmt: skip
    path = context or state / f"operator-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, json.dumps(body, indent=1).encode())
    return path


def run_app() -> None:
    """Entry point."""
    app(prog_name="framegate-controller")
