"""framegate-gateway: run a gateway process beside its host's agent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.server import GatewayProcess, Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The Framegate gateway: admits sealed frames from trusted cameras and inspects them.")
talk = Console(stderr=True, highlight=False)


@contextlib.contextmanager
def _errors():  # type: ignore[no-untyped-def]
    try:
        yield
    except FramegateError as error:
        for failure in error.failures:
            talk.print(f"[red]{failure.reason}[/]: {escape(ascii(str(failure))[1:-1])}")
        raise typer.Exit(7 if isinstance(error, Unavailable) else 1) from error


@app.command()
def run(
    agent_socket: Annotated[Path, typer.Option(envvar="FRAMEGATE_GATEWAY_SOCKET", help="Socket of this host's agent (framegate-agent run --gateway-socket).")],
    golden: Annotated[list[Path] | None, typer.Option(exists=True, file_okay=False, help="Folder of golden images, TYPE.png or TYPE.jpg; may be repeated.")] = None,
    bundle: Annotated[Path, typer.Option(help="Model bundle; default: the shipped one.")] = DEFAULT_BUNDLE,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    advertise: Annotated[str, typer.Option(help="Host that cameras reach; default: --host.")] = "",
    port: int = 7445, operator_port: int = 7446,
    broker: Annotated[str, typer.Option(help="MQTT broker host:port for signed verdicts; none by default.")] = "",
    broker_name: Annotated[str, typer.Option(help="The broker's certificate name, broker.<fleet>.framegate.")] = "",
    state: Annotated[Path | None, typer.Option(help="Folder for the highest feed revision seen, so that a controller set back is noticed.")] = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Threads of the model.")] = 2,
    feed_silence: Annotated[str, typer.Option(help="close, or grace: admit until results run out when the controller is silent.")] = "close",
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:  # fmt: skip
    """Run the gateway."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    with _errors():
        if feed_silence not in {"close", "grace"}:
            raise Refused.of(Reason.USAGE, "--feed-silence close or grace", ascii(feed_silence[:40]))
        if broker and not broker_name:
            raise Refused.of(Reason.USAGE, "--broker-name beside --broker", "none", "the name in the broker's certificate: framegate-controller server-certificate broker")
        settings = Settings(agent_socket, tuple(golden or ()), bundle, host, advertise or host, port, operator_port, broker, broker_name, state, threads, feed_silence == "grace")

        async def main() -> None:
            task = asyncio.ensure_future(GatewayProcess(settings).run())
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await task

        try:
            asyncio.run(main())
        except* FramegateError as group:
            raise group.exceptions[0] from None


@app.command()
def model(bundle: Annotated[Path, typer.Option(help="Model bundle; default: the shipped one.")] = DEFAULT_BUNDLE) -> None:
    """Show what a model bundle is: its digest, classes and threshold."""
    with _errors():
        found = load_bundle(bundle)
        print(f"digest {found.digest.hex()}\nclasses {', '.join(found.classes)}\nthreshold {found.threshold}\nmodel {len(found.model)} bytes")


def run_app() -> None:
    """Entry point."""
    app(prog_name="framegate-gateway")
