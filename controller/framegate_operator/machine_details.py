"""`framegate camera show` and `why`: one machine, in words and as data."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import typer

from framegate.errors import Failure, Reason
from framegate.identity.certificates import from_ms
from framegate_host.console import EXIT_UNTRUSTED, safe, show_json, talk
from framegate_host.findings import show_kinds
from framegate_operator.answers import posture_of
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.machines import Name, detail_of, short_names, summary_json
from framegate_operator.options import Context, Output, read
from framegate_operator.output import (
    ago,
    data,
    errors,
    failure_json,
    in_words,
    short_id,
    shortened,
    show_table,
    until,
)
from framegate_operator.traffic import (
    Traffic,
    ask_traffic,
    frames_cells,
    frames_json,
    gateway_silence,
    to_do,
)
from framegate_proto.v1 import framegate_pb2 as pb

_WHAT_TRUST_MEANS: Final = MappingProxyType(
    {
        "invited": "a ticket is out and nobody has joined with it",
        "pending": "it proved itself by a ticket without an EK hash; an operator has to approve it",
        "trusted": "its last evidence affirms its firmware profile",
        "stale": "no fresh evidence in time; it heals by itself when it attests again, "
        "and its frames are refused until then",
        "suspect": "its own TPM contradicts its firmware profile; it stays so until an operator "
        "releases it and fresh evidence passes",
        "quarantined": "an operator holds it; its frames are refused",
        "retired": "it has left the fleet; only a new ticket brings it back",
    }
)
_LET_GO: Final = frozenset({"approved", "release", "reconsidered"})
"""What makes a machine stale that has missed nothing: somebody let it prove itself anew."""
_TO_PROVE: Final = (
    "it is yet to prove itself anew, which it does by itself with its next attestation; its frames"
    " are refused until then"
)
_CLAIMS: Final = MappingProxyType(
    {2: "affirming", 32: "warning", 96: "contraindicated", 0: "no claim"}
)
"""The values of a trustworthiness vector (draft-ietf-rats-ar4si) that Framegate gives."""
_SHOWN_OF_A_LIST: Final = 8
_MANY: Final = 8
"""Failed checks, from which on a machine may be of another model; what was changed fails few."""


@read
def show(kind: str, name: Name, output: Output = "table", context: Context = None) -> None:
    """Everything known about one."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            detail = detail_of(stub, name, kind)
        if output == "json":
            show_json(_detail_json(detail))
            return
        show_table(("", ""), _facts(detail), empty="")
        by = short_names(e.actor for e in detail.events)
        events = [
            (ago(e.at_ms), e.event, by[e.actor], e.from_state, e.to_state, shortened(e.detail))
            for e in detail.events
        ]
        data.print()
        columns = ("when", "event", "by", "from", "to", "detail")
        show_table(columns, events, empty="no event but routine", spare=("from", "by"))
        talk.print("whole digests: -o json; routine events: framegate events --all")


@read
def why(kind: str, name: Name, output: Output = "table", context: Context = None) -> None:
    """Why it is in its state: what differed, expected and seen, since when, what to do.
    Exit code 6 unless trusted.
    """
    with errors():
        operator = load_context(context)
        with operator_stub(operator) as stub:
            detail = detail_of(stub, name, kind)
            devices = stub.List(pb.ListRequest()).devices
        traffic = ask_traffic(operator, devices)
        if output == "json":
            members = {"device", "state", "since_ms", "failures", "failures_ms"}
            body = {k: v for k, v in _detail_json(detail).items() if k in members}
            if kind == "camera":
                body["frames"] = frames_json(traffic, detail.summary.device)
            show_json(body)
        else:
            _tell_why(detail, traffic)
        if detail.summary.state != "trusted":
            raise typer.Exit(EXIT_UNTRUSTED)


def _facts(detail: pb.DeviceDetail) -> list[tuple[str, object]]:
    s = detail.summary
    claims = sorted(detail.vector.items())
    vector = ", ".join(f"{k} {_CLAIMS.get(v, str(v))}" for k, v in claims)
    tpm = f"{detail.tpm} firmware {detail.tpm_firmware}" if detail.tpm else "not seen yet"
    serviced = "no"
    if s.maintenance_until_ms:
        serviced = f"{until(s.maintenance_until_ms)}: {s.maintenance}"
    return [
        ("device", s.device),
        ("state", s.state),
        ("since", ago(s.since_ms)),
        ("profile", s.profile),
        ("last result", ago(s.last_result_ms)),
        ("result stands", in_words(s.result_remaining_ms)),
        ("maintenance", serviced),
        ("result id", short_id(s.result_id) or "none"),
        ("trustworthiness", vector or "nothing appraised yet"),
        ("TPM", tpm),
        ("EK", short_id(detail.ek_sha256) or "not seen yet"),
        ("endorsed by", detail.ek_endorsement or "nobody yet"),
        ("resets, restarts", f"{detail.reset_count}, {detail.restart_count}"),
        ("IMA entries", detail.ima_entries or "none"),
        *(("finding", f"{f.reason}: {f.actual}; {f.hint}") for f in detail.findings),
        *_posture_rows(posture_of(detail)),
        *(
            (f"PCR {p}", short_id(v))
            for p, v in sorted(detail.pcrs.items(), key=lambda i: int(i[0]))
        ),
        *(("address", a) for a in s.gateway_addresses),
    ]


def _posture_rows(posture: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Posture, a fact a row, lists cut short; everything in it is the agent's own word."""
    rows: list[tuple[str, object]] = []
    for name, value in posture.items():
        if value in ("", -1, []):
            continue
        rows.append((f"says: {name.replace('_', ' ')}", _said(name, value)))
    return rows


def _said(name: str, value: Any) -> object:
    """A fact as people read it."""
    if isinstance(value, bool) or name == "encrypted_root":
        return "yes" if value else "no"
    if name == "firewall":
        return f"{value} rules"
    if name == "clock_ms" and isinstance(value, int):
        return f"{from_ms(value):%F %T}Z"
    return _cut(value)


def _cut(value: Any) -> object:
    if not isinstance(value, list):
        return shortened(value) if isinstance(value, str) else value
    more = len(value) - _SHOWN_OF_A_LIST
    shown = ", ".join(map(str, value[:_SHOWN_OF_A_LIST]))
    return f"{shown} and {more} more" if more > 0 else shown


def _tell_why(detail: pb.DeviceDetail, traffic: Traffic) -> None:
    s = detail.summary
    moves = (e for e in detail.events if e.to_state == s.state and e.from_state != s.state)
    moved = next(moves, None)
    let_go = s.state == "stale" and moved is not None and moved.event in _LET_GO
    means = _TO_PROVE if let_go else _WHAT_TRUST_MEANS.get(s.state, "")
    data.print(f"{safe(s.device)} is [bold]{safe(s.state)}[/], since {ago(s.since_ms)}: {means}.")
    silence = _silence(s, traffic)
    if s.kind == "camera":
        data.print(safe(_frames(s, traffic)))
    elif silence:
        data.print(safe(_but(s, silence)))
    if moved is not None:
        origin, told = safe(moved.from_state or "nothing"), safe(moved.detail)
        by = f"{safe(moved.actor)} ({safe(moved.event)})"
        data.print(f"Moved from {origin} by {by}{f': {told}' if moved.detail else ''}.")
    failures = [Failure(_reason(f.reason), f.expected, f.actual, f.hint) for f in detail.failures]
    if failures:
        checks = f"{len(failures)} check{'s' if len(failures) > 1 else ''}"
        data.print(f"\nIts evidence of {ago(detail.failures_ms)} failed in {checks}:")
        if show_kinds(failures, data):
            data.print(f"\nEvery one: framegate {safe(s.kind)} why {safe(s.name)} -o json")
    camera = traffic.of(s.device)
    uninspected = to_do(camera, s.name) if s.kind == "camera" and camera is not None else ""
    strange = len(failures) > _MANY and s.state == "suspect"
    adopt = f"; a model that is new to the fleet: framegate {s.kind} adopt {s.name} --key SIGNER"
    next_ = _next(s, bool(failures), silence, uninspected)
    next_ = f"wait for that; where it does not come, {next_}" if let_go else next_
    data.print(f"\nNext: {safe(next_)}{safe(adopt) if strange else ''}")


def _silence(s: pb.DeviceSummary, traffic: Traffic) -> str:
    """Why a machine that is trusted does not do its work, as far as that is known."""
    if s.state == "trusted" and not s.result_remaining_ms:
        return "its result is over: it attests again, or it will be stale"
    if s.kind == "camera":
        return traffic.silence(s.device)
    return gateway_silence(traffic, s.device) if s.state == "trusted" else ""


def _reason(value: str) -> Reason:
    return Reason(value) if value in set(Reason) else Reason.INTERNAL


def _frames(s: pb.DeviceSummary, traffic: Traffic) -> str:
    """What of its frames: how fast they come, or why none do."""
    silence, camera = traffic.silence(s.device), traffic.of(s.device)
    if silence or camera is None:
        return _but(s, silence)
    lately = ", ".join(f"{n} {o}" for o, n in sorted(camera.outcomes.items())) or "none"
    rate, last = frames_cells(traffic, s.device)
    return f"Frames: {rate} a second, the last {last}; in the last minute {lately}."


def _but(s: pb.DeviceSummary, silence: str) -> str:
    """Its state, and what is wrong all the same: a sentence, or a question."""
    return f"{s.state.capitalize()}, but {silence}{'' if silence.endswith('?') else '.'}"


def _next(s: pb.DeviceSummary, failed: bool, silence: str, uninspected: str = "") -> str:
    """What its state asks for; where that is nothing, what its UNINSPECTED frames ask for."""

    def command(verb: str) -> str:
        return f"framegate {s.kind} {verb} {s.name}"

    if s.state == "trusted" and Reason.TRUST_FEED in silence and s.kind == "gateway":
        return "see to its host: its disk, and its way to the controller; framegate fleet"
    if s.state == "trusted" and silence and s.kind == "gateway":
        return "does framegate-gateway run on its host? framegate gateway status"
    if s.state == "trusted" and silence:
        return "see to its source and its agent (framegate-agent doctor); framegate status"
    if s.state == "trusted":
        return uninspected or "nothing to do"
    if s.state == "invited":
        return f"run framegate-agent join on the machine, or {command('retire')}"
    if s.state == "pending":
        return command("approve")
    if s.state == "stale":
        looked = "check that the machine runs and reaches the controller (framegate-agent doctor)"
        return f"{looked}; {command('attest-now')}"
    if s.state == "suspect" and failed:
        mended = "put right what differs on the machine and restart it"
        return f"{mended}, then {command('release')}; or {command('retire')}"
    return command("release")


def _detail_json(detail: pb.DeviceDetail) -> dict[str, Any]:
    return {
        **summary_json(detail.summary),
        "failures": [failure_json(f) for f in detail.failures],
        "failures_ms": detail.failures_ms,
        "tpm": detail.tpm,
        "tpm_firmware": detail.tpm_firmware,
        "ek_sha256": detail.ek_sha256,
        "ek_endorsement": detail.ek_endorsement,
        "vector": dict(detail.vector),
        "posture": posture_of(detail) or None,
        "findings": [failure_json(f) for f in detail.findings],
        "ima_entries": detail.ima_entries,
        "reset_count": detail.reset_count,
        "restart_count": detail.restart_count,
        "pcrs": dict(detail.pcrs),
        "events": [_event_json(e) for e in detail.events],
    }


def _event_json(e: pb.EventRow) -> dict[str, Any]:
    return {
        "at_ms": e.at_ms,
        "event": e.event,
        "actor": e.actor,
        "detail": e.detail,
        "from": e.from_state,
        "to": e.to_state,
    }
