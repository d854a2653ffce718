"""Run the controller."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Annotated

import typer

from framegate.errors import Reason, Refused
from framegate_controller.commands.options import DEFAULT_STATE, Passphrase, State, errors
from framegate_controller.people.oidc import OidcSettings
from framegate_controller.server import Controller, Settings
from framegate_controller.timing import (
    DEFAULT_INTERVAL_MS,
    MAX_INTERVAL_MS,
    MIN_INTERVAL_MS,
    Timing,
)
from framegate_host.console import talk
from framegate_host.logs import start_logging
from framegate_host.signals import run_service, until_stopped
from framegate_host.whole_file import write_ready


def run(
    state: State = DEFAULT_STATE,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    advertise: Annotated[str, typer.Option(help="Host that tickets name; default: --host.")] = "",
    join_port: int = 7443,
    fleet_port: int = 7444,
    attest_interval: Annotated[
        float,
        typer.Option(
            min=MIN_INTERVAL_MS / 1000,
            max=MAX_INTERVAL_MS / 1000,
            help="Seconds; other deadlines follow.",
        ),
    ] = DEFAULT_INTERVAL_MS / 1000,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written as JSON once both ports are open.")
    ] = None,
    passphrase_file: Passphrase = None,
    witness: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file that gets every signed head of the log, best on another machine's disk; "
            "may be repeated."
        ),
    ] = None,
    oidc_issuer: Annotated[
        str, typer.Option(help="An OpenID Connect provider's issuer, for framegate login --oidc.")
    ] = "",
    oidc_client_id: Annotated[str, typer.Option(help="This fleet's client there.")] = "",
    oidc_client_secret_file: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Its secret, where it is a confidential client."
        ),
    ] = None,
    oidc_ca: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="PEM of the provider's CA, where it is not a public one.",
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:
    """Run the controller: the join port and the fleet port."""
    start_logging(verbose=verbose)
    with errors():
        if host in {"0.0.0.0", "::"} and not advertise:  # noqa: S104 - asked about, not bound
            wanted, hint = (
                "--advertise HOST beside --host 0.0.0.0",
                "name the address that cameras reach",
            )
            raise Refused.of(Reason.USAGE, wanted, "none", hint)
        settings = Settings(
            state=state,
            host=host,
            join_port=join_port,
            fleet_port=fleet_port,
            advertise=advertise or host,
            timing=Timing(int(attest_interval * 1000)),
            passphrase_file=passphrase_file,
            oidc=_provider(oidc_issuer, oidc_client_id, oidc_client_secret_file, oidc_ca),
            witness=tuple(witness or ()),
        )
        with contextlib.suppress(KeyboardInterrupt):
            run_service(_serve(settings, ready_file))


def _provider(
    issuer: str, client: str, secret_file: Path | None, ca: Path | None
) -> OidcSettings | None:
    if bool(issuer) != bool(client):
        raise Refused.of(Reason.USAGE, "--oidc-issuer and --oidc-client-id together", "one of them")
    secret = secret_file.read_text().strip() if secret_file else ""
    return OidcSettings(issuer, client, secret, ca) if issuer else None


async def _serve(settings: Settings, ready_file: Path | None) -> None:
    controller = Controller(settings)
    await controller.start()
    join, fleet, interval_s = (
        controller.join_address,
        controller.fleet_address,
        settings.timing.interval_ms / 1000,
    )
    talk.print(f"join port {join}, fleet port {fleet}, attest interval {interval_s:g} s")
    if ready_file is not None:
        write_ready(ready_file, {"join": join, "fleet": fleet})
    await until_stopped(asyncio.Event().wait())
    await controller.stop()
