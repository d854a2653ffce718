"""framegate-agent: join a fleet, run, show status, find out what is wrong."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import sys
import time
import traceback
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from framegate.errors import Reason, Refused, Unavailable
from framegate.wire import parse_ticket, sha256
from framegate_agent import VERSION
from framegate_agent.attestation import BOOT_LOG_PATH, IMA_PATH, Attester
from framegate_agent.camera.carrier import BrokerAddress
from framegate_agent.camera.session import Demands
from framegate_agent.daemon import Agent, Settings, Source
from framegate_agent.doctor import examine
from framegate_agent.state import AgentState, StateFile, TrustedClock
from framegate_agent.tpm import Tpm
from framegate_host import console
from framegate_host.console import EXIT_UNTRUSTED, safe, service_exit_code, show_failures, talk
from framegate_host.logs import start_logging
from framegate_host.signals import run_service, until_stopped

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The Framegate agent: proves this machine with its TPM and seals frames for granted gateways.")

State = Annotated[Path, typer.Option("--state", envvar="FRAMEGATE_AGENT_STATE", help="Folder of the agent's state.")]
Tcti = Annotated[str, typer.Option("--tcti", envvar="FRAMEGATE_TCTI", help="TPM: device:/dev/tpmrm0, or swtpm:path=SOCKET for a simulated one.")]
BootLog = Annotated[Path, typer.Option("--boot-log", envvar="FRAMEGATE_BOOT_LOG", help="The firmware's event log.")]
Ima = Annotated[Path, typer.Option("--ima", envvar="FRAMEGATE_IMA", help="The kernel's IMA measurement list, binary.")]
DEFAULT_STATE = Path("/var/lib/framegate-agent")
DEFAULT_TCTI = "device:/dev/tpmrm0"


def errors() -> AbstractContextManager[None]:
    """Errors as sentences on stderr and as exit codes."""
    return console.errors(service_exit_code(Reason.USAGE, Reason.NOT_FOUND, Reason.CONFLICT))


@app.command()
def join(
    ticket: Annotated[str, typer.Argument(help="The ticket's text, a file that holds it, or - for standard input.")],
    state: State = DEFAULT_STATE, tcti: Tcti = DEFAULT_TCTI, boot_log: BootLog = BOOT_LOG_PATH, ima: Ima = IMA_PATH,
) -> None:  # fmt: skip
    """Join a fleet with a ticket from: framegate camera invite NAME."""
    with errors():
        text = sys.stdin.read() if ticket == "-" else Path(ticket).read_text() if len(ticket) < 1024 and Path(ticket).is_file() else ticket
        parsed = parse_ticket(text)
        file = StateFile(state)
        start = AgentState(parsed.join_address, parsed.fleet_address, parsed.server_name, base64.b64encode(parsed.root).decode(), seen_ms=parsed.issued_at_ms)
        tpm = Tpm(tcti)
        try:
            outcome = asyncio.run(Attester(tpm, boot_log, TrustedClock(parsed.issued_at_ms), ima).join(start, parsed.code, ()))
        finally:
            tpm.close()
        file.save(outcome.state)
        if outcome.state.state == "trusted":
            talk.print(f"[green]{outcome.state.device} is trusted[/]; start it: framegate-agent run")
            return
        talk.print(f"[yellow]{outcome.state.device} is {outcome.state.state}[/]")
        show_failures(outcome.failures)
        raise typer.Exit(EXIT_UNTRUSTED)


@app.command()
def run(
    state: State = DEFAULT_STATE, tcti: Tcti = DEFAULT_TCTI, boot_log: BootLog = BOOT_LOG_PATH, ima: Ima = IMA_PATH,
    source: Annotated[list[str] | None, typer.Option("--source", help="folder:PATH, video:PATH, device:N, rtsp://… or exec:COMMAND; may be given more than once.")] = None,
    part_type: Annotated[str, typer.Option(help="What the line makes, for sources that do not say it themselves.")] = "part",
    rate: Annotated[float, typer.Option(min=0, help="Frames a second; 0 = as fast as the source gives them.")] = 0.0,
    repeat: Annotated[bool, typer.Option("--repeat", help="Begin again at the end of a folder or video.")] = False,
    gateway_socket: Annotated[Path | None, typer.Option(envvar="FRAMEGATE_GATEWAY_SOCKET", help="On a gateway's host: the socket for gateway processes.")] = None,
    gateway_uid: Annotated[list[int] | None, typer.Option(help="uid that may connect to the socket; default: the agent's own.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="SHA-256 of a model that may see this camera's frames; may be repeated. Default: whatever the controller grants.")] = None,
    gateway: Annotated[list[str] | None, typer.Option(help="Id of a gateway's host that may have frames; may be repeated. Default: whatever the controller grants.")] = None,
    broker: Annotated[str, typer.Option(help="Send sealed frames through this MQTT broker, host:port, instead of a stream.")] = "",
    broker_name: Annotated[str, typer.Option(help="The broker's certificate name, broker.<fleet>.framegate.")] = "",
    watch: Annotated[list[Path] | None, typer.Option(help="A file whose content is reported, and at once when it changes; may be repeated.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:  # fmt: skip
    """Run the daemon: attest, renew, heal, and stream frames from every --source."""
    start_logging(verbose=verbose, least={"grpc": logging.ERROR})
    with errors():
        if broker and (not broker_name or not broker.rpartition(":")[2].isdigit()):
            raise Refused.of(
                Reason.USAGE, "--broker HOST:PORT and --broker-name NAME", f"{broker!a} {broker_name!a}", "the name in the broker's certificate: broker.<fleet>.framegate"
            )
        settings = Settings(
            state, tcti, boot_log, tuple(Source(s, part_type, rate, repeat) for s in source or ()), gateway_socket, tuple(gateway_uid or (os.getuid(),)),
            Demands(frozenset(model or ()), frozenset(gateway or ())), BrokerAddress(broker, broker_name) if broker else None,
            ima, tuple(watch or ()),
        )  # fmt: skip
        run_service(until_stopped(Agent(settings).run()))


@app.command()
def status(state: State = DEFAULT_STATE, output: Annotated[str, typer.Option("--output", "-o", help="table or json")] = "table") -> None:
    """Show what the running agent knows: state, certificate, streams, outcomes. Exit code 6 where it is not trusted."""
    with errors():
        file = StateFile(state)
        file.load()
        try:
            body = json.loads(file.status_path.read_text())
        except (OSError, ValueError) as error:
            raise Unavailable.of(Reason.UNAVAILABLE, "a status of the daemon", "none", "framegate-agent run") from error
        fresh = time.time() - body["at"] < 5
        if output == "json":
            print(json.dumps({**body, "fresh": fresh}))
        else:
            table = Table(show_header=False, box=None)
            rows = [
                ("device", body["device"] or "not joined"), ("state", body["state"]), ("agent", body["running"] if fresh else "not running"),
                ("certificate", f"{body['certificate_s']} s left"), ("attested", f"{body['attested']} times, {body['rejoined']} by rejoining"),
                ("outcomes", ", ".join(f"{k} {v}" for k, v in body["outcomes"].items()) or "none"),
                ("uninspected", ", ".join(f"{k} {v}" for k, v in body["uninspected"].items()) or "none"),
            ]  # fmt: skip
            rows += [("stream", f"{s['source']} -> {s['gateway'] or 'no gateway'} {'; '.join(s['problem'])}") for s in body["streams"]]
            rows += [("reason", f"{f[0]}: expected {f[1]}, got {f[2]}. {f[3]}") for f in body["failures"]]
            for name, value in rows:
                table.add_row(name, safe(value))
            Console(highlight=False).print(table)
        raise typer.Exit(0 if body["state"] == "trusted" and fresh else EXIT_UNTRUSTED)


@app.command()
def ek(tcti: Tcti = DEFAULT_TCTI, output: Annotated[str, typer.Option("--output", "-o")] = "table") -> None:
    """Show this machine's endorsement key and its hash, which binds a ticket to the machine: framegate camera invite NAME --ek-hash HASH."""
    with errors():
        tpm = Tpm(tcti)
        try:
            found, facts = tpm.endorsement(), tpm.facts()
        finally:
            tpm.close()
        digest = sha256(found.public.spki()).hex()
        if output == "json":
            print(json.dumps({"ek_sha256": digest, "kind": found.words, "certificates": len(found.certificates), "maker": facts.maker}))
        else:
            talk.print(f"{facts.maker} TPM, {found.words}, {len(found.certificates)} certificate(s)")
            print(digest)


@app.command()
def doctor(
    state: State = DEFAULT_STATE, tcti: Tcti = DEFAULT_TCTI, boot_log: BootLog = BOOT_LOG_PATH, ima: Ima = IMA_PATH,
    output: Annotated[str, typer.Option("--output", "-o")] = "table",
) -> None:  # fmt: skip
    """Check TPM, keys, lockout, clock, boot log and reachability; say for each fault how to mend it. Stop the daemon first on a simulated TPM."""
    findings = examine(StateFile(state), tcti, boot_log, ima)
    if output == "json":
        print(json.dumps([{"check": f.check, "good": f.good, "seen": f.seen, "fix": f.fix} for f in findings]))
    else:
        table = Table("", "check", "seen", "fix", box=None)
        for f in findings:
            table.add_row("[green]good[/]" if f.good else "[red]bad[/]", f.check, safe(f.seen), safe(f.fix))
        Console(highlight=False).print(table)
    raise typer.Exit(0 if all(f.good for f in findings) else 1)


@app.command()
def version() -> None:
    """Show the version."""
    print(VERSION)


def run_app() -> None:
    """Entry point.

    gRPC keeps a thread, not a daemon thread, for each channel with a custom signer until the channel's last reference is gone, and an
    exception may hold one: the interpreter would wait for it forever. All is closed and saved by now, so the process ends here.
    """
    code: object = 0
    try:
        app(prog_name="framegate-agent")
    except SystemExit as error:
        code = error.code
    except Exception:  # noqa: BLE001 - a fault of ours: say it all, and still end
        traceback.print_exc()
        code = 1
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)
