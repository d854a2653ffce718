"""What `framegate camera adopt` does, step by step. It is loaded by that command alone: what reads
logs and learns profiles takes longer to load than most commands take.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from framegate.errors import Failure, Malformed, Reason, Refused
from framegate.evidence.boot_events import event_failures
from framegate.profile.learn import Observation, learn
from framegate.profile.likeness import likeness
from framegate.profile.model import FirmwareProfile, parse_profile
from framegate.profile.review import explain
from framegate.tpm.constants import BANK_BY_NAME
from framegate.wire import sha256
from framegate_host.console import safe, show_failures, talk
from framegate_operator.evidence_files import read_file
from framegate_operator.output import data
from framegate_operator.profile_imports import import_profile
from framegate_operator.profile_learning import observation_of, tell_unlearnt, write_learnt
from framegate_operator.profile_signing import sign_profile
from framegate_proto.v1 import framegate_pb2 as pb

SHOWN: Final = 8
"""Findings that a person reads; a machine of another model has dozens."""


def require_strange(detail: pb.DeviceDetail, called: str) -> None:
    """Raises Refused for a machine that its profile fits, that has not joined, or that was adopted
    as `called` and has shown nothing since.
    """
    s = detail.summary
    if s.state == "trusted":
        wanted, hint = (
            "a machine that its profile does not fit",
            f"framegate {s.kind} show {s.name}",
        )
        raise Refused.of(Reason.CONFLICT, wanted, f"{s.name} is trusted", hint)
    if s.state == "stale" and s.profile == called:
        wanted, seen = (
            "a machine that its profile does not fit",
            f"{s.name} has to satisfy {called}",
        )
        hint = f"framegate {s.kind} attest-now {s.name}"
        raise Refused.of(Reason.CONFLICT, wanted, f"{seen}, and is yet to prove that it does", hint)
    if s.state == "invited":
        hint = "framegate-agent join on the machine, then this again"
        raise Refused.of(Reason.NOT_FOUND, "a machine that has joined", "invited", hint)


def learn_profile(stub: Any, detail: pb.DeviceDetail, called: str, file: Path) -> FirmwareProfile:
    """The profile in `file` where there is one, learnt before; else of what the machine booted."""
    device = detail.summary.device
    machine = observation_of(stub.Observe(pb.DeviceRequest(device=device)))
    _tell_difference(stub, detail, machine, called)
    if file.exists():
        kept = parse_profile(read_file(file))
        if kept.name != called:
            hint = "--out FILE, or --model NAME"
            raise Refused.of(Reason.CONFLICT, f"the profile {called} in {file}", kept.name, hint)
        if kept.kind not in (None, detail.summary.kind):
            wanted = f"a profile for {detail.summary.kind}s in {file}"
            hint = "--out FILE, or remove it to learn anew"
            raise Refused.of(Reason.PROFILE_KIND, wanted, f"one for {kept.kind}s", hint)
        talk.print(f"{safe(file)} is there and is used; remove it to learn anew")
        return kept
    bank = next(
        (b for n, b in BANK_BY_NAME.items() if b in machine.log.banks and n != "sha1"), None
    )
    if bank is None:
        banks = ", ".join(b.name for b in machine.log.banks)
        raise Malformed.of(Reason.BOOT_LOG_MALFORMED, "a log with SHA-256 or stronger", banks)
    revisions = [r.revision for r in _revisions(stub, called)]
    learnt = learn(
        [machine],
        name=called,
        version="1.0.0",
        revision=max(revisions, default=0) + 1,
        description=f"learnt from {device}",
        bank=bank,
    )
    tell_unlearnt([machine])
    return write_learnt(learnt, file)


def _tell_difference(stub: Any, detail: pb.DeviceDetail, machine: Observation, called: str) -> None:
    """That it is another model, or was assigned `called` already, in one line; else what differs of
    its own.
    """
    assigned = detail.summary.profile
    demanded = parse_profile(stub.ShowProfile(pb.ProfileRequest(name=assigned)).toml)
    alike = likeness(machine.log, demanded)
    if alike.other_model:
        talk.print(
            f"nothing of its firmware matches {safe(assigned)}: another machine model "
            f"({alike.known} of {alike.events} events are known at all)"
        )
        return
    if assigned == called and not event_failures(machine.log, demanded):
        talk.print(f"it has to satisfy {safe(called)} already, and booted what that asks for")
        return  # what was found of it may be by the profile before
    talk.print(
        f"[yellow]its firmware is {safe(assigned)}'s[/] ({alike.platform_known} of "
        f"{alike.platform} events): it is that model, and something on it differs. Adopt it only "
        "if that is meant:"
    )
    failures = [
        Failure(_reason(f.reason), f.expected, f.actual, f.hint) for f in detail.failures[:SHOWN]
    ]
    show_failures(failures)
    if len(detail.failures) > SHOWN:
        more = len(detail.failures) - SHOWN
        kind, name = safe(detail.summary.kind), safe(detail.summary.name)
        talk.print(f"and {more} more: framegate {kind} why {name}")


def _reason(value: str) -> Reason:
    return Reason(value) if value in set(Reason) else Reason.INTERNAL


def _revisions(stub: Any, name: str) -> list[pb.ProfileRow]:
    return [r for r in stub.ListProfiles(pb.ListRequest()).profiles if r.name == name]


def show_profile(learnt: FirmwareProfile) -> None:
    """Show the profile, a sentence a line."""
    for line in explain(learnt):
        data.print(safe(line))


def bring_in(stub: Any, learnt: FirmwareProfile, file: Path, key: Path) -> None:
    """Sign and import the profile, unless exactly it is in force."""
    raw = read_file(file)
    if any(r.in_force and r.sha256 == sha256(raw) for r in _revisions(stub, learnt.name)):
        talk.print(f"profile {safe(learnt.name)} is in force")
        return
    signed = sign_profile(file, key)
    beside = file.with_suffix(".allowlist")
    lists = [read_file(beside)] if learnt.ima is not None and beside.exists() else []
    row = import_profile(stub, read_file(signed), lists, for_rollout=False)
    talk.print(f"profile {safe(row.name)} revision {row.revision} is in force")


def assign_profile(stub: Any, summary: pb.DeviceSummary, called: str, why: str) -> None:
    """Have the machine satisfy the profile, release it, and say what comes next."""
    device, state = summary.device, summary.state
    if summary.profile != called:
        request = pb.AssignProfileRequest(device=device, profile=called, reason=why)
        state = stub.AssignProfile(request).state
    if state == "suspect":
        released = pb.ChangeRequest(device=device, event="release", reason=why)
        state = stub.Change(released).state
    talk.print(f"[green]{safe(device)} has to satisfy {safe(called)}[/], now {state}")
    next_ = {
        "pending": f"framegate {summary.kind} approve {summary.name}",
        "quarantined": f"framegate {summary.kind} release {summary.name}",
    }.get(
        state, "framegate-agent run on the machine; where it runs, its next attestation proves it"
    )
    talk.print(f"next: {safe(next_)}")
