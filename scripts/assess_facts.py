"""Facts of a record, by whoever does not want to trust the program that measured them: nothing of
Framegate is imported. Definitions: docs/reference/assessment.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import kpi_check

Row = dict[str, Any]
DAY, HOUR, MINUTE = 86_400_000, 3_600_000, 60_000
MOVES = {
    *("invited", "proved", "proved-unpinned", "contradicted", "late", "approved", "quarantine"),
    *("release", "reconsidered", "retire", "replaced"),
}


class Seen:
    """The record as of a time."""

    def __init__(self, rows: list[Row], at: int, two: set[str]) -> None:
        self.rows = [r for r in rows if r["at_ms"] <= at]
        self.at, self.two = at, two
        self.states: dict[str, list[Row]] = {}
        self.proofs: dict[str, list[Row]] = {}
        for row in self.rows:
            device, event = row.get("device", ""), row.get("event", "")
            if device and row.get("to") and event in MOVES:
                self.states.setdefault(device, []).append(row)
            if device and event in ("attested", "proved", "proved-unpinned"):
                self.proofs.setdefault(device, []).append(row)

    def of(self, *names: str, days: int = 0) -> list[Row]:
        """Rows of these events, in the last so many days."""
        since = self.at - days * DAY if days else 0
        named = [r for r in self.rows if r.get("event", r["kind"]) in names]
        return [r for r in named if since < r["at_ms"]]

    def plant(self, kind: str = "") -> dict[str, Row]:
        """Machines that have joined and are not retired, with their last state."""
        last = {d: rows[-1] for d, rows in self.states.items() if d.startswith(kind)}
        return {d: r for d, r in last.items() if r["to"] not in ("invited", "retired")}

    def state(self, device: str, at: int) -> str:
        """A machine's state at a time."""
        before = []
        for row in self.states.get(device, []):
            if row["at_ms"] > at:
                break
            before.append(row)
        return before[-1]["to"] if before else ""

    def reporters(self, *kinds: str) -> set[str]:
        """Who reported in the last 30 days."""
        names = {r["reporter"] for r in self.of("report", days=30)}
        return {n for n in names if n.split(".")[0] in kinds}


Value = tuple[float | None, int, int]


def part(cases: list[bool]) -> Value:
    """A share."""
    good = sum(cases)
    return (round(good / len(cases), 4) if cases else None), good, len(cases)


def number(rows: list[Row], watched: list[Row] | None = None) -> Value:
    """A count."""
    if not rows and watched is not None and not watched:
        return None, 0, 0
    return float(len(rows)), len(rows), len(rows)


def member(row: Row, name: str) -> Any:
    """One typed member of an entry."""
    return row.get("members", {}).get(name)


def person(row: Row) -> bool:
    """Whether an operator acted."""
    return str(row.get("actor", "")).startswith("operator.")


def sign_ins(seen: Seen) -> list[Row]:
    """All that count."""
    rows = seen.of("signed-in", days=30)
    return [r for r in rows if member(r, "method") != "enrolment"]


def phishing_resistant(seen: Seen) -> Value:
    """Fact of this name."""
    return part([member(r, "method") == "security-key" for r in sign_ins(seen)])


def two_factor(seen: Seen) -> Value:
    """Fact of this name."""
    return part([member(r, "method") in ("password", "security-key") for r in sign_ins(seen)])


def enabled(seen: Seen) -> dict[str, Row]:
    """Operators who are let in."""
    people: dict[str, Row] = {}
    out = set()
    for row in seen.of("operator-added", "operator-enabled", "operator-disabled"):
        name = member(row, "operator")
        if row["event"] == "operator-added":
            people[name] = row
        if row["event"] == "operator-disabled":
            out.add(name)
        else:
            out.discard(name)
    return {n: r for n, r in people.items() if n not in out}


def operators_in_use(seen: Seen) -> Value:
    """Fact of this name."""
    came = {r["actor"] for r in seen.of("signed-in", days=90)}
    since = seen.at - 90 * DAY
    people = enabled(seen)
    return part([f"operator.{n}" in came or r["at_ms"] > since for n, r in people.items()])


def without_power(seen: Seen) -> Value:
    """Fact of this name."""
    roles: dict[str, set[str]] = {}
    for row in seen.of("operator-added", "operator-roles", "set-up-ended"):
        name = member(row, "operator")
        if row["event"] == "set-up-ended":
            roles[name] = roles.get(name, set()) - {"admin"}
        else:
            key = "roles" if row["event"] == "operator-added" else "after"
            roles[name] = {r.split("@")[0] for r in member(row, key) or []}
    mine = {n: r for n, r in roles.items() if n in enabled(seen)}
    return part([not r & {"admin", "security", "engineer"} for r in mine.values()])


def changes_by_two(seen: Seen) -> Value:
    """Fact of this name."""
    since = seen.at - 90 * DAY
    rows = [r for r in seen.rows if r.get("verb") in seen.two and r["at_ms"] > since]
    rows = [r for r in rows if r.get("event") not in ("denied", "access-asked") and person(r)]
    return part([bool(r.get("approved_by")) for r in rows])


def break_glass(seen: Seen) -> Value:
    """Fact of this name."""
    looked = seen.of("break-glass-reviewed")
    used = seen.of("break-glass-used", days=90)
    return part(
        [any(r["index"] > u["index"] and r["actor"] != u["actor"] for r in looked) for u in used]
    )


def behaviour(seen: Seen) -> Value:
    """Fact of this name."""
    rows = [r for r in seen.of("behaviour-noticed", days=30) if member(r, "rank") >= 4]
    return number(rows, seen.of("signed-in", days=30))


def policy_by_two(seen: Seen) -> Value:
    """Fact of this name."""
    last = seen.of("policy-applied")[-1:]
    return part([bool(r.get("approved_by")) for r in last if person(r)])


def policies_tried(seen: Seen) -> Value:
    """Fact of this name."""
    tries = [r for r in seen.of("allowed") if r.get("verb") == "policy.simulate"]
    rows = [r for r in seen.of("policy-applied", days=90) if person(r)]
    return part(
        [
            any(p["at_ms"] - 7 * DAY <= t["at_ms"] and t["index"] < p["index"] for t in tries)
            for p in rows
        ]
    )


def exports_by_two(seen: Seen) -> Value:
    """Fact of this name."""
    about = ("frame.export", "dataset.export")
    asked = {member(r, "request") for r in seen.of("access-asked") if member(r, "about") in about}
    cases = []
    for row in seen.of("approval-taken", days=90):
        if member(row, "request") in asked:
            own = (row["actor"], row["actor"].removeprefix("operator."))
            cases.append(any(a not in own for a in member(row, "approvers") or []))
    return part(cases)


def machines_trusted(seen: Seen) -> Value:
    """Fact of this name."""
    return part([r["to"] == "trusted" for r in seen.plant().values()])


def machines_attested(seen: Seen) -> Value:
    """Fact of this name."""
    last = {d: rows[-1]["at_ms"] for d, rows in seen.proofs.items()}
    return part([last.get(d, 0) > seen.at - HOUR for d in seen.plant()])


def machines_pinned(seen: Seen) -> Value:
    """Fact of this name."""
    cases = []
    for device in seen.plant():
        good = True
        for row in seen.states[device]:
            if row["event"] == "proved-unpinned":
                good = False
            elif row["event"] in ("approved", "replaced"):
                good = True
        cases.append(good)
    return part(cases)


def profiles_signed(seen: Seen) -> Value:
    """Fact of this name."""
    revoked = {member(r, "signer") for r in seen.of("profile-signer-revoked")}
    signers = {member(r, "profile"): member(r, "signer") for r in seen.of("profile-added")}
    cases = []
    for device in seen.plant():
        named = [member(r, "profile") for r in seen.proofs.get(device, [])]
        named = [p for p in named if p]
        if named:
            signer = signers.get(named[-1])
            cases.append(bool(signer) and signer not in revoked)
    return part(cases)


def cameras_masked(seen: Seen) -> Value:
    """Fact of this name."""
    masked = {r["device"] for r in seen.of("masks-set")}
    return part([d in masked for d in seen.plant("camera.")])


def frames_from_trusted(seen: Seen) -> Value:
    """Fact of this name."""
    return part(
        [
            any(seen.state(a["device"], a["last_ms"] - n) == "trusted" for n in (0, MINUTE))
            for report in seen.of("report", days=30)
            for a in report["accepted"]
        ]
    )


def reports_covered(seen: Seen) -> Value:
    """Fact of this name."""
    told = kpi_check.coverage(seen.of("report"), seen.at - 30 * DAY)
    return told["rate"], told["part"], told["whole"]


def reporters_heard(seen: Seen) -> Value:
    """Fact of this name."""
    silent = set()
    for row in seen.of("report-withheld", "report-resumed"):
        (silent.add if row["event"] == "report-withheld" else silent.discard)(row["device"])
    return part([n not in silent for n in seen.reporters("gateway", "enforcer")])


def models_approved(seen: Seen) -> Value:
    """Fact of this name."""
    approved = {}
    for row in seen.of("model-approved", "model-withdrawn"):
        approved[member(row, "digest")] = row["event"] == "model-approved"
    pins = {
        member(r, "zone"): member(r, "digest")
        for r in seen.of("model-promoted", "model-rolled-back")
    }
    zones = {d.split(".")[1] for d in seen.plant("gateway.")}
    return part([approved.get(pins.get(z), False) for z in zones])


def without(seen: Seen, kind: str, days: int, *names: str) -> Value:
    """Reporters without these findings."""
    bad = {member(r, "reporter") for r in seen.of(*names, days=days)}
    return part([n not in bad for n in seen.reporters(kind)])


def cameras_steady(seen: Seen) -> Value:
    """Fact of this name."""
    drifted = {r["device"] for r in seen.of("frame-drifted", days=30)}
    return part([d not in drifted for d in seen.plant("camera.")])


def verdicts_right(seen: Seen) -> Value:
    """Fact of this name."""
    return part([member(r, "right") is True for r in seen.of("verdict-reviewed", days=30)])


def incidents(seen: Seen, days: int) -> list[Row]:
    """Incidents that were opened, drills apart."""
    return [r for r in seen.of("incident-opened", days=days) if not member(r, "drill")]


def answers(seen: Seen, number_: int) -> list[Row]:
    """What people did about one."""
    rows = seen.of("incident-noted", "incident-assigned", "incident-closed")
    return [r for r in rows if member(r, "incident") == number_]


def taken_up(seen: Seen) -> Value:
    """Fact of this name."""
    cases = []
    for row in incidents(seen, 30):
        by = row["at_ms"] + 4 * HOUR
        good = any(a["at_ms"] <= by for a in answers(seen, row["index"]))
        if good or seen.at > by:
            cases.append(good)
    return part(cases)


def incidents_old(seen: Seen) -> Value:
    """Fact of this name."""
    rows = [r for r in incidents(seen, 0) if r["at_ms"] <= seen.at - 7 * DAY]
    rows = [
        r
        for r in rows
        if not any(a["event"] == "incident-closed" for a in answers(seen, r["index"]))
    ]
    return number(rows, seen.of("report", days=30))


def kpi(seen: Seen, which: str) -> Value:
    """Facts of times, each the median of one of the figures."""
    names = {"report", "report-resumed", "incident-opened", "incident-linked", *MOVES}
    names |= {"incident-step", "incident-noted", "incident-assigned", "incident-closed"}
    rows = [r for r in seen.rows if r.get("event", r["kind"]) in names]
    since = seen.at - 90 * DAY
    opened = [r for r in rows if r.get("event") == "incident-opened"]
    opened = [r for r in opened if member(r, "detected_ms") >= since and not member(r, "drill")]
    told = kpi_check.response(rows, opened)[which]
    return told["median"], told["n"], told["n"]


def drills_held(seen: Seen) -> Value:
    """Fact of this name."""
    return number([r for r in seen.of("drill-declared", days=90) if member(r, "until_ms")])


def playbooks(seen: Seen) -> Value:
    """Fact of this name."""
    last = {member(r, "playbook"): r for r in seen.of("playbook-enabled", "playbook-disabled")}
    on = [r for r in last.values() if r["event"] == "playbook-enabled"]
    return number([r for r in on if member(r, "mode") in ("act", "ask")])


def sinks(seen: Seen) -> Value:
    """Fact of this name."""
    names = ("siem-added", "siem-removed", "siem-silent", "siem-back")
    last = {member(r, "sink"): r["event"] for r in seen.of(*names)}
    return part([e != "siem-silent" for e in last.values() if e != "siem-removed"])


def entries_lost(seen: Seen) -> Value:
    """Fact of this name."""
    rows = seen.of("registry-restored", days=90)
    lost = [r for r in rows if member(r, "seen") > member(r, "kept")]
    return number(lost, seen.of("operator-added"))


def keys_current(seen: Seen) -> Value:
    """Fact of this name."""
    today = datetime.fromtimestamp(seen.at / 1000, UTC).strftime("%Y-%m-%d")
    last = {member(r, "label"): member(r, "until") or "" for r in seen.of("key-certified")}
    return part([until >= today for until in last.values()])


FACTS: dict[str, Callable[[Seen], Value]] = {
    "sign-ins-phishing-resistant": phishing_resistant,
    "sign-ins-two-factor": two_factor,
    "operators-in-use": operators_in_use,
    "operators-without-standing-power": without_power,
    "changes-by-two": changes_by_two,
    "break-glass-reviewed": break_glass,
    "behaviour-high": behaviour,
    "policy-by-two": policy_by_two,
    "policies-tried": policies_tried,
    "exports-by-two": exports_by_two,
    "machines-trusted": machines_trusted,
    "machines-attested": machines_attested,
    "machines-pinned": machines_pinned,
    "profiles-signed": profiles_signed,
    "cameras-masked": cameras_masked,
    "frames-from-trusted": frames_from_trusted,
    "reports-covered": reports_covered,
    "reporters-heard": reporters_heard,
    "models-approved": models_approved,
    "models-answering": lambda s: without(
        s, "gateway", 30, "known-answer-deviated", "model-refused"
    ),
    "segments-cut": lambda s: without(s, "enforcer", 30, "segment-not-cut", "segment-repaired"),
    "segments-enforcing": lambda s: without(s, "enforcer", 7, "segment-would-refuse"),
    "cameras-steady": cameras_steady,
    "verdicts-reviewed": lambda s: number(s.of("verdict-reviewed", days=30)),
    "verdicts-right": verdicts_right,
    "incidents-taken-up": taken_up,
    "incidents-old": incidents_old,
    "time-to-contain": lambda s: kpi(s, "contain"),
    "time-to-acknowledge": lambda s: kpi(s, "acknowledge"),
    "time-to-recover": lambda s: kpi(s, "recover"),
    "drills-held": drills_held,
    "playbooks-acting": playbooks,
    "sinks-confirming": sinks,
    "backups-made": lambda s: number(s.of("registry-backed-up", days=7)),
    "entries-lost": entries_lost,
    "keys-current": keys_current,
    "authorities-rotated": lambda s: number(s.of("ca-rotated", days=400)),
}
