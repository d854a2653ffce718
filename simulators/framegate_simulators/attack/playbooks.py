"""N152, N217, N218, N237: playbooks as a weapon: a storm, a loop, the last camera of a line; whom
somebody else named; a queue that one machine fills; what an approver is not shown.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from framegate.errors import Reason
from framegate.tpm.attest import ClockInfo
from framegate_operator.connection import operator_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.conversation import head
from framegate_simulators.attack.floor import Floor, picture
from framegate_simulators.attack.target import Seen, Target, attempt, reason_of
from framegate_simulators.plant.processes import wait_for

NAMES: Final = ("storm", "echo")
STORM: Final = """\
name = "storm"
summary = "an attacker makes machines suspect to have them all held"
mode = "act"
do = ["quarantine", "notify"]
cooldown = "1h"
[when]
event = ["contradicted"]
[cap]
devices = 1
share = 100
[undo]
quarantine = "release"
notify = "none: what was told is known"
"""
ECHO: Final = """\
name = "echo"
summary = "answers what another playbook did"
mode = "act"
do = ["attest-now"]
cooldown = "1m"
[when]
event = ["quarantine"]
[cap]
devices = 10
share = 100
[undo]
attest-now = "none: asking for a proof changes nothing"
"""
SPOOF: Final = """\
name = "spoof"
summary = "holds whoever sends frames that do not open"
mode = "act"
do = ["quarantine"]
cooldown = "1h"
never = ["break-glass", "approver"]
[when]
event = ["seal-refused"]
[cap]
devices = 10
share = 100
[undo]
quarantine = "release"
"""
AGAIN: Final = """\
name = "again"
summary = "asks about a machine that goes on and on"
mode = "ask"
do = ["notify"]
cooldown = "1m"
[when]
event = ["attest-now"]
[cap]
devices = 10
share = 100
[undo]
notify = "none: what was told is known"
"""
HIDDEN: Final = (
    AGAIN.replace('"again"', '"hidden"')
    .replace('do = ["notify"]', 'do = ["notify", "freeze-zone"]')
    .replace("[undo]", '[undo]\nfreeze-zone = "thaw"')
)
MACHINES: Final = 3
ANSWERED_S: Final = 40.0
COOLED_S: Final = 61.0
"""A little more than the cooldown of `AGAIN`."""
RECORDED_S: Final = 90.0
"""A gateway tells of what it saw within a minute."""


@attempt(
    "N152",
    "machines made suspect to have playbooks hold all of a line, one that answers another, and one"
    " that waits for playbooks",
)
def n152(t: Target) -> Seen:
    t.sign_in_again()
    loop = STORM.replace('"contradicted"', '"playbook-step"')
    with operator_stub(t.context) as stub:
        kept = {r.name: r.revision for r in stub.ListPlaybooks(pb.ListRequest()).rows}
    looped = _enable(t, loop, 0)
    asked = [_enable(t, x, kept.get(n, 0)) for n, x in zip(NAMES, (STORM, ECHO), strict=True)]
    if any(a.refused for a in asked):
        return Seen(False, f"not in force: {asked[0].reason}, {asked[1].reason}")
    try:
        devices = [_suspect(t) for _ in range(MACHINES)]
        wait_for("the request for the rest", lambda: _steps(t, "asked")[1:], ANSWERED_S)
    finally:
        with operator_stub(t.context) as stub:
            for name in NAMES:
                stub.DisablePlaybook(pb.DisablePlaybookRequest(name=name, reason="tried"))
    held = sum(t.state(d) == "quarantined" for d in devices)
    requests = {s.request for s in _steps(t, "expired") if s.playbook == "storm"} - {""}
    echoed = [s for s in _steps(t) if s.playbook == "echo"]
    return Seen(
        held == 1 and len(requests) == 1 and not echoed and looped.reason == Reason.PLAYBOOK,
        f"held {held} of {MACHINES}, asked for the rest in {len(requests)} request, echoed"
        f" {len(echoed)}; {looped.reason}",
    )


def _enable(t: Target, text: str, base: int) -> Seen:
    with operator_stub(t.context) as stub:
        request = pb.EnablePlaybookRequest(text=text, base=base)
        return reason_of(lambda: stub.EnablePlaybook(request))


def _suspect(t: Target) -> str:
    """A machine that was trusted and shows what contradicts its profile."""
    forge, device, _ = t.enrol()
    forge.clock = ClockInfo(50, 0, 0, True)  # as after TPM2_Clear
    t.join(forge)
    return device


def _steps(t: Target, state: str = "") -> list[pb.PlaybookStepRow]:
    with operator_stub(t.context) as stub:
        rows = stub.PlaybookHistory(pb.PlaybookHistoryRequest(limit=1_000)).rows
    return [r for r in rows if state in {"", r.state} and r.number == 0]


@attempt(
    "N217",
    "frames that do not open, in a camera's name, before a playbook that holds whoever sends such",
    control="frame",
)
def n217(t: Target) -> Seen:
    t.sign_in_again()
    floor = t.once(Floor)
    with _in_force(t, "spoof", SPOOF):
        with floor.conversation() as talk:
            session, image = talk.offered(), picture(next(floor.numbers))
            for _ in range(8):  # sealed for an opening that has not come
                talk.send(frame=session.seal(head(next(floor.numbers), image), image))
            talk.finish()
        wait_for("the playbook's answer", lambda: _of(t, "spoof"), RECORDED_S)
        time.sleep(2.0)  # what it would have done by itself is done by then
        states = {s.state for s in _of(t, "spoof")}
    state = t.state(floor.camera.device)
    return Seen(
        state == "trusted" and states <= {"held", "asked"},
        f"the camera is {state}; a person is {' or '.join(sorted(states))}",
    )


@attempt("N218", "one machine that a playbook asks about again and again, while nobody answers")
def n218(t: Target) -> Seen:
    t.sign_in_again()
    _, device, _ = t.enrol()
    with _in_force(t, "again", AGAIN):
        t.change(device, "attest-now")
        wait_for("the request", lambda: _of(t, "again"), ANSWERED_S)
        time.sleep(COOLED_S)
        t.change(device, "attest-now")
        time.sleep(5.0)  # what it would have added is there by then
        waiting = [s for s in _of(t, "again") if s.state in {"held", "asked"}]
    return Seen(len(waiting) == 1, f"{len(waiting)} step waits for two entries")


@attempt("N237", "a playbook that tells of a machine, and freezes its zone where one says yes")
def n237(t: Target) -> Seen:
    t.sign_in_again()
    _, device, _ = t.enrol()
    zone = device.split(".")[1]
    with _in_force(t, "hidden", HIDDEN):
        t.change(device, "attest-now")
        wait_for("the request", lambda: _requests(t, "hidden"), ANSWERED_S)
        (identifier,) = _requests(t, "hidden")
        said = t.plant.framegate("access", "show", identifier).stdout
    lines = said.partition("against what is in force")[0].splitlines()
    shown = [line.partition(": ")[2] for line in lines if ".target" in line or ".actions" in line]
    wanted = [f'"{device}"', '"notify"', f'"{zone}"', '"freeze-zone"']
    told = "its machine and its zone, each with what is done to it"
    return Seen(shown == wanted, f"shown: {told if shown == wanted else shown}")


def _requests(t: Target, playbook: str) -> list[str]:
    return sorted({s.request for s in _of(t, playbook)} - {""})


@contextmanager
def _in_force(t: Target, name: str, text: str) -> Iterator[None]:
    with operator_stub(t.context) as stub:
        kept = {r.name: r.revision for r in stub.ListPlaybooks(pb.ListRequest()).rows}
    enabled = _enable(t, text, kept.get(name, 0))
    if enabled.refused:
        raise RuntimeError(f"{name} is not in force: {enabled.reason}")
    try:
        yield
    finally:
        with operator_stub(t.context) as stub:
            stub.DisablePlaybook(pb.DisablePlaybookRequest(name=name, reason="tried"))


def _of(t: Target, playbook: str) -> list[pb.PlaybookStepRow]:
    return [s for s in _steps(t) if s.playbook == playbook and s.state != "expired"]
