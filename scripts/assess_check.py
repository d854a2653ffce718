"""Works out anew what `framegate compliance export` took away, for whoever does not trust the
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
import sys
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

sys.path.insert(0, str(Path(__file__).parent))
from assess_facts import FACTS, Row, Seen, member  # the facts' own recomputation, beside this file

STAGES = ("traditional", "initial", "advanced", "optimal")
LOG_KEY, OPERATOR_KEY = 9, 4
"""Last number of the extended key usage of the record's key, and of an operator's."""


class Differs(Exception):
    """Something does not hold."""


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
    """The payload of a DSSE envelope whose signer stands directly under one of `issuers`, and who
    that is; its certificate lived when it says it was signed.
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
        told_ = [row["stage"], row["assessed"], row["not_assessed"]]
        same(pillar, [least, len(known), len(own_) - len(known)], told_)


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
    digest = hashlib.sha256((given.folder / "catalogue.json").read_bytes()).hexdigest()
    print(f"by catalogue {digest}: compare it with that of a release you trust")
    if given.root is None:
        print("the root is the folder's own: compare it with one that you have from the fleet")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
