"""Coverage-guided fuzzing (atheris) of every parser that meets an attacker's bytes, in a time
budget, from a corpus kept with the tests.

Each target takes bytes and must either return or raise our own errors; anything else, a time-out or
too much memory is a finding. Each runs in a process of its own, because libFuzzer owns its process.
New inputs that reach new code are kept in the work folder; `--keep` copies the smallest set that
covers the same into the corpus.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

MAX_INPUT: Final = 64 * 1024
"""Bytes of one input: enough for a boot log of some hundred events; larger ones only make fuzzing
slow.
"""
MAX_RSS_MB: Final = 1024
TIMEOUT_S: Final = 10
"""A parser that takes ten seconds on 64 KiB hangs."""


def targets() -> dict[str, Callable[[bytes], Any]]:  # noqa: C901 - one a parser
    """Name to parser; imported here, so that atheris can instrument what they import."""
    from framegate.eventlog import (
        edited_after_measuring,
        parse_boot_log,
        replay,
        structural_failures,
    )
    from framegate.eventlog.content import revoked_hashes, sbat_levels
    from framegate.eventlog.describe import event_rows
    from framegate.evidence.pcr_files import parse_pcr_file
    from framegate.evidence.quote_files import load_ak, load_attest
    from framegate.identity.certificate_file import load_certificate_file
    from framegate.identity.endorsement import load_chain
    from framegate.identity.lenient import load_leniently
    from framegate.ima import cut_entries, parse_ima, running_values
    from framegate.ima.allowlist import parse_allowlist
    from framegate.ima.checksums import parse_checksums
    from framegate.profile.model import parse_profile
    from framegate.profile.posture import parse_posture
    from framegate.sframe import parse_header
    from framegate.signed.dsse import parse_envelope, strict_json
    from framegate.tpm.attest import parse_attest, parse_signature
    from framegate.tpm.constants import HASH_NAME, Alg
    from framegate.tpm.public import parse_public, require_ak, require_ek
    from framegate.wire import (
        AttestHello,
        Challenge,
        Evidence,
        GatewayPublics,
        Hello,
        Opening,
        Ticket,
    )
    from framegate_operator.reference_values import from_corim
    from framegate_proto.v1 import framegate_pb2 as pb

    def structures(data: bytes) -> None:
        kind, body = data[:1], data[1:]
        parsers: tuple[Callable[[bytes], Any], ...] = (
            parse_attest,
            parse_signature,
            parse_public,
            load_ak,
            load_attest,
            parse_header,
            parse_pcr_file,
            parse_checksums,
        )
        parsers[(kind[0] if kind else 0) % len(parsers)](body)
        public = parse_public(body)
        for require in (require_ak, require_ek):
            require(public)

    def boot_log(data: bytes) -> None:
        log = parse_boot_log(data)
        for bank in log.banks:
            if bank in HASH_NAME:
                replay(log, bank)
                structural_failures(log, bank)
                edited_after_measuring(log, bank)
                event_rows(log, bank)

    def ima(data: bytes) -> None:
        entries = parse_ima(data)
        running_values(entries, Alg.SHA256, bytes(32))
        if not data[:1].isdigit():
            cut_entries(data, 0, 1)

    def certificate(data: bytes) -> None:
        load_certificate_file(data)
        load_chain([data, data])
        load_leniently(data)

    def records(data: bytes) -> None:
        for record in (Hello, Evidence, Challenge, AttestHello, GatewayPublics, Opening, Ticket):
            try:
                record.parse(data)
            except _ours():
                continue

    def edge(data: bytes) -> None:
        from google.protobuf.message import DecodeError

        for message in (
            pb.BeginRequest,
            pb.EvidencePart,
            pb.CameraMessage,
            pb.ImportProfileRequest,
            pb.TrustUpdate,
        ):
            try:
                parsed = message.FromString(data)
            except (DecodeError, UnicodeDecodeError):
                continue
            if isinstance(parsed, pb.BeginRequest):
                Hello.parse(parsed.hello)

    def event_fields(data: bytes) -> None:
        kind, body = data[:1], data[1:]
        parsers: tuple[Callable[[bytes], Any], ...] = (
            parse_profile,
            parse_allowlist,
            parse_posture,
            strict_json,
            lambda b: parse_envelope(b, "x"),
            revoked_hashes,
            sbat_levels,
            lambda b: from_corim(b, "x"),
        )
        parsers[(kind[0] if kind else 0) % len(parsers)](body)

    return {
        "structures": structures,
        "boot-log": boot_log,
        "ima": ima,
        "certificate": certificate,
        "records": records,
        "edge": edge,
        "words": event_fields,
    }


def _ours() -> type[Exception]:
    from framegate.errors import FramegateError

    return FramegateError


def run_one(name: str, data: bytes) -> None:
    """One input through one target. Raises only where there is a finding."""
    try:
        targets_cached()[name](data)
    except _ours():
        return


_CACHE: dict[str, Callable[[bytes], Any]] = {}


def targets_cached() -> dict[str, Callable[[bytes], Any]]:
    """`targets`, imported once."""
    if not _CACHE:
        _CACHE.update(targets())
    return _CACHE


def seeds() -> dict[str, list[bytes]]:
    """Good inputs by target, made by the simulators: what fuzzing starts from besides the
    corpus.
    """
    from framegate.tpm.buffer import tpm2b
    from framegate.wire import AttestHello, Challenge
    from framegate_proto.v1 import framegate_pb2 as pb
    from framegate_simulators.forge.forge import Forge
    from framegate_simulators.machine.boot import Firmware, boot_log, measurements, profile_toml
    from framegate_simulators.machine.ima import ImaMachine, allowlist_of
    from framegate_simulators.machine.tpm import TpmMaker

    forge = Forge(TpmMaker.found(), Firmware("simulated-camera"))
    challenge = Challenge(
        hello_sha256=bytes(32),
        session=bytes(16),
        nonce=bytes(32),
        credential=b"",
        encrypted_secret=b"",
        bank=11,
        pcrs=tuple(range(11)),
        ima_offset=0,
        want_boot_log=1,
        controller="c",
        issued_at_ms=0,
        deadline_ms=0,
        attest_interval_ms=1000,
    )
    kept: dict[str, Any] = {}

    def keep(p: dict[str, Any]) -> dict[str, Any]:
        kept.update(p)
        return p

    forge.change_evidence = keep
    evidence = forge.evidence(challenge, bytes(32))
    hello = forge.hello(bytes(16))
    ima = ImaMachine.booted(forge.pcrs, {b"/a": bytes(32)})
    ima.measure(b"/s", bytes(32), signature=b"\3\2\4" + bytes(80))
    ima.measure(b"/v", bytes(32), violation=True)
    ak, attest = forge.ak.public.raw, kept["quote_attest"]
    again = AttestHello(
        client_nonce=bytes(32), reset_count=1, restart_count=0, boot_log_sha256=bytes(32)
    )
    return {
        "structures": [
            bytes([n]) + s
            for n, s in enumerate(
                (attest, kept["quote_signature"], ak, tpm2b(ak), tpm2b(attest), b"\x40\1")
            )
        ],
        "boot-log": [
            boot_log(measurements(Firmware("x")))[:4000],
            boot_log(measurements(Firmware("x"))[:3], locality=3),
        ],
        "ima": [ima.list_from()],
        "certificate": list(forge.ek_certificates),
        "records": [hello, evidence[:8000], challenge.marshal(), again.marshal()],
        "edge": [
            pb.BeginRequest(hello=hello).SerializeToString(),
            pb.EvidencePart(
                offer=pb.EvidenceOffer(state=b"s", mac=b"m", size=1, sha256=bytes(32))
            ).SerializeToString(),
        ],
        "words": [
            b"\0" + profile_toml(Firmware("x"), "x").encode(),
            b"\1" + allowlist_of("x", "1")[:2000],
            b"\2" + forge.posture,
            b"\6sbat,1,2024\n",
            b"\7\xd9\x01\xf5\xa1\x01\x80",
        ],
    }


def _worker(name: str, folders: list[str], seconds: int) -> None:
    import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

    with atheris.instrument_imports(include=["framegate", "framegate_controller"]):
        targets_cached()
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_INPUT}",
        f"-rss_limit_mb={MAX_RSS_MB}",
        f"-timeout={TIMEOUT_S}",
        f"-artifact_prefix={folders[0]}/../{name}-",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    atheris.Setup([sys.argv[0], *folders, *options], lambda data: run_one(name, data))
    atheris.Fuzz()


def main() -> None:
    """make fuzz."""
    parser = argparse.ArgumentParser(
        description="Fuzz every parser from the corpus; exit code 1 where something was found."
    )
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together")
    parser.add_argument("--corpus", type=Path, default=Path("tests/vectors/corpus"))
    parser.add_argument("--work", type=Path, default=Path("build/fuzz"))
    parser.add_argument(
        "--keep", action="store_true", help="copy what reaches new code into the corpus"
    )
    parser.add_argument("--target", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.target:
        _worker(
            args.target,
            [str(args.work / args.target), str(args.corpus / args.target)],
            args.seconds,
        )
        return
    names, crashed = list(targets()), []
    for name, inputs in seeds().items():
        (args.work / name).mkdir(parents=True, exist_ok=True)
        (args.corpus / name).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs):
            (args.work / name / f"seed-{number}").write_bytes(data)
    each = max(2, args.seconds // len(names))
    for name in names:
        begun = time.monotonic()
        argv = [
            sys.executable,
            "-m",
            "framegate_simulators.fuzz.run",
            "--target",
            name,
            "--seconds",
            str(each),
            "--corpus",
            str(args.corpus),
            "--work",
            str(args.work),
        ]
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=False,
            timeout=each + 120,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        text = done.stdout + done.stderr
        runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
        cover = re.findall(r"cov: (\d+)", text)
        bad = done.returncode != 0
        took, ended = time.monotonic() - begun, "FOUND SOMETHING" if bad else "nothing found"
        print(
            f"{name:12} {int(runs[1]) if runs else 0:>10,} runs  {cover[-1] if cover else '?':>6}"
            f" edges  {took:5.0f} s  {ended}",
            flush=True,
        )
        if bad:
            crashed.append(name)
            print("\n".join(text.splitlines()[-40:]), file=sys.stderr)
        if args.keep and not bad:
            _minimise(args, name)
    if crashed:
        sys.exit(1)


def _minimise(args: argparse.Namespace, name: str) -> None:
    """Copy the smallest inputs that cover what the work folder covers."""
    from hashlib import sha256

    kept = sorted((args.work / name).iterdir(), key=lambda p: p.stat().st_size)[:40]
    for path in kept:
        data = path.read_bytes()
        if len(data) <= 2048:
            (args.corpus / name / sha256(data).hexdigest()[:16]).write_bytes(data)


def replay_corpus(corpus: Path) -> dict[str, int]:
    """Every kept input through its target: target to how many. Raises where one is a finding."""
    counts = {}
    for name in targets_cached():
        files = sorted((corpus / name).iterdir()) if (corpus / name).is_dir() else []
        for file in files:
            run_one(name, file.read_bytes())
        counts[name] = len(files)
    return counts


if __name__ == "__main__":
    main()
