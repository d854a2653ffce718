"""framegate-agent: join a fleet, run, show status, find out what is wrong.

What one command alone needs, the daemon, cameras, the doctor, is loaded by it: a machine that joins
waits for what is loaded, and starts twice before its first frame.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from framegate.errors import Reason, Unavailable
from framegate.wire import sha256
from framegate_agent import VERSION
from framegate_agent.settings import AgentSettings, elsewhere
from framegate_agent.state import JOINED, StateFile
from framegate_agent.tpm.chip import Tpm
from framegate_host import console
from framegate_host.console import (
    EXIT_UNTRUSTED,
    OutputFormat,
    Terminal,
    safe,
    service_exit_code,
    talk,
    typed,
    whole,
)
from framegate_host.logs import start_logging, told_unforeseen
from framegate_host.printing import show_text
from framegate_host.private_files import write_private
from framegate_host.process_memory import hide_memory
from framegate_host.program import run_program
from framegate_host.rereading import Rereader
from framegate_host.service_manager import service_manager
from framegate_host.setting_commands import config_commands
from framegate_host.setting_flags import with_settings
from framegate_host.signals import run_service, until_stopped
from framegate_host.support import support_command

FRESH_S: Final = 5
"""The daemon writes its status every second or so."""
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=(
        "The Framegate agent: proves this machine with its TPM and seals frames for granted "
        "gateways."
    ),
)
app.add_typer(config_commands(AgentSettings), name="config")
app.command("support")(support_command(AgentSettings))
Output = OutputFormat


def errors() -> AbstractContextManager[None]:
    """Errors as sentences on stderr and as exit codes."""
    return console.errors(service_exit_code(Reason.USAGE, Reason.NOT_FOUND, Reason.CONFLICT))


@app.command()
@with_settings(AgentSettings)
def join(
    ticket: Annotated[
        str,
        typer.Argument(help="The ticket's text, a file that holds it, or - for standard input."),
    ],
    state: Path,
    tcti: str,
    boot_log: Path,
    ima: Path,
    endorsement_chain: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Certificates (PEM or DER) that go with a virtual TPM's key: on Azure the chip's "
            "(VCEK) and AMD's, on Google Cloud the intermediate's.",
        ),
    ] = None,
) -> None:
    """Join a fleet with a ticket from: framegate camera invite NAME."""
    # why here: see the module's head
    from framegate.identity.certificate_file import load_certificate_file  # noqa: PLC0415
    from framegate_agent.findings import tell_findings  # noqa: PLC0415
    from framegate_agent.joining import join_fleet, ticket_text  # noqa: PLC0415

    with errors():
        text = sys.stdin.read() if ticket == "-" else ticket_text(ticket)
        issuers: tuple[bytes, ...] = ()
        if endorsement_chain is not None:
            chain = load_certificate_file(endorsement_chain.read_bytes())
            issuers = tuple(c.der for c in chain)
        with StateFile(state).alone():
            outcome = asyncio.run(join_fleet(text, state, tcti, boot_log, ima, issuers))
        device, word = outcome.state.device, outcome.state.state
        place = elsewhere(state)
        starting = f"framegate-agent run{place} --source SOURCE"
        if word == "trusted":
            talk.print(f"[green]{safe(device)} is trusted[/]; start it: {safe(starting)}")
            return
        talk.print(f"[yellow]{safe(device)} is {safe(word)}[/]")
        tell_findings(device, outcome.failures)
        talk.print(f"where the controller's side is settled, start it: {safe(starting)}")
        raise typer.Exit(EXIT_UNTRUSTED)


@app.command("check-source")
@with_settings(AgentSettings)
def check_source(
    source: Annotated[
        str, typer.Argument(help="As in run --source: folder:PATH, device:0, rtsp://…, …")
    ],
    state: Path,
    part_type: str,
    unconfined: bool,
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("source.png"),
    output: Output = "table",
) -> None:
    """Take one frame of a source, write it as PNG, and say its size, how sharp and how light it
    is. Needs no TPM and no fleet; masks of this camera are applied.
    """
    from framegate_agent.camera.capture import Capture  # noqa: PLC0415 - see the module's head
    from framegate_agent.camera.kept_masks import hold_masks  # noqa: PLC0415 - see above

    with errors():
        capture = Capture(source, part_type=part_type, rate=0, repeat=False, unconfined=unconfined)
        hold_masks(capture, state)
        looked = asyncio.run(capture.look())
        write_private(out, looked.png)
        look, remarks = looked.look, list(looked.look.remarks())
        if output == "json":
            show_text(json.dumps({**asdict(look), "remarks": remarks, "png": str(out)}))
            return
        talk.print(
            f"{safe(out)}: {look.width} x {look.height} pixels, part {safe(look.part)} of type "
            f"{safe(look.part_type)}"
        )
        talk.print(
            f"sharpness {look.sharpness:g}, light {look.light:g} of 255, "
            f"{100 * look.dark:.0f} % black, {100 * look.bright:.0f} % white"
        )
        for remark in remarks:
            talk.print(f"[yellow]{safe(remark)}[/]")
        talk.print(f"look at it, then: {_after_a_look(state, source, part_type)}")


def _after_a_look(state: Path, source: str, part_type: str) -> str:
    """What follows a picture that is as it should be: run it, where the machine has joined."""
    place = safe(elsewhere(state))
    if not (state / JOINED).exists():
        return f"framegate-agent doctor{place}"
    kind = f" --part-type {typed(part_type)}" if part_type else ""
    return f"framegate-agent run{place} --source {typed(source)}{kind}"


@app.command()
@with_settings(AgentSettings)
def run(settings: AgentSettings, reader: Rereader) -> None:
    """Run the daemon: attest, renew, heal, and stream frames from every --source."""
    # asyncio warns of a capture child that ends after its loop, which is every orderly end
    quiet = {"grpc": logging.ERROR, "asyncio": logging.ERROR}
    start_logging(verbose=settings.verbose, least=quiet)
    with errors():
        hide_memory()
        with StateFile(settings.state).alone():
            run_service(_serve(settings, reader))


async def _serve(settings: AgentSettings, reader: Rereader) -> None:
    from framegate_agent.daemon import Agent  # noqa: PLC0415 - see the module's head
    from framegate_agent.joining import join_unless_joined  # noqa: PLC0415 - see above

    await join_unless_joined(settings)
    manager = service_manager()
    agent = Agent(settings, manager)

    def reload() -> None:
        reader.read_again()
        agent.poke()  # whoever changed something here wants to see what the controller says

    await until_stopped(agent.run(), manager=manager, reload=reload)


@app.command()
@with_settings(AgentSettings)
def status(state: Path, output: Output = "table") -> None:
    """Show what the running agent knows: state, certificate, streams, outcomes.

    Exit code 6 where it is not trusted, or the controller is older than what was seen of it.
    """
    with errors():
        file = StateFile(state)
        file.load()
        try:
            body = json.loads(file.status_path.read_text())
        except (OSError, ValueError) as error:
            wanted, hint = "a status of the daemon", "framegate-agent run"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, "none", hint) from error
        fresh = time.time() - body["at"] < FRESH_S
        if output == "json":
            show_text(json.dumps({**body, "fresh": fresh}))
        else:
            runs = body["running"] if fresh else _without_status(file, body["at"])
            _show_rows((), [(n, safe(v)) for n, v in _status_rows(body, runs)])
        good = body["state"] == "trusted" and fresh and not body["controller"]
        raise typer.Exit(0 if good else EXIT_UNTRUSTED)


def _show_rows(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output; its cells may hold markup."""
    from rich.table import Table  # noqa: PLC0415 - see the module's head

    table = Table(*titles, show_header=bool(titles), box=None)
    for row in rows:
        table.add_row(*row)
    Terminal(highlight=False).print(whole(table))


def _without_status(file: StateFile, at: float) -> str:
    """What is known of a daemon that has not written its status since the time `at`."""
    if not file.held:
        return "not running"
    return (
        f"runs, and has written no status for {time.time() - at:.0f} s: a full disk, a wrong clock?"
    )


def _status_rows(body: dict[str, Any], runs: str) -> Iterator[tuple[str, str]]:
    """What a daemon wrote of itself, for people; `runs` is whether it does now."""
    yield "device", body["device"] or "not joined"
    yield "state", body["state"]
    yield "agent", runs
    yield "controller", body["controller"] or "as it was seen before, or later"
    yield "certificate", f"{body['certificate_s']} s left"
    yield "attested", f"{body['attested']} times, {body['rejoined']} by rejoining"
    for kind in ("outcomes", "uninspected"):
        yield kind, ", ".join(f"{name} {count}" for name, count in body[kind].items()) or "none"
    for stream in body["streams"]:
        goes_to, problem = stream["gateway"] or "no gateway", "; ".join(stream["problem"])
        ended = f"ended after {stream['captured']} frames" if stream["ended"] else ""
        ended = ended or ("" if stream["captured"] else "no frame so far")
        yield "stream", f"{stream['source']} -> {goes_to} {problem or ended}"
    for reason, expected, actual, hint in body["failures"]:
        yield "reason", f"{reason}: expected {expected}, got {actual}. {hint}"


@app.command()
@with_settings(AgentSettings)
def ek(tcti: str, output: Output = "table") -> None:
    """Show this machine's endorsement key and its hash, which binds a ticket to the machine.

    Used with: framegate camera invite NAME --ek-hash HASH.
    """
    with errors():
        tpm = Tpm(tcti)
        try:
            endorsement, facts = tpm.endorsement(), tpm.facts()
        finally:
            tpm.close()
        digest = sha256(endorsement.public.spki()).hex()
        if output == "json":
            body = {"ek_sha256": digest, "kind": endorsement.label, "maker": facts.maker}
            show_text(json.dumps({**body, "certificates": len(endorsement.certificates)}))
        else:
            count = len(endorsement.certificates)
            maker, kind = safe(facts.maker), safe(endorsement.label)
            talk.print(f"{maker} TPM, {kind}, certificates: {count or 'none'}")
            show_text(digest)


@app.command()
@with_settings(AgentSettings)
def doctor(
    state: Path,
    tcti: str,
    boot_log: Path,
    ima: Path,
    output: Output = "table",
) -> None:
    """Check TPM, keys, lockout, clock, boot log and reachability; say how to mend each fault.

    Stop the daemon first on a simulated TPM.
    """
    from framegate_agent.doctor import examine  # noqa: PLC0415 - see the module's head

    findings = examine(StateFile(state), tcti, boot_log, ima)
    if output == "json":
        show_text(json.dumps([asdict(finding) for finding in findings]))
    else:
        marks = {True: "[green]good[/]", False: "[red]bad[/]"}
        rows = [(marks[f.good], f.check, safe(f.seen), safe(f.fix)) for f in findings]
        _show_rows(("", "check", "seen", "fix"), rows)
    raise typer.Exit(0 if all(f.good for f in findings) else 1)


@app.command()
def version() -> None:
    """Show the version."""
    show_text(VERSION)


def run_app() -> None:
    """Entry point.

    gRPC keeps a thread, not a daemon thread, for each channel with a custom signer until the
    channel's last reference is gone, and an exception may hold one: the interpreter would wait for
    it forever. All is closed and saved by now, so the process ends here.
    """
    try:
        code = run_program(app, "framegate-agent")
    except Exception as error:  # noqa: BLE001 - a fault of ours: say it all, and still end
        told_unforeseen(type(error), error, error.__traceback__)
        code = 1
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
