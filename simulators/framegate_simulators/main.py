"""framegate-sim: simulated machines, cameras and boards, and the demonstration that uses them.

What a command needs beyond drawing is imported when it runs: `camera` is a capture program that a
camera's first frame waits for, and TPMs and people take three times as long to import as boards.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from framegate.errors import Reason, Unavailable
from framegate_agent.camera.sources import FrameSource, write_shots
from framegate_host.console import OutputFormat, Terminal, errors
from framegate_host.program import run_program
from framegate_simulators.boards.boards import write_boards
from framegate_simulators.boards.camera import DrawnBoards, TriggeredBoards
from framegate_simulators.fleet.command import fleet
from framegate_simulators.machine.ek_kinds import EK_KINDS
from framegate_simulators.plant.processes import PlantError
from framegate_simulators.vibration.command import sensor

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=(
        "Simulators for testers. Everything here is SIMULATED hardware around real Framegate"
        " programs."
    ),
)

app.command()(fleet)


app.command()(sensor)


@app.command()
def camera(
    design: Annotated[int, typer.Option(help="Board design to photograph.")] = 1,
    first: Annotated[int, typer.Option(help="Seed of the first board.")] = 0,
    rate: Annotated[
        float, typer.Option(min=0, help="Boards a second; 0 = as fast as they are drawn.")
    ] = 2.0,
    good_every: Annotated[int, typer.Option(min=1, help="Every N-th board is good.")] = 3,
    trigger: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            help="Photograph when triggered on this UDP port of 127.0.0.1, not by --rate; 0: not.",
        ),
    ] = 0,
    count: Annotated[int, typer.Option(min=0, help="How many; 0 = endless.")] = 0,
    stuck_after: Annotated[
        int,
        typer.Option(min=0, help="From this board on every second picture is an old one; 0: none."),
    ] = 0,
) -> None:
    """Be a capture child: write photographs of drawn boards to standard output. Use:
    framegate-agent run --source 'exec:framegate-sim camera'.
    """
    if sys.stdout.isatty():
        raise typer.BadParameter(
            "this writes frames for an agent; run: framegate-agent run --source 'exec:framegate-sim"
            " camera'"
        )
    try:
        source: FrameSource = (
            TriggeredBoards(design, trigger)
            if trigger
            else DrawnBoards(
                design, first, good_every=good_every, count=count, stuck_after=stuck_after
            )
        )
        write_shots(source, sys.stdout.buffer, rate=0 if trigger else rate, repeat=False)
    except (BrokenPipeError, KeyboardInterrupt):
        raise typer.Exit(0) from None


@app.command()
def up(
    folder: Annotated[
        Path, typer.Option(help="Where every file of it goes; what an earlier one left is removed.")
    ] = Path("build/try"),
    rate: Annotated[float, typer.Option(min=0.1, max=20, help="Boards a second.")] = 2.0,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Show metrics, and write a prometheus.yml for them.")
    ] = False,
) -> None:
    """Raise a small fleet to try things on, and leave it running: controller, operator, gateway,
    one camera that never ends. Says what to look at next; Ctrl-C ends it.
    """
    from framegate_simulators.demo.up import TryPlant

    with errors():
        try:
            TryPlant(folder, rate, Terminal(highlight=False), metrics=metrics).run()
        except PlantError as error:
            raise Unavailable.of(Reason.UNAVAILABLE, "a fleet that runs", str(error)) from error
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


@app.command()
def code(
    uri: Annotated[
        str,
        typer.Argument(help="otpauth://… as init or login --enrol showed it, or a file with it."),
    ],
) -> None:
    """Stand for the authenticator app on somebody's phone: print the code of this moment. For
    trying things out; a real second factor is another device.
    """
    from framegate_simulators.fixtures.access import totp_now

    text = (
        Path(uri).read_text().strip()
        if not uri.startswith("otpauth://") and Path(uri).is_file()
        else uri
    )
    try:
        print(totp_now(text))
    except ValueError as error:
        raise typer.BadParameter(
            f"expected otpauth://totp/…?secret=…, got {text[:40]!a}: {error}"
        ) from error


@app.command()
def link(
    listen: Annotated[int, typer.Option(help="Port to listen on.")],
    to: Annotated[int, typer.Option(help="Port to pass on to, on this machine.")],
) -> None:
    """Be a network link: pass TCP connections on. Killing it cuts every connection on it."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", to)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", listen)
        try:
            await asyncio.Event().wait()  # serve_forever would wait for whoever is connected to go
        finally:
            server.close()

    asyncio.run(run())


@app.command("lying-gateway")
def lying_gateway(
    lie: Annotated[str, typer.Option(help="alter, invent or drop")],
    agent_socket: Annotated[Path, typer.Option()],
    golden: Annotated[Path, typer.Option()],
    port: Annotated[int, typer.Option()],
    operator_port: Annotated[int, typer.Option()],
    state: Annotated[Path, typer.Option()],
) -> None:
    """Be a gateway that lies, on an honest host: what its receipts are worth is for framegate
    receipt verify to say.
    """
    from framegate_simulators.attack.adversary import run_lying_gateway

    run_lying_gateway(lie, agent_socket, golden, port, operator_port, state)


@app.command()
def boards(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    count: Annotated[int, typer.Option(min=1)] = 10,
    first: Annotated[int, typer.Option(help="First seed.")] = 0,
    defects: Annotated[
        int | None, typer.Option(min=0, help="Defects on each; default: by chance.")
    ] = None,
) -> None:
    """Write drawn boards in DeepPCB's format: N_test.jpg, N_temp.jpg (golden image), N.txt with x1
    y1 x2 y2 class a line, and trainval.txt that lists them.

    Classes: 1 open, 2 short, 3 mousebite, 4 spur, 5 copper, 6 pin-hole. The same seed draws the
    same board.
    """
    write_boards(out, range(first, first + count), defects)
    typer.echo(f"{count} boards in {out}", err=True)


@app.command()
def attack(
    threat: Annotated[
        list[str] | None, typer.Argument(help="Ids such as N03; with --all, every one.")
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="Every threat of the list; those without an attempt are shown as untried."
        ),
    ] = False,
    output: OutputFormat = "table",
) -> None:
    """Try the threats against running programs. Exit code 0 only where every attempt was refused
    and every control served; 6 where one was not, or has no attempt.
    """
    from framegate_simulators.attack.campaign import THREATS, run_campaign
    from framegate_simulators.attack.report import failed, summary, table, told

    chosen = frozenset(t.upper() for t in threat or ())
    if not everything and (not chosen or chosen - set(THREATS)):
        typer.echo(
            f"expected --all, or ids out of {THREATS[0]} to {THREATS[-1]}; got"
            f" {sorted(chosen - set(THREATS)) or 'nothing'}",
            err=True,
        )
        raise typer.Exit(2)

    def say(row: dict[str, object]) -> None:
        if output != "json":
            typer.echo("\n".join(told(row)))

    rows = run_campaign(say, frozenset() if everything else chosen)
    typer.echo(json.dumps(rows, indent=1) if output == "json" else "\n" + "\n".join(table(rows)))
    typer.echo(summary(rows), err=True)
    if failed(rows):
        raise typer.Exit(6)


@app.command()
def profile(
    model: Annotated[str, typer.Argument(help="Machine model, for instance simulated-camera.")],
    revision: int = 1,
    allowlist: Annotated[
        Path | None, typer.Option(help="Write the IMA allowlist that the profile names here.")
    ] = None,
) -> None:
    """Print the firmware profile of a simulated machine."""
    from framegate_simulators.machine.boot import Firmware, profile_toml
    from framegate_simulators.machine.ima import allowlist_of

    if allowlist is not None:
        allowlist.write_bytes(allowlist_of(model, Firmware(model).release))
    print(profile_toml(Firmware(model), model, revision), end="")


@app.command()
def machine(
    folder: Annotated[
        Path, typer.Argument(help="The machine's folder; a short path, it holds Unix sockets.")
    ],
    maker: Annotated[
        Path, typer.Option(help="Folder of the TPM maker's CA; founded on first use.")
    ] = Path("maker"),
    model: str = "simulated-camera",
    ek: Annotated[str, typer.Option(help=f"Kind of EK: {', '.join(EK_KINDS)}")] = "p256",
    tampered: Annotated[
        bool, typer.Option("--tampered", help="Boot with another boot loader.")
    ] = False,
    env: Annotated[
        Path | None,
        typer.Option(help="Write a file for the shell that tells framegate-agent of it: . FILE"),
    ] = None,
) -> None:
    """Power a simulated machine on (swtpm, measured boot) and keep it on until Ctrl-C."""
    from framegate_simulators.machine.boot import Firmware
    from framegate_simulators.machine.machine import Machine
    from framegate_simulators.machine.tpm import TpmMaker

    firmware = Firmware(model)
    simulated = Machine(
        folder, TpmMaker.load_or_found(maker), firmware.tampered() if tampered else firmware, ek=ek
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    simulated.power_on()
    if env is not None:
        env.write_text(simulated.as_environment())
    print(
        json.dumps(
            {
                "tcti": simulated.tcti,
                "boot_log": str(simulated.boot_log_path),
                "ima": str(simulated.ima_path),
                "maker_ca": str(maker / "maker.pem"),
            }
        ),
        flush=True,
    )
    try:
        stop.wait()
    finally:
        simulated.power_off()


@app.command("attack-model")
def attack_model(
    seed: Annotated[int, typer.Option(help="Of every draw: the same seed, the same table.")] = 1,
    bad: Annotated[
        int, typer.Option(min=1, max=60, help="Frames for each attack; 40 for the whole table.")
    ] = 8,
    sound: Annotated[
        int, typer.Option(min=40, max=2000, help="Drawn sound frames held out for false alarms.")
    ] = 100,
    part: Annotated[
        str, typer.Option(help="Only parts with this in their name: thresholded, grey, real.")
    ] = "",
    data: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="DeepPCB's folder: real boards, too."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Threads.")] = 2,
    out: Annotated[Path, typer.Option(help="Where the numbers go.")] = Path(
        "build/attack-model.json"
    ),
) -> None:
    """Attack the shipped model and its second looks, by gradient, patch, injection, replay and
    contrast, through the product's own path; print what fools the network and what is caught.
    Attacks by gradient need PyTorch: make attack-model.
    """
    from framegate_simulators.evasion.run import Wanted
    from framegate_simulators.evasion.run import attack_model as run_attacks

    with errors():
        run_attacks(Wanted(seed, bad, sound, part, data, threads), out)


def run_app() -> None:
    """Entry point."""
    sys.exit(run_program(app, "framegate-sim"))
