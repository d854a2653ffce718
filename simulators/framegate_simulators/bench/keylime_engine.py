"""Keylime's check of a quote, timed on the same files; it speaks the words of `verifier_engine`.

It stands alone, because it runs in an environment that has `keylime` and not Framegate: only
`Tpm.check_quote` is timed, with the evidence received and decoded, and the policy parsed. What its
`tpm2_eventlog` child takes of the processor counts.
"""

from __future__ import annotations

import base64
import copy
import importlib
import json
import os
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

QUIET = """[loggers]
keys = root
[handlers]
keys = none
[formatters]
keys = plain
[formatter_plain]
format = %(message)s
[logger_root]
level = CRITICAL
handlers = none
[handler_none]
class = logging.NullHandler
formatter = plain
args = ()
"""


def loaded(policy: str, folder: Path) -> None:
    """Keylime with settings of its own, and without the GnuPG binding, which quotes do not need."""
    (folder / "verifier.conf").write_text(
        f"[verifier]\nmeasured_boot_policy_name = {policy}\nmeasured_boot_evaluate = once\n"
    )
    (folder / "logging.conf").write_text(QUIET)
    os.environ["KEYLIME_VERIFIER_CONFIG"] = str(folder / "verifier.conf")
    os.environ["KEYLIME_LOGGING_CONFIG"] = str(folder / "logging.conf")
    sys.modules.setdefault("gpg", types.ModuleType("gpg"))
    importlib.import_module("keylime.mba.mba").load_imports(skip_custom_policies=True)


def checker(root: Path, folder: Path, case: dict[str, Any], policy: str) -> Callable[[], float]:
    """One check, from the state of before; returns what it took of the processor."""
    tpm = importlib.import_module("keylime.tpm.tpm_main").Tpm
    state = importlib.import_module("keylime.agentstates").AgentAttestState("bench")
    hashes = importlib.import_module("keylime.common.algorithms").Hash
    lists = importlib.import_module("keylime.ima.ima")

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    def given(at: Path, ima: str | None) -> dict[str, Any]:
        parts = [text((at / f"quote.{n}").read_bytes()) for n in ("attest", "sig", "pcrs")]
        allowed = root / f"allowlist-{case['ima']}.json"
        boot = text((root / "eventlog.bin").read_bytes()) if case["boot"] else None
        reference = root / "mb-refstate.json"
        return {
            "nonce": bytes.fromhex((at / "nonce.hex").read_text()),
            "data": None,
            "aikTpmFromRegistrar": text((at / "ak.tpm2b_public").read_bytes()),
            "quote": "r" + ":".join(parts),
            "tpm_policy": {},
            "ima_measurement_list": ima,
            "runtime_policy": (
                lists.deserialize_runtime_policy(allowed.read_text()) if ima else None
            ),
            "hash_alg": hashes.SHA256,
            "mb_measurement_list": boot,
            "mb_policy": reference.read_text() if boot and reference.exists() else None,
            "mb_policy_name": policy,
            "count": 0,
            "skip_pcr_check": not (ima or boot),
        }

    lines = (root / f"ima-{case['ima']}.txt").read_text().splitlines(True) if case["ima"] else []
    if case["prior"]:
        known = given(folder.parent / case["prior_folder"], "".join(lines[: case["prior"]]))
        if tpm().check_quote(state, ima_keyrings=state.get_ima_keyrings(), **known):
            raise RuntimeError("Keylime refuses the entries of before")
    now = given(folder, "".join(lines[case["prior"] :]) or None)

    def check() -> float:
        before = copy.deepcopy(state)
        begun = processor()
        failed = tpm().check_quote(before, ima_keyrings=before.get_ima_keyrings(), **now)
        taken = processor() - begun
        if failed:
            raise RuntimeError(f"Keylime refuses: {[e.event_id for e in failed.events]}")
        return taken

    return check


def processor() -> float:
    """Seconds of the processor, of this process and of children that have ended."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def main() -> None:
    """Check as often as asked."""
    root, folder, case = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    policy = "example" if (root / "mb-refstate.json").exists() and case["boot"] else "accept-all"
    with tempfile.TemporaryDirectory() as name:
        loaded(policy, Path(name))
        check = checker(root, folder, case, policy)
        check()
        print("ready", flush=True)
        for line in sys.stdin:
            taken, end = list[float](), time.monotonic() + float(line)
            while not taken or time.monotonic() < end:
                taken.append(check())
            print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main()
