"""framegate-gateway: run a gateway process beside its host's agent."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from framegate.errors import Reason, Refused
from framegate.federation.bundle import parse_bundle
from framegate_gateway.server import GatewayProcess
from framegate_gateway.settings import GatewaySettings
from framegate_gateway.vault.keys import found_keys, recover_keys
from framegate_host import console
from framegate_host.child_process import OWN_PYTHON
from framegate_host.console import safe, service_exit_code, talk
from framegate_host.logs import start_logging
from framegate_host.private_files import make_private, require_place, state_folder
from framegate_host.process_memory import hide_memory
from framegate_host.program import run_program
from framegate_host.rereading import Rereader
from framegate_host.service_manager import service_manager
from framegate_host.setting_commands import config_commands
from framegate_host.setting_flags import with_settings
from framegate_host.setting_values import MAX_PORT
from framegate_host.signals import run_service, until_stopped
from framegate_host.support import support_command

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="The Framegate gateway: admits sealed frames from trusted cameras and inspects them.",
)
vaults = typer.Typer(no_args_is_help=True, help="The frame vault of this host.")
app.add_typer(vaults, name="vault")
app.add_typer(config_commands(GatewaySettings), name="config")
app.command("support")(support_command(GatewaySettings))
_HANDED_OVER = {
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "allow_interspersed_args": False,
}
"""Everything behind the command is the other program's, --help too."""


def errors() -> AbstractContextManager[None]:
    """Errors as sentences on standard error and as exit codes."""
    return console.errors(service_exit_code())


@app.command()
@with_settings(GatewaySettings)
def run(settings: GatewaySettings, reader: Rereader) -> None:
    """Run the gateway."""
    start_logging(verbose=settings.verbose)
    with errors():
        hide_memory()
        run_service(_serve(settings, reader))


async def _serve(settings: GatewaySettings, reader: Rereader) -> None:
    manager = service_manager()
    process = GatewayProcess(settings, manager)
    await until_stopped(
        process.run(), manager=manager, drain=process.conversations.drain, reload=reader.read_again
    )


@app.command("backend")
@with_settings(GatewaySettings)
def backend(  # noqa: PLR0913 - a command's options
    agent_socket: Path,
    models: tuple[Path, ...],
    host: str,
    threads: int,
    provider: str,
    verbose: bool,
    port: Annotated[int, typer.Option(help="Where gateways ask.", min=1, max=MAX_PORT)] = 7447,
    site: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Trust bundle of another site whose gateways may ask (framegate site bundle).",
        ),
    ] = None,
) -> None:
    """Serve models to gateways, beside the agent of a host of kind backend; every answer is
    signed.
    """
    start_logging(verbose=verbose)
    with errors():
        from framegate_gateway.backend.process import (  # noqa: PLC0415 - no gateway needs it
            BackendProcess,
            BackendRun,
        )

        hide_memory()
        sites = tuple(parse_bundle(path.read_bytes()) for path in site or ())
        manager = service_manager()
        run = BackendRun(
            agent_socket=agent_socket,
            models=models,
            host=host,
            port=port,
            sites=sites,
            threads=threads,
            provider=provider,
        )
        process = BackendProcess(run, manager)
        run_service(until_stopped(process.run(), manager=manager))


@vaults.command("init")
@with_settings(GatewaySettings)
def vault_init(
    agent_socket: Path,
    state: Path,
    recovery_key_out: Annotated[
        Path,
        typer.Option(help="Where the recovery key is written, once; take it off this machine."),
    ],
) -> None:
    """Make this host's frame vault.

    Its key is sealed to the TPM, and wrapped for a recovery key that is kept elsewhere.
    """
    with errors():
        hide_memory()
        if recovery_key_out.exists():
            wanted, hint = (
                f"no file {recovery_key_out}",
                "choose another name; nothing is overwritten",
            )
            raise Refused.of(Reason.CONFLICT, wanted, "one", hint)
        require_place(recovery_key_out)
        state_folder(state)
        _, recovery = found_keys(state / "vault", agent_socket)
        make_private(recovery_key_out, recovery.encode() + b"\n")
        talk.print(f"vault in {safe(state / 'vault')}; the gateway uses it from its next start on")
        talk.print(
            f"[bold]recovery key: {safe(recovery_key_out)}[/] - move it off this machine: "
            "after a firmware update nothing else opens the vault"
        )


@vaults.command("recover")
@with_settings(GatewaySettings)
def vault_recover(
    agent_socket: Path,
    state: Path,
    recovery_key: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="The file that vault init wrote.")
    ],
) -> None:
    """Open the vault by its recovery key and seal it to this host's TPM as it is now."""
    with errors():
        hide_memory()
        if state.is_dir():
            state_folder(state)
        recover_keys(state / "vault", agent_socket, recovery_key.read_text())
        talk.print("the vault is sealed to this host again; restart the gateway")


@app.command("model", context_settings=_HANDED_OVER, add_help_option=False)
def model(rest: typer.Context) -> None:
    """Model bundles: show, evaluate, train (framegate-models)."""
    _hand_over("model", rest.args)


@app.command("data", context_settings=_HANDED_OVER, add_help_option=False)
def data(rest: typer.Context) -> None:
    """Folders of images: sign and verify who vouches for them (framegate-models)."""
    _hand_over("data", rest.args)


def _hand_over(command: str, rest: list[str]) -> NoReturn:
    """Become framegate-models: training has no place in a process that a host attests.

    -P: a folder of that name in the working directory is not what is run.
    """
    argv = [*OWN_PYTHON, "-m", "framegate_models", command, *rest]
    os.execv(sys.executable, argv)  # noqa: S606 - no shell is wanted


def run_app() -> None:
    """Entry point."""
    sys.exit(run_program(app, "framegate-gateway"))
