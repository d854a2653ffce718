"""A process that verifies one case of evidence over and over, for `bench.beside`: ours.

`python -m framegate_simulators.bench.verifier_engine FOLDER CASE [--first | --reordered]` says
`ready`, then answers each line on its standard input, a number of seconds, with a JSON list of what
each verification took of the processor. `--first` forgets before each what is remembered of lists;
`--reordered` has it know the same files then as another machine measured them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from framegate.evidence.offline import verify_files
from framegate.ima import find_prefix, parse_ima, running_values
from framegate.ima.earlier import forget_lists
from framegate.ima.entry import IMA_PCR
from framegate.ima.judge import ima_failures
from framegate.tpm.constants import Alg
from framegate_simulators.bench.evidence_files import CASES, EvidenceFiles, read_case


def verifier(files: EvidenceFiles) -> Callable[[], None]:
    """One verification of `files`; raises where it does not affirm."""
    pcrs = {"sha256": files.pcrs}
    values = running_values(parse_ima(files.before), Alg.SHA256, bytes(32)) if files.before else []

    def quote_and_logs(*, logs: bool) -> None:
        result = verify_files(
            ak=files.ak,
            attest=files.attest,
            signature=files.signature,
            nonce=files.nonce,
            pcrs=pcrs,
            boot_log=files.boot_log if logs else None,
            ima=files.ima or None if logs else None,
            profile=files.profile if logs else None,
            allowlists=[files.allowlist] if files.allowlist else [],
        )
        if not result.affirming:
            raise RuntimeError("; ".join(map(str, result.failures)))

    def list_alone() -> None:
        quote_and_logs(logs=False)
        measured = parse_ima(files.ima)
        start = values[-1] if values else bytes(32)
        running = running_values(measured, Alg.SHA256, start)
        count = find_prefix(running, lambda value: value == files.pcrs[IMA_PCR])
        rules, given = files.profile.ima, [files.allowlist] if files.allowlist else []
        if rules is None or ima_failures(
            measured.entries[:count],
            rules,
            given,
            Alg.SHA256,
            files.pcrs,
            first=not values,
            violations=0,
        ):
            raise RuntimeError("the list must affirm")

    if files.boot_log is not None:
        return lambda: quote_and_logs(logs=True)
    return list_alone if files.ima else lambda: quote_and_logs(logs=False)


def main() -> None:
    """Verify as often as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("case", choices=CASES)
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--first", action="store_true")
    known.add_argument("--reordered", action="store_true")
    args = parser.parse_args()
    files = read_case(args.folder, CASES[args.case])
    verify = verifier(files)
    verify()
    print("ready", flush=True)
    for line in sys.stdin:
        taken, end = list[float](), time.monotonic() + float(line)
        while not taken or time.monotonic() < end:
            if args.first or args.reordered:
                forget_lists()
            if args.reordered:
                parse_ima(files.reordered)
            begun = time.process_time()
            verify()
            taken.append(time.process_time() - begun)
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main()
