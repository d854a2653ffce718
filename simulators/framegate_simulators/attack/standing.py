"""N194 to N196: what a fleet says of where it stands, bent: somebody else's word, a word against a
measurement, evidence that was edited.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.assessment.statement import PostureStatement
from framegate.identity.pem import certificates
from framegate_operator.compliance import signed_statement
from framegate_operator.connection import operator_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.target import Seen, Target, attempt, reason_of

CHECK: Final = Path(__file__).parents[3] / "scripts" / "assess_check.py"
BACKUPS: Final = "backups-made"


def _text(about: str, says: str) -> str:
    ends = (datetime.now(UTC) + timedelta(days=30)).date()
    return (
        f'version = 1\n[[statement]]\nabout = "{about}"\nsays = "{says}"\n'
        f'because = "believe me"\nexpires = {ends}\n'
    )


def _state(t: Target, envelope: bytes) -> Seen:
    with operator_stub(t.context) as stub:
        return reason_of(lambda: stub.StatePosture(pb.StatePostureRequest(envelope=envelope)))


@attempt("N194", "a statement signed by another key than that of the session")
def n194(t: Target) -> Seen:
    t.sign_in_again()
    key = ec.generate_private_key(ec.SECP256R1())
    own = certificates(t.context.certificate, "this session")[0].public_bytes(Encoding.DER)
    said = PostureStatement(
        text=_text("hipaa", "not-applicable"),
        operator=t.context.operator,
        signed_at_ms=time.time_ns() // 1_000_000,
    )
    return _state(t, said.seal(own, lambda b: key.sign(b, ec.ECDSA(hashes.SHA256()))))


@attempt("N195", "an operator's word that a control holds which the record shows broken")
def n195(t: Target) -> Seen:
    t.sign_in_again()
    if t.plant.ask("assess")["checks"][BACKUPS]["status"] != "fail":
        return Seen(False, "a backup was made: there is nothing to lie about")
    said = _state(t, signed_statement(t.context, _text("gdpr/art-32.1.c", "pass")))
    claim: dict[str, Any] = t.plant.ask("assess")["claims"]["gdpr"]["art-32.1.c"]
    return Seen(claim["status"] == "fail", f"{said.reason}, and the claim is {claim['status']}")


@attempt("N196", "evidence in which a failure was made a pass, for an auditor's program")
def n196(t: Target) -> Seen:
    folder = t.plant.folder / "evidence"
    t.plant.framegate("compliance", "export", "--out", folder)
    sound = _checked(folder)
    results = json.loads((folder / "results.json").read_text())
    results["checks"][BACKUPS]["status"] = "pass"
    (folder / "results.json").write_text(json.dumps(results))
    edited = _checked(folder)
    return Seen(
        sound.startswith("holds:") and edited.startswith("DOES NOT HOLD"),
        f"before: {sound.partition(':')[0]}; after: {edited}",
    )


def _checked(folder: Path) -> str:
    argv = [sys.executable, str(CHECK), str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    return (done.stdout.splitlines() or [done.stderr])[0]
