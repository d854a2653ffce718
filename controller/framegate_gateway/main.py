"""framegate-gateway: run a gateway process beside its host's agent."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from framegate.errors import Reason, Refused
from framegate.signed.statement import Outcome
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE
from framegate_gateway.inference.remote import Backend
from framegate_gateway.server import DEFAULT_STATE, GatewayProcess, Settings
from framegate_gateway.vault.egress import EgressRules
from framegate_gateway.vault.frames import KEEP_DAYS
from framegate_gateway.vault.keys import found_keys, recover_keys
from framegate_host import console
from framegate_host.console import service_exit_code, talk
from framegate_host.key_files import read_public_key
from framegate_host.logs import start_logging
from framegate_host.private_files import make_private
from framegate_host.signals import run_service, until_stopped

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The Framegate gateway: admits sealed frames from trusted cameras and inspects them.")
vaults = typer.Typer(no_args_is_help=True, help="The frame vault of this host.")
app.add_typer(vaults, name="vault")
State = Annotated[Path, typer.Option("--state", envvar="FRAMEGATE_GATEWAY_STATE", help="Folder of receipts, vault, and the highest feed revision seen.")]
AgentSocket = Annotated[Path, typer.Option("--agent-socket", envvar="FRAMEGATE_GATEWAY_SOCKET", help="Socket of this host's agent (framegate-agent run --gateway-socket).")]
_HANDED_OVER = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}
"""Everything behind the command is the other program's, --help too."""


def errors() -> AbstractContextManager[None]:
    """Errors as sentences on standard error and as exit codes."""
    return console.errors(service_exit_code())


@app.command()
def run(
    agent_socket: AgentSocket,
    golden: Annotated[list[Path] | None, typer.Option(exists=True, file_okay=False, help="Folder of golden images, TYPE.png or TYPE.jpg; may be repeated.")] = None,
    golden_key: Annotated[list[Path] | None, typer.Option(help="Public key (PEM) that must have signed those folders: framegate-gateway data sign.")] = None,
    bundle: Annotated[Path, typer.Option(help="Model bundle until the controller pins one; default: the shipped one.")] = DEFAULT_BUNDLE,
    models_in: Annotated[list[Path] | None, typer.Option("--models", file_okay=False, help="Folder of signed bundles that the controller may pin; may be repeated.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    advertise: Annotated[str, typer.Option(help="Host, or host:port, that cameras reach; default: --host and --port.")] = "",
    port: int = 7445, operator_port: int = 7446,
    broker: Annotated[str, typer.Option(help="MQTT broker host:port for signed verdicts; none by default.")] = "",
    broker_name: Annotated[str, typer.Option(help="The broker's certificate name, broker.<fleet>.framegate.")] = "",
    frames_over_broker: Annotated[bool, typer.Option("--frames-over-broker", help="Take sealed frames from the broker too (framegate-agent run --broker).")] = False,
    state: State = DEFAULT_STATE,
    export_to: Annotated[list[str] | None, typer.Option(help="A destination that frames may be exported to, for instance a department; may be repeated. Default: none.")] = None,
    backend: Annotated[str, typer.Option(help="Model server host:port (Open Inference Protocol, mutual TLS) that runs the network; default: this host.")] = "",
    backend_model: Annotated[str, typer.Option(help="The model's name there.")] = "", backend_name: Annotated[str, typer.Option(help="The name in its certificate.")] = "",
    backend_tls: Annotated[Path | None, typer.Option(exists=True, file_okay=False, help="Folder with root.pem, certificate.pem and key.pem for it.")] = None,
    unattested_backend: Annotated[bool, typer.Option("--unattested-backend", help="Accept that it attests nothing; receipts say so.")] = False,
    inference_port: Annotated[int, typer.Option(help="Serve the Open Inference Protocol to this zone's cameras on this port; default: not. Its answers are no verdicts.")] = 0,
    export_quota: Annotated[int, typer.Option(min=0, help="Frames one operator may export in 24 hours.")] = 100,
    keep: Annotated[list[str] | None, typer.Option(help="Days that frames stay in the vault, as OUTCOME=DAYS; default: PASS=7 DEFECT=90.")] = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Threads of the model.")] = 2,
    feed_silence: Annotated[str, typer.Option(help="When the controller is silent: zone (its rule, framegate zone set), or close at once whatever the zone's rule.")] = "zone",
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:  # fmt: skip
    """Run the gateway."""
    start_logging(verbose=verbose)
    with errors():
        if feed_silence not in {"zone", "close"}:
            raise Refused.of(Reason.USAGE, "--feed-silence zone or close", ascii(feed_silence[:40]), "framegate zone set ZONE --feed-silence grace is for the fleet to decide")
        if broker and not broker_name:
            raise Refused.of(Reason.USAGE, "--broker-name beside --broker", "none", "the name in the broker's certificate: framegate-controller server-certificate broker")
        if frames_over_broker and not broker:
            raise Refused.of(Reason.USAGE, "--broker beside --frames-over-broker", "none")
        server = _backend(backend, backend_model, backend_name, backend_tls, unattested_backend)
        reached, _, reached_port = advertise.partition(":")
        settings = Settings(
            agent_socket, tuple(golden or ()), bundle, host, reached or host, port, operator_port, broker, broker_name, state, threads, feed_silence == "close",
            advertise_port=int(reached_port or 0), frames_over_broker=frames_over_broker, egress=EgressRules(frozenset(export_to or ()), export_quota),
            models=tuple(models_in or ()), backend=server, inference_port=inference_port, golden_keys=tuple(read_public_key(path) for path in golden_key or ()),
            keep_days={**KEEP_DAYS, **_days(keep or [])},
        )  # fmt: skip
        run_service(until_stopped(GatewayProcess(settings).run()))


@vaults.command("init")
def vault_init(
    agent_socket: AgentSocket, recovery_key_out: Annotated[Path, typer.Option(help="Where the recovery key is written, once; take it off this machine.")],
    state: State = DEFAULT_STATE,
) -> None:  # fmt: skip
    """Make this host's frame vault: its key is sealed to the TPM, and wrapped for a recovery key that is kept elsewhere."""
    with errors():
        if recovery_key_out.exists():
            raise Refused.of(Reason.CONFLICT, f"no file {recovery_key_out}", "one", "choose another name; nothing is overwritten")
        _, recovery = found_keys(state / "vault", agent_socket)
        make_private(recovery_key_out, recovery.encode() + b"\n")
        talk.print(f"vault in {state / 'vault'}; the gateway uses it from its next start on")
        talk.print(f"[bold]recovery key: {recovery_key_out}[/] - move it off this machine: after a firmware update nothing else opens the vault")


@vaults.command("recover")
def vault_recover(
    agent_socket: AgentSocket, recovery_key: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The file that vault init wrote.")], state: State = DEFAULT_STATE
) -> None:
    """Open the vault by its recovery key and seal it to this host's TPM as it is now."""
    with errors():
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
    argv = [sys.executable, "-P", "-m", "framegate_models", command, *rest]
    os.execv(sys.executable, argv)  # noqa: S606 - no shell is wanted


def _backend(address: str, model: str, name: str, tls: Path | None, accepted: bool) -> Backend | None:
    if not address:
        return None
    if not (model and name and tls):
        raise Refused.of(Reason.USAGE, "--backend-model, --backend-name and --backend-tls beside --backend", "not all of them")
    if not accepted:
        raise Refused.of(Reason.USAGE, "--unattested-backend beside --backend", "none", "a model server proves nothing of itself; say that this is accepted, or run the model here")
    return Backend(address, model, name, tls / "root.pem", tls / "certificate.pem", tls / "key.pem")


def _days(rules: list[str]) -> dict[str, int]:
    found = {}
    for rule in rules:
        outcome, _, days = rule.partition("=")
        if outcome not in set(Outcome) or not days.isdigit():
            raise Refused.of(Reason.USAGE, "--keep OUTCOME=DAYS, for instance DEFECT=90", ascii(rule[:40]))
        found[outcome] = int(days)
    return found


def run_app() -> None:
    """Entry point."""
    app(prog_name="framegate-gateway")
