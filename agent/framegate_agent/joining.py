"""Joining a fleet with a ticket: by `framegate-agent join`, or by `run` where it is given one."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from framegate.byte_order_mark import as_utf8
from framegate.errors import Reason, Refused
from framegate.wire import TICKET_PREFIX, parse_ticket
from framegate_agent.attestation import Attester, Outcome
from framegate_agent.findings import tell_findings
from framegate_agent.settings import AgentSettings
from framegate_agent.state import JOINED, AgentState, StateFile
from framegate_agent.tpm.chip import Tpm
from framegate_agent.trusted_clock import TrustedClock
from framegate_host.console import safe, talk
from framegate_host.logs import started
from framegate_host.private_files import write_private
from framegate_host.setting_records import KEPT_FILE
from framegate_host.setting_values import toml_of

MAX_PATH: Final = 1024
"""Characters; a ticket has more."""


async def join_fleet(
    ticket: str, state: Path, tcti: str, boot_log: Path, ima: Path, issuers: tuple[bytes, ...] = ()
) -> Outcome:
    """Prove this machine to the controller that `ticket`, its text, names; keep what it answered in
    the folder `state`, and where TPM and logs are. `issuers` are certificates (DER) that go with
    the key that vouches. Nobody else may use the folder meanwhile (`StateFile.alone`).

    Raises Malformed for another text, and what the controller refused.
    """
    parsed = parse_ticket(ticket)
    start = AgentState(
        parsed.join_address,
        parsed.fleet_address,
        parsed.server_name,
        base64.b64encode(parsed.root).decode(),
        seen_ms=parsed.issued_at_ms,
    )
    tpm = Tpm(tcti)
    try:
        clock = TrustedClock(parsed.issued_at_ms)
        attester = Attester(tpm, boot_log, clock, ima)
        attester.issuers = issuers
        outcome = await attester.join(start, parsed.code, ())
    finally:
        tpm.close()
    file = StateFile(state)
    file.save(outcome.state)
    file.save_clock(clock.marshal())
    _keep(state, {"tcti": tcti, "boot_log": boot_log.absolute(), "ima": ima.absolute()})
    return outcome


async def join_unless_joined(settings: AgentSettings) -> None:
    """Join with the ticket of `settings`, where there is one and this machine is of no fleet. One
    that is not trusted then goes on: it asks again until somebody has settled it.
    """
    if settings.ticket is None:
        return
    if (settings.state / JOINED).exists():
        started.info("this machine has joined a fleet: %s is not used", settings.ticket)
        return
    places = settings.state, settings.tcti, settings.boot_log, settings.ima
    outcome = await join_fleet(ticket_text(str(settings.ticket)), *places)
    device, word = outcome.state.device, outcome.state.state
    if word == "trusted":
        started.info("joined: %s is trusted", device)
        return
    talk.print(f"[yellow]{safe(device)} is {safe(word)}[/]")
    tell_findings(device, outcome.failures)
    talk.print("it goes on asking: once the controller's side is settled, frames flow")


def ticket_text(given: str) -> str:
    """The ticket in the file `given`, or `given` itself where that is one. Raises Refused where it
    is neither, OSError where the file cannot be read.
    """
    if given.strip().startswith(TICKET_PREFIX):
        return given
    if len(given) >= MAX_PATH:
        return given
    wanted = f"a ticket's file, or its text, which begins with {TICKET_PREFIX}"
    hint = "framegate camera invite NAME --out FILE writes one"
    if not Path(given).is_file():
        raise Refused.of(Reason.NOT_FOUND, wanted, f"no file {given!a}", hint)
    try:
        return as_utf8(Path(given).read_bytes()).decode()
    except UnicodeDecodeError as error:
        raise Refused.of(Reason.USAGE, wanted, f"{given}, which is no text", hint) from error


def _keep(state: Path, options: Mapping[str, object]) -> None:
    """Keep what was told of this machine, so that plain `run` and `doctor` find it."""
    lines = [f"{name} = {toml_of(value)}" for name, value in options.items()]
    file = state / KEPT_FILE
    write_private(file, ("\n".join(lines) + "\n").encode())
    told = " ".join(f"--{n.replace('_', '-')} {v}" for n, v in options.items())
    talk.print(f"kept in {safe(file)} for run and doctor: {safe(told)}")
