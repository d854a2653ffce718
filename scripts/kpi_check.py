"""The figures of `framegate kpi`, out of an export of the record, by whoever does not want to trust
the program that made either: nothing of Framegate is imported. Definitions: docs/reference/kpis.md.

    python3 scripts/kpi_check.py EXPORT [SINCE_MS]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HOUR, LATE = 3_600_000, 180_000
Row = dict[str, Any]


def main(argv: list[str]) -> int:
    """Print the figures as JSON."""
    since = int(argv[2]) if len(argv) > 2 else 0
    with Path(argv[1]).open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    print(json.dumps(figures([r for r in rows if "index" in r and "kind" in r], since), indent=1))
    return 0


def figures(rows: list[Row], since: int = 0) -> dict[str, Any]:
    """Figures of entries, in order."""
    opened = [r for r in rows if r.get("event") == "incident-opened"]
    opened = [r for r in opened if r["members"]["detected_ms"] >= since]
    return {
        "real": response(rows, [r for r in opened if not r["members"]["drill"]]),
        "drills": response(rows, [r for r in opened if r["members"]["drill"]]),
        "coverage": coverage(rows, since),
        "actions_undone": undone(rows, since),
        "approvals": approvals(rows, since),
        "sink_lag": sink_lag(rows, since),
    }


def response(rows: list[Row], opened: list[Row]) -> dict[str, Any]:
    """Times and false alarms of these incidents."""
    times: dict[str, list[int]] = {n: [] for n in ("detect", "contain", "acknowledge", "recover")}
    waiting = dict.fromkeys(times, 0)
    closed = alarms = 0
    for incident in opened:
        own = [r for r in rows if r.get("members", {}).get("incident") == incident["index"]]
        own = [r for r in own if str(r.get("event", "")).startswith("incident-")]
        ends = [r for r in own if r["event"] == "incident-closed"]
        verdict = ends[-1]["members"]["verdict"] if ends else ""
        got = one(rows, incident, own)
        left = got.pop("left")
        for name, value in got.items():
            if value is not None:
                times[name].append(max(0, value))
            elif not ends and name != "detect" and (name != "recover" or left is not None):
                waiting[name] += 1
        if ends and verdict not in ("test", "insufficient-data"):
            closed += 1
            alarms += verdict in ("false-positive", "benign")
    told: dict[str, Any] = {n: spread(times[n], waiting[n]) for n in times}
    return {"incidents": len(opened), **told, "false_alarms": share(alarms, closed)}


def one(rows: list[Row], incident: Row, own: list[Row]) -> dict[str, int | None]:
    """Four times of one incident, and when its machine left trust."""
    members, device = incident["members"], incident.get("device", "")
    trigger, at = members["trigger"], members["detected_ms"]
    about = [r for r in rows if r["kind"] == "event" and device and r.get("device") == device]
    detect: int | None = None
    for row in about:
        if row["index"] < trigger and row["event"] in ("attested", "proved", "proved-unpinned"):
            detect = at - row["at_ms"]
    for row in about:
        if row["index"] == trigger and "first_ms" in row.get("members", {}):
            detect = at - row["members"]["first_ms"]
        elif row["index"] == trigger and "silent_s" in row.get("members", {}):
            detect = row["members"]["silent_s"] * 1000
    moves = [r for r in about if r.get("to") and r["index"] >= trigger]
    left = next((r["at_ms"] for r in moves if r["to"] != "trusted"), None)
    if members["title"] == "known-answer-deviated":
        left = at
    back = [r["at_ms"] for r in moves if r["to"] == "trusted" and r["index"] > trigger][:1]
    if not back:
        steps = {n for r in own if r["event"] == "incident-step" for n in r["members"]["entries"]}
        resumed = [r for r in about if r["index"] in steps and r["event"] == "report-resumed"]
        back = sorted(r["at_ms"] for r in resumed)[:1]
    by_people = [r["at_ms"] for r in own if r["event"] not in ("incident-linked", "incident-step")]
    return {
        "detect": detect,
        "contain": contained(rows, device, at, left, back),
        "acknowledge": by_people[0] - at if by_people else None,
        "recover": back[0] - at if back else None,
        "left": left,
    }


def contained(
    rows: list[Row], device: str, at: int, left: int | None, back: list[int]
) -> int | None:
    """From detection to the last frame that anybody accepted."""
    reports = [r for r in rows if r["kind"] == "report"]
    if left is None or not reports:
        return None
    until = back[0] if back else max(r["at_ms"] for r in rows) + 1
    told = [(r["reporter"], r["closed_at_ms"], accepted(r, device)) for r in reports]
    last: dict[str, int] = {}
    for reporter, _, seen in told:
        if at - HOUR <= seen < until:
            last[reporter] = max(last.get(reporter, seen), seen)
    for reporter, seen in last.items():
        quiet = [c for who, c, s in told if who == reporter and not s and c > max(seen, left)]
        if not quiet:
            return None
    if not last and all(c <= left for _, c, _ in told):
        return None
    return max(last.values()) - at if last else 0


def accepted(report: Row, device: str) -> int:
    """When the last frame of, or by, a machine was accepted in a report; 0 for never."""
    mine = [a["last_ms"] for a in report["accepted"] if device in (a["device"], report["reporter"])]
    return max(mine) if mine else 0


def coverage(rows: list[Row], since: int) -> dict[str, Any]:
    """Reported time of the time since each reporter's first report."""
    reports = [r for r in rows if r["kind"] == "report" and r["closed_at_ms"] > since]
    end = max((r["at_ms"] for r in rows), default=0)
    part = whole = 0
    for reporter in {r["reporter"] for r in reports}:
        own = [r for r in reports if r["reporter"] == reporter]
        begin, last = max(since, own[0]["from_ms"]), own[-1]["closed_at_ms"]
        whole += (end if end - last > LATE else last) - begin
        part += sum(r["closed_at_ms"] - max(begin, r["from_ms"]) for r in own)
    return share(part, whole)


def undone(rows: list[Row], since: int) -> dict[str, Any]:
    """Quarantines lifted of quarantines imposed."""
    states: dict[str, str] = {}
    counts: dict[str, bool] = {}
    part = whole = 0
    for row in rows:
        device, to = row.get("device", ""), row.get("to", "")
        if not device or not to:
            continue
        if to == "quarantined" and states.get(device) != "quarantined":
            counts[device] = row["at_ms"] >= since
            whole += counts[device]
        elif to == "stale" and states.get(device) == "quarantined":
            part += counts[device]
        states[device] = to
    return share(part, whole)


def approvals(rows: list[Row], since: int) -> dict[str, Any]:
    """From asking to the first answer."""
    asked: dict[str, int] = {}
    answered: dict[str, int] = {}
    for row in rows:
        request = row.get("members", {}).get("request", "")
        if row.get("event") == "access-asked":
            asked.setdefault(request, row["at_ms"])
        elif row.get("event") in ("access-approved", "access-denied"):
            answered.setdefault(request, row["at_ms"])
    mine = {r: at for r, at in asked.items() if at >= since}
    known = [max(0, answered[r] - at) for r, at in mine.items() if r in answered]
    return spread(known, len(mine) - len(known))


def sink_lag(rows: list[Row], since: int) -> dict[str, Any]:
    """From a sink's silence to its coming back."""
    silent: dict[str, int] = {}
    known = []
    for row in rows:
        sink = row.get("members", {}).get("sink", "")
        if row.get("event") == "siem-silent":
            silent.setdefault(sink, row["at_ms"])
        elif row.get("event") == "siem-back" and sink in silent:
            begun = silent.pop(sink)
            if begun >= since:
                known.append(max(0, row["at_ms"] - begun))
    return spread(known, len(silent))


def spread(values: list[int], waiting: int) -> dict[str, Any]:
    """n, median, nearest-rank p90, max, open; the values where they are fewer than five."""
    ranked, n = sorted(values), len(values)
    if not n:
        return {"n": 0, "median": None, "p90": None, "max": None, "open": waiting, "values": []}
    middle = (ranked[(n - 1) // 2] + ranked[n // 2]) / 2
    p90 = ranked[-(-9 * n // 10) - 1]
    few = ranked if n < 5 else []
    told = {"n": n, "median": middle, "p90": p90, "max": ranked[-1]}
    return {**told, "open": waiting, "values": few}


def share(part: int, whole: int) -> dict[str, Any]:
    """A rate of four digits; none without a whole."""
    return {"part": part, "whole": whole, "rate": round(part / whole, 4) if whole else None}


if __name__ == "__main__":
    sys.exit(main(sys.argv))
