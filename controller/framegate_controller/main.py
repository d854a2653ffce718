"""framegate-controller: make a fleet, run its controller, and what only the controller's own host may do."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Refused
from framegate.identity.names import parse_name
from framegate.identity.pem import private_pem
from framegate_controller.ca.issuance import issue_line, issue_profile_signer, issue_server
from framegate_controller.ca.keyring import PASSPHRASE_ENV
from framegate_controller.ca.keys import found_fleet, load_fleet
from framegate_controller.fleet.profiles import add_profile
from framegate_controller.people.factors import hash_password
from framegate_controller.people.oidc import OidcSettings
from framegate_controller.people.operators import find_operator, quorum, reset_factors
from framegate_controller.people.policies import ensure_policy
from framegate_controller.people.signin import found_operator, seal_break_glass
from framegate_controller.server import Controller, Settings, now_ms
from framegate_controller.store.database import Database
from framegate_controller.store.evidence import add_allowlist
from framegate_controller.timing import DEFAULT_INTERVAL_MS, MAX_INTERVAL_MS, MIN_INTERVAL_MS, Timing
from framegate_host import console
from framegate_host.console import show_json, talk
from framegate_host.logs import start_logging
from framegate_host.operator_context import context_body
from framegate_host.private_files import private_folder, write_private
from framegate_host.sign_in_prompts import ask_password, show_authenticator, show_recovery_codes
from framegate_host.signals import run_service, until_stopped
from framegate_host.whole_file import write_ready

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The Framegate controller: verifier, registrar and certificate authority of a fleet.")
profiles = typer.Typer(no_args_is_help=True, help="Firmware profiles.")
app.add_typer(profiles, name="profile")
Passphrase = Annotated[
    Path | None, typer.Option("--passphrase-file", envvar=PASSPHRASE_ENV, help="What the key files are encrypted with; default: a file beside them, made by init.")
]
State = Annotated[Path, typer.Option("--state", envvar="FRAMEGATE_CONTROLLER_STATE", help="Folder of the controller's keys and registry.")]
DEFAULT_STATE = Path("/var/lib/framegate-controller")




def errors() -> AbstractContextManager[None]:
    """As `console.errors`, each failure with the next command: its own hint, or this one's help."""
    return console.errors(following={})


@app.command()
def init(
    state: State = DEFAULT_STATE, fleet: Annotated[str, typer.Option(help="Name of the fleet.")] = "plant",
    operator: Annotated[str | None, typer.Option(help="Name of the first operator; default: your login name.")] = None,
    join_address: Annotated[str, typer.Option(help="host:port of the join port, where operators sign in.")] = "127.0.0.1:7443",
    fleet_address: Annotated[str, typer.Option(help="host:port of the fleet port, for the operators' context.")] = "127.0.0.1:7444",
    context: Annotated[Path | None, typer.Option(help="Where to write the operators' context; default: STATE/context.json")] = None,
    password_file: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="The first operator's password; default: ask.")] = None,
    ca_keys: Annotated[str, typer.Option(help="Where CA keys are held: pkcs11:module=FILE;token=LABEL;pin-file=FILE, or tpm:TCTI; default: encrypted files.")] = "",
    passphrase_file: Passphrase = None, output: Annotated[str, typer.Option("--output", "-o", help="table or json")] = "table",
) -> None:  # fmt: skip
    """Make a fleet: its keys, registry, access policy and first operator, whose second factor and recovery codes are shown once."""
    with errors():
        name = parse_name(operator or getpass.getuser(), "operator name")
        parse_name(fleet, "fleet")
        if (state / "keys" / "root.pem").exists():
            raise Refused.of(Reason.CONFLICT, f"no fleet in {state}", "a root key", "use another --state folder, or keep this fleet")
        password = ask_password(f"new password of {name}", password_file, new=True)
        hash_password(password)  # before anything is made
        keys = found_fleet(state / "keys", fleet, ca_keys, passphrase_file)
        database = Database(state / "registry.db")
        try:
            with database.transaction() as session:
                ensure_policy(session, keys, now_ms())
                uri, codes = found_operator(session, keys, name, password, now_ms())
        finally:
            database.close()
        path = context or state / "context.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, json.dumps(context_body(join_address, fleet_address, f"controller.{fleet}.framegate", keys.root.pem.decode())).encode())
        if output == "json":
            show_json({"fleet": fleet, "operator": name, "context": str(path), "totp_uri": uri, "recovery_codes": codes})
            return
        talk.print(f"fleet [bold]{fleet}[/] made in {state}; CA keys: {keys.keyring.words}")
        show_authenticator(uri)
        show_recovery_codes(codes)
        talk.print(f"context for operators: {path}")
        talk.print(f"next: framegate-controller profile add FILE; framegate-controller run; framegate login {name} --context {path}")


@app.command("break-glass")
def break_glass(
    out: Annotated[Path, typer.Option(help="Where to write the sealed credential; print it, put it into an envelope, delete the file.")],
    state: State = DEFAULT_STATE,
    passphrase_file: Passphrase = None,
) -> None:
    """Seal a credential for the day when nobody else can sign in or approve: admin and security for an hour, once, and everybody is told.

    Used with: framegate login NAME --break-glass FILE. A new one takes the place of the old.
    """
    with errors():
        load_fleet(state / "keys", passphrase_file)
        database = Database(state / "registry.db")
        try:
            with database.transaction() as session:
                code = seal_break_glass(session, now_ms(), f"host.{getpass.getuser()}")
        finally:
            database.close()
        write_private(out, code.encode() + b"\n")
        talk.print(f"{out}: a sealed credential, good once; whoever uses it is told to everybody until somebody else has looked into it")


@app.command("recover-operator")
def recover_operator(name: Annotated[str, typer.Argument(help="The operator's name.")], state: State = DEFAULT_STATE) -> None:
    """A new enrolment code for an operator who lost every factor, while nobody else can help. Works only as long as the quorum is one; else use break-glass."""
    with errors():
        database = Database(state / "registry.db")
        try:
            with database.transaction() as session:
                if quorum(session) > 1:
                    raise Refused.of(Reason.APPROVAL_NEEDED, "a fleet whose decisions take one person", f"{quorum(session)}", f"somebody else: framegate operator reset-mfa {name}")
                code = reset_factors(session, find_operator(session, name), f"host.{getpass.getuser()}", now_ms())
        finally:
            database.close()
        talk.print(f"next, within 24 h: framegate login {name} --enrol")
        print(code)


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
        (out / "clients.pem").write_bytes(keys.generations_pem("gateway-ca", "broker-ca", "operator-ca") + keys.root.pem)
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
        private_folder(out)
        write_private(out / "line.key", private_pem(key))
        (out / "line.pem").write_bytes(issue_line(keys, parse_name(line, "line"), key.public_key()).public_bytes(Encoding.PEM) + keys.issuing["broker-ca"].pem)
        (out / "root.pem").write_bytes(keys.root.pem)
        (out / "authorities.pem").write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in keys.intermediates))
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
    passphrase_file: Passphrase = None,
    witness: Annotated[list[Path] | None, typer.Option(help="A file that gets every signed head of the log, best on another machine's disk; may be repeated.")] = None,
    oidc_issuer: Annotated[str, typer.Option(help="An OpenID Connect provider's issuer, for framegate login --oidc.")] = "",
    oidc_client_id: Annotated[str, typer.Option(help="This fleet's client there.")] = "",
    oidc_client_secret_file: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Its secret, where it is a confidential client.")] = None,
    oidc_ca: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="PEM of the provider's CA, where it is not a public one.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:  # fmt: skip
    """Run the controller: the join port and the fleet port."""
    start_logging(verbose=verbose)
    with errors():
        if host in {"0.0.0.0", "::"} and not advertise:  # noqa: S104 - asked about, not bound
            raise Refused.of(Reason.USAGE, "--advertise HOST beside --host 0.0.0.0", "none", "name the address that cameras reach")
        if bool(oidc_issuer) != bool(oidc_client_id):
            raise Refused.of(Reason.USAGE, "--oidc-issuer and --oidc-client-id together", "one of them")
        secret = oidc_client_secret_file.read_text().strip() if oidc_client_secret_file else ""
        oidc = OidcSettings(oidc_issuer, oidc_client_id, secret, oidc_ca) if oidc_issuer else None
        settings = Settings(
            state, host, join_port, fleet_port, advertise or host, Timing(int(attest_interval * 1000)), passphrase_file=passphrase_file, oidc=oidc,
            witness=tuple(witness or ()),
        )  # fmt: skip

        async def main() -> None:
            controller = Controller(settings)
            await controller.start()
            talk.print(f"join port {controller.join_address}, fleet port {controller.fleet_address}, attest interval {attest_interval:g} s")
            if ready_file is not None:
                addresses = {"join": controller.join_address, "fleet": controller.fleet_address}
                write_ready(ready_file, addresses)
            await until_stopped(asyncio.Event().wait())
            await controller.stop()

        with contextlib.suppress(KeyboardInterrupt):
            run_service(main())


def run_app() -> None:
    """Entry point."""
    app(prog_name="framegate-controller")
