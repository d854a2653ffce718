"""Works out anew what `framegate compliance export` took away, by whoever does not want to trust the
program that wrote it: nothing of Framegate is imported, only cryptography and what Python has.

    python3 scripts/assess_check.py FOLDER [--root root.pem] [--at MS]

1. the record is chained, and its last signed head, by a key of the fleet's root, covers all of it;
2. each entry that is named stands under that head (RFC 9162, 2.1.3.2); 3. every fact, check,
function and claim comes to what results.json says; 4. each statement that counts was signed by an
operator of the fleet; 5. OSCAL and OCSF say the same as results.json; 6. the evidence has not
ended, at the time of --at or now. Exit code 1 where one does not hold. Definitions:
docs/reference/assessment.md.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import statistics
import sys
import time
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

sys.path.insert(0, str(Path(__file__).parent))
import kpi_check  # noqa: E402 - the figures' own recomputation, beside this file

Row = dict[str, Any]
DAY, HOUR, MINUTE = 86_400_000, 3_600_000, 60_000
MOVES = {
    *("invited", "proved", "proved-unpinned", "contradicted", "late", "approved", "quarantine"),
    *("release", "reconsidered", "retire", "replaced"),
}
STAGES = ("traditional", "initial", "advanced", "optimal")
LOG_KEY, OPERATOR_KEY = 9, 4
"""Last number of the extended key usage of the record's key, and of an operator's."""


class Differs(Exception):
    """Something does not hold."""


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
    rows = seen.of("signed-in", "break-glass-used", days=30)
    return [r for r in rows if member(r, "method") != "enrolment"]


def phishing_resistant(seen: Seen) -> Value:
    return part([member(r, "method") == "security-key" for r in sign_ins(seen)])


def two_factor(seen: Seen) -> Value:
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
    came = {r["actor"] for r in seen.of("signed-in", days=90)}
    since = seen.at - 90 * DAY
    people = enabled(seen)
    return part([f"operator.{n}" in came or r["at_ms"] > since for n, r in people.items()])


def without_power(seen: Seen) -> Value:
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
    since = seen.at - 90 * DAY
    rows = [r for r in seen.rows if r.get("verb") in seen.two and r["at_ms"] > since]
    rows = [r for r in rows if r.get("event") not in ("denied", "access-asked") and person(r)]
    return part([bool(r.get("approved_by")) for r in rows])


def break_glass(seen: Seen) -> Value:
    looked = seen.of("break-glass-reviewed")
    used = seen.of("break-glass-used", days=90)
    return part(
        [any(r["index"] > u["index"] and r["actor"] != u["actor"] for r in looked) for u in used]
    )


def behaviour(seen: Seen) -> Value:
    rows = [r for r in seen.of("behaviour-noticed", days=30) if member(r, "rank") >= 4]
    return number(rows, seen.of("signed-in", "break-glass-used", days=30))


def policy_by_two(seen: Seen) -> Value:
    last = seen.of("policy-applied")[-1:]
    return part([bool(r.get("approved_by")) for r in last if person(r)])


def policies_tried(seen: Seen) -> Value:
    tries = [r for r in seen.of("allowed") if r.get("verb") == "policy.simulate"]
    rows = [r for r in seen.of("policy-applied", days=90) if person(r)]
    return part(
        [
            any(p["at_ms"] - 7 * DAY <= t["at_ms"] and t["index"] < p["index"] for t in tries)
            for p in rows
        ]
    )


def exports_by_two(seen: Seen) -> Value:
    about = ("frame.export", "dataset.export")
    asked = {member(r, "request") for r in seen.of("access-asked") if member(r, "about") in about}
    cases = []
    for row in seen.of("approval-taken", days=90):
        if member(row, "request") in asked:
            own = (row["actor"], row["actor"].removeprefix("operator."))
            cases.append(any(a not in own for a in member(row, "approvers") or []))
    return part(cases)


def machines_trusted(seen: Seen) -> Value:
    return part([r["to"] == "trusted" for r in seen.plant().values()])


def machines_attested(seen: Seen) -> Value:
    last = {d: rows[-1]["at_ms"] for d, rows in seen.proofs.items()}
    return part([last.get(d, 0) > seen.at - HOUR for d in seen.plant()])


def machines_pinned(seen: Seen) -> Value:
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
    masked = {r["device"] for r in seen.of("masks-set")}
    return part([d in masked for d in seen.plant("camera.")])


def frames_from_trusted(seen: Seen) -> Value:
    return part(
        [
            any(seen.state(a["device"], a["last_ms"] - n) == "trusted" for n in (0, MINUTE))
            for report in seen.of("report", days=30)
            for a in report["accepted"]
        ]
    )


def reports_covered(seen: Seen) -> Value:
    told = kpi_check.coverage(seen.of("report"), seen.at - 30 * DAY)
    return told["rate"], told["part"], told["whole"]


def reporters_heard(seen: Seen) -> Value:
    silent = set()
    for row in seen.of("report-withheld", "report-resumed"):
        (silent.add if row["event"] == "report-withheld" else silent.discard)(row["device"])
    return part([n not in silent for n in seen.reporters("gateway", "enforcer")])


def models_approved(seen: Seen) -> Value:
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
    drifted = {r["device"] for r in seen.of("frame-drifted", days=30)}
    return part([d not in drifted for d in seen.plant("camera.")])


def verdicts_right(seen: Seen) -> Value:
    return part([member(r, "right") is True for r in seen.of("verdict-reviewed", days=30)])


def incidents(seen: Seen, days: int) -> list[Row]:
    """Incidents that were opened, drills apart."""
    return [r for r in seen.of("incident-opened", days=days) if not member(r, "drill")]


def answers(seen: Seen, number_: int) -> list[Row]:
    """What people did about one."""
    rows = seen.of("incident-noted", "incident-assigned", "incident-closed")
    return [r for r in rows if member(r, "incident") == number_]


def taken_up(seen: Seen) -> Value:
    cases = []
    for row in incidents(seen, 30):
        by = row["at_ms"] + 4 * HOUR
        good = any(a["at_ms"] <= by for a in answers(seen, row["index"]))
        if good or seen.at > by:
            cases.append(good)
    return part(cases)


def incidents_old(seen: Seen) -> Value:
    rows = [r for r in incidents(seen, 0) if r["at_ms"] <= seen.at - 7 * DAY]
    rows = [
        r
        for r in rows
        if not any(a["event"] == "incident-closed" for a in answers(seen, r["index"]))
    ]
    return number(rows, seen.of("report", days=30))


def contained(seen: Seen) -> Value:
    names = {"report", "incident-opened", "incident-linked", "incident-step", *MOVES}
    names |= {"incident-noted", "incident-assigned", "incident-closed"}
    rows = [r for r in seen.rows if r.get("event", r["kind"]) in names]
    since = seen.at - 90 * DAY
    opened = [r for r in rows if r.get("event") == "incident-opened"]
    opened = [r for r in opened if member(r, "detected_ms") >= since and not member(r, "drill")]
    told = kpi_check.response(rows, opened)["contain"]
    return told["median"], told["n"], told["n"]


def drills_held(seen: Seen) -> Value:
    return number([r for r in seen.of("drill-declared", days=90) if member(r, "until_ms")])


def playbooks(seen: Seen) -> Value:
    last = {member(r, "playbook"): r for r in seen.of("playbook-enabled", "playbook-disabled")}
    on = [r for r in last.values() if r["event"] == "playbook-enabled"]
    return number([r for r in on if member(r, "mode") in ("act", "ask")])


def sinks(seen: Seen) -> Value:
    names = ("siem-added", "siem-removed", "siem-silent", "siem-back")
    last = {member(r, "sink"): r["event"] for r in seen.of(*names)}
    return part([e != "siem-silent" for e in last.values() if e != "siem-removed"])


def entries_lost(seen: Seen) -> Value:
    rows = seen.of("registry-restored", days=90)
    lost = [r for r in rows if member(r, "seen") > member(r, "kept")]
    return number(lost, seen.of("operator-added"))


def keys_current(seen: Seen) -> Value:
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
    "time-to-contain": contained,
    "drills-held": drills_held,
    "playbooks-acting": playbooks,
    "sinks-confirming": sinks,
    "backups-made": lambda s: number(s.of("registry-backed-up", days=7)),
    "entries-lost": entries_lost,
    "keys-current": keys_current,
    "authorities-rotated": lambda s: number(s.of("ca-rotated", days=400)),
}


def status_of(check: Row, value: float | None) -> str:
    """What a check comes to."""
    if value is None:
        return str(check["empty"])
    low = check["least"] is not None and value < check["least"]
    high = check["most"] is not None and value > check["most"]
    return "fail" if low or high else "pass"


def together(statuses: list[str]) -> str:
    """What several checks come to."""
    for status in ("fail", "not-measured", "pass"):
        if status in statuses:
            return status
    return "not-applicable"


def stage_of(stages: dict[str, list[str]], statuses: dict[str, str], said: Row | None) -> Any:
    """Where a function stands; None where it was not assessed."""
    named = [c for names in stages.values() for c in names]
    if not any(statuses[c] in ("pass", "fail") for c in named):
        return said["says"] if said else None
    reached = "traditional"
    for stage in STAGES[1:]:
        own = [statuses[c] for c in stages.get(stage, [])]
        if not own:
            continue
        if "pass" not in own or any(s not in ("pass", "not-applicable") for s in own):
            break
        reached = stage
    return reached


def claim_of(name: str, framework: str, checks: list[str], statuses: Row, said: Row) -> str:
    """What a claim comes to."""
    words = [said.get(framework), said.get(f"{framework}/{name}")]
    if any(w and w["says"] == "not-applicable" for w in words):
        return "not-applicable"
    status = together([statuses[c] for c in checks])
    return str(words[1]["says"]) if status == "not-measured" and words[1] else status


def rows_of(export: bytes) -> tuple[list[bytes], list[bytes]]:
    """Entries and heads of an export, chained (check 1)."""
    lines = export.splitlines()
    count = json.loads(lines[0])["entries"]
    entries, heads = lines[1 : count + 1], lines[count + 1 :]
    previous = "0" * 64
    for index, line in enumerate(entries):
        body = json.loads(line)
        if body["index"] != index or body["previous"] != previous:
            raise Differs(f"entry {index} does not follow the one before")
        previous = leaf(line).hex()
    return entries, heads


def leaf(data: bytes) -> bytes:
    """A leaf's hash (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """A node's hash."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree(leaves: list[bytes]) -> bytes:
    """The root over leaves' hashes."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node(tree(leaves[:split]), tree(leaves[split:]))


def climb(at: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root that an inclusion path leads to (RFC 9162, 2.1.3.2)."""
    number_, last = index, size - 1
    for sibling in path:
        if last == 0:
            raise Differs("a path that is too long")
        if number_ & 1 or number_ == last:
            at = node(sibling, at)
            while not number_ & 1 and number_:
                number_, last = number_ >> 1, last >> 1
        else:
            at = node(at, sibling)
        number_, last = number_ >> 1, last >> 1
    if last:
        raise Differs("a path that is too short")
    return at


def signed(envelope: Row, purpose: int, issuers: list[x509.Certificate]) -> Row:
    """The payload of a DSSE envelope whose signer stands directly under one of `issuers`, alive when
    it says it was signed.
    """
    (signature,) = envelope["signatures"]
    payload = base64.b64decode(envelope["payload"])
    certificate = x509.load_der_x509_certificate(base64.b64decode(signature["cert"]))
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    if not any(int(u.dotted_string.split(".")[-1]) == purpose for u in usage if own(u)):
        raise Differs("a signature by a key that is for something else")
    if not any(issued(certificate, issuer) for issuer in issuers):
        raise Differs("a signature by a key that is none of this fleet's")
    kind = envelope["payloadType"].encode()
    said = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Differs("a signature by a key of another kind")
    key.verify(base64.b64decode(signature["sig"]), said, ec.ECDSA(hashes.SHA256()))
    body: Row = json.loads(payload)
    at = datetime.fromtimestamp(body.get("at_ms", body.get("signed_at_ms", 0)) / 1000, UTC)
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise Differs("a signature from outside its certificate's life")
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return {"body": body, "name": str(names[0].value)}


def own(usage: x509.ObjectIdentifier) -> bool:
    """Whether a key usage is one of Framegate's, not TLS's."""
    return not usage.dotted_string.startswith("1.3.6.1.5.5.7.")


def issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer`, which is a CA, signed a certificate."""
    try:
        certificate.verify_directly_issued_by(issuer)
        return bool(issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except Exception:  # noqa: BLE001 - whatever it is, it is no proof
        return False


def covered(entries: list[bytes], heads: list[bytes], root: x509.Certificate) -> tuple[int, str]:
    """(size, root) of the last head, which covers every entry (check 1)."""
    if not heads:
        raise Differs("no signed head")
    said = [signed(json.loads(h)["checkpoint"], LOG_KEY, [root])["body"] for h in heads]
    last = max(said, key=lambda h: h["size"])
    found = tree([leaf(e) for e in entries]).hex()
    if last["size"] != len(entries) or last["root"] != found:
        raise Differs("the last signed head is not over these entries")
    return last["size"], found


def statements(seen: Seen, root: x509.Certificate) -> Row:
    """What people said that holds, each with its signature verified (check 4)."""
    told: Row = {}
    for row in seen.of("posture-stated"):
        issuer = x509.load_der_x509_certificate(base64.b64decode(member(row, "issuer")))
        if not issued(issuer, root):
            raise Differs(f"entry {row['index']}: an authority that is none of this fleet's")
        made = signed(json.loads(member(row, "envelope")), OPERATOR_KEY, [issuer])
        who = f"operator.{made['body']['operator']}"
        if {made["name"], who} != {row["actor"]}:
            raise Differs(f"entry {row['index']}: signed by another than who brought it")
        for said in tomllib.loads(made["body"]["text"])["statement"]:
            ends = said["expires"]
            ends_ms = datetime(ends.year, ends.month, ends.day, tzinfo=UTC).timestamp() * 1000
            told[said["about"]] = {**said, "ends": ends_ms, "index": row["index"]}
    return {about: s for about, s in told.items() if s["ends"] > seen.at}


def same(what: str, worked_out: Any, said: Any) -> None:
    """Raises Differs where they are not."""
    if worked_out != said:
        raise Differs(f"{what}: worked out {worked_out!r}, results.json says {said!r}")


def recompute(folder: Path, root: x509.Certificate) -> Row:
    """Checks 1 to 5; how many of each were worked out."""
    results = json.loads((folder / "results.json").read_text())
    catalogue = json.loads((folder / "catalogue.json").read_text())
    export = (folder / "record.jsonl").read_bytes()
    same("digest of the record", hashlib.sha256(export).hexdigest(), results["record_sha256"])
    entries, heads = rows_of(export)
    size, top = covered(entries, heads, root)
    proofs = json.loads((folder / "proofs.json").read_text())
    for index, path in proofs["paths"].items():  # 2
        found = climb(leaf(entries[int(index)]), int(index), size, list(map(bytes.fromhex, path)))
        if found.hex() != top:
            raise Differs(f"the proof of entry {index} does not lead to the signed head")
    seen = Seen([json.loads(e) for e in entries], results["at_ms"], two_of(catalogue))
    statuses = {}
    for name, check in catalogue["checks"]["check"].items():  # 3
        value = FACTS[check["fact"]](seen)
        told = results["checks"][name]
        same(name, list(value), [told["value"], told["part"], told["whole"]])
        statuses[name] = status_of(check, value[0])
        same(name, statuses[name], told["status"])
        missing = [i for i in told["entries"] if str(i) not in proofs["paths"]]
        same(f"proofs of the entries of {name}", missing, [])
    said = statements(seen, root)  # 4
    stages = {}
    for name, function in catalogue["ztmm"]["function"].items():
        stages[name] = stage_of(function, statuses, said.get(f"ztmm/{name}"))
        same(name, stages[name], results["functions"][name]["stage"])
    pillars(stages, results["pillars"])
    for framework, claims in results["claims"].items():
        for name, told in claims.items():
            checks = catalogue["frameworks"][framework]["claim"][name]
            same(f"{framework}/{name}", checks, told["checks"])
            found_ = claim_of(name, framework, checks, statuses, said)
            same(f"{framework}/{name}", found_, told["status"])
    others(folder, results)  # 5
    told_ = {"entries": size, "proofs": len(proofs["paths"]), "checks": len(statuses)}
    claims_ = sum(map(len, results["claims"].values()))
    return {**told_, "functions": len(stages), "claims": claims_, "statements": len(said)}


def two_of(catalogue: Row) -> set[str]:
    """Verbs that take two people."""
    return set(catalogue["two_person_verbs"])


def pillars(stages: Row, told: Row) -> None:
    """A pillar is the least of what was assessed."""
    for pillar, row in told.items():
        own_ = [s for n, s in stages.items() if n.split(".")[0] == pillar]
        known = [s for s in own_ if s is not None]
        least = min(known, key=STAGES.index) if known else None
        same(pillar, [least, len(known), len(own_) - len(known)], list(row.values()))


def others(folder: Path, results: Row) -> None:
    """OSCAL and OCSF say what results.json says (check 5)."""
    wanted = {f"{f}/{n}": c["status"] for f, cs in results["claims"].items() for n, c in cs.items()}
    oscal = json.loads((folder / "assessment-results.json").read_text())["assessment-results"]
    found = {}
    for result in oscal["results"]:
        for finding in result["findings"]:
            target = finding["target"]["target-id"].removesuffix(".checks-hold")
            (status,) = [p["value"] for p in finding["props"] if p["name"] == "status"]
            found[target] = status
            satisfied = finding["target"]["status"]["state"] == "satisfied"
            same(f"OSCAL state of {target}", satisfied, status == "pass")
    same("OSCAL findings", found, {k.replace("/", ".", 1): s for k, s in wanted.items()})
    lines = (folder / "findings.jsonl").read_text().splitlines()
    ids = {"pass": 1, "fail": 3, "not-applicable": 99, "not-measured": 0}
    told = {}
    for line in lines:
        event = json.loads(line)
        told[event["finding_info"]["uid"].split(":claim:")[1]] = event["compliance"]["status_id"]
    same("OCSF findings", told, {k: ids[s] for k, s in wanted.items()})


def main(argv: list[str]) -> int:
    """Print what was worked out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--root", type=Path, help="the fleet's root, from somewhere you trust")
    parser.add_argument("--at", type=int, help="ms since the epoch, for the evidence's end")
    given = parser.parse_args(argv)
    pem = given.root or given.folder / "root.pem"
    root = x509.load_pem_x509_certificate(pem.read_bytes())
    try:
        told = recompute(given.folder, root)
        ends = json.loads((given.folder / "results.json").read_text())["expires_ms"]
        if ends < (given.at or time.time() * 1000):  # 6
            raise Differs("the evidence has ended: export it anew")
    except Exception as error:  # noqa: BLE001 - whatever it is, the folder does not hold
        print(f"DOES NOT HOLD: {error or type(error).__name__}")
        return 1
    print("holds: " + ", ".join(f"{n} {what}" for what, n in told.items()))
    if given.root is None:
        print("the root is the folder's own: compare it with one that you have from the fleet")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
