"""N152: playbooks as a weapon: a storm, a loop, the last camera of a line."""

from __future__ import annotations

from typing import Final

from framegate.errors import Reason
from framegate.tpm.attest import ClockInfo
from framegate_operator.connection import operator_stub
from framegate_proto.v1 import framegate_pb2 as pb
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
MACHINES: Final = 3
ANSWERED_S: Final = 40.0


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
