"""What a verification costs, as multiples of the bare cryptography and hashing within one run; and
false alarms over a script of events.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from framegate.eventlog.event_type import EventType
from framegate.evidence import appraise as appraisal
from framegate.evidence import verify as verification
from framegate.evidence.appraise import appraise
from framegate.evidence.verify import Expectation, verify_evidence
from framegate.ima.allowlist import AllowedFile, allowlist_text, parse_allowlist
from framegate.ima.parse import parse_ima
from framegate.ima.replay import ImaPrefix
from framegate.profile.model import parse_profile
from framegate.tpm.attest import PcrSelection, parse_signature
from framegate.tpm.constants import Alg
from framegate.wire import AttestHello, Challenge, Evidence, sha256, transcript
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware, Measurement, boot_log, measurements
from framegate_simulators.machine.ima import ImaMachine
from framegate_simulators.machine.tpm import TpmMaker
from framegate_simulators.plant.alarms import run_script

EVENTS = 150
ROUNDS = 7


def attested(forge: Forge, pcrs: tuple[int, ...], offset: int = 0) -> tuple[bytes, Expectation]:
    """Evidence by `forge` over `pcrs` and what the verifier expects of it."""
    hello = AttestHello(
        client_nonce=bytes(32), reset_count=1, restart_count=0, boot_log_sha256=bytes(32)
    ).marshal()
    selection = PcrSelection(Alg.SHA256, pcrs)
    challenge = Challenge(
        hello_sha256=sha256(hello),
        session=bytes(16),
        nonce=bytes(32),
        credential=b"",
        encrypted_secret=b"",
        bank=Alg.SHA256,
        pcrs=selection.pcrs,
        ima_offset=offset,
        want_boot_log=1,
        controller="c",
        issued_at_ms=0,
        deadline_ms=0,
        attest_interval_ms=60_000,
    )
    t = transcript(bytes(32), hello, challenge.marshal())
    return forge.evidence(challenge, t, join=False), Expectation(
        transcript=t, ak=forge.ak.public, tls=forge.tls.public, selection=selection, join=False
    )


def per_second(work: Callable[[], object], count: int) -> float:
    """How often `work` is done in a second of the processor, over `count` times."""
    begun = time.process_time()
    for _ in range(count):
        work()
    return count / (time.process_time() - begun)


def _profile(events: list[Measurement], pcrs: tuple[int, ...], allowlist: bytes = b"") -> bytes:
    lines = [
        "[profile]",
        'name = "bench"',
        'version = "1"',
        "revision = 1",
        'bank = "sha256"',
        f"pcrs = {list(pcrs)}",
        "[tpm]",
        'firmware = "any"',
    ]
    lines += ["[secure_boot]", "required = true", "[posture]", 'os_ids = ["debian"]']
    if allowlist:
        lines += [
            "[ima]",
            f'allowlists = ["sha256:{sha256(allowlist).hex()}"]',
            "max_violations = 0",
        ]
    for e in events:
        if e.type != EventType.SEPARATOR:
            lines += [
                "[[event]]",
                f'name = "{e.name}"',
                f"pcr = {e.pcr}",
                f'digests = ["{e.digest(Alg.SHA256).hex()}"]',
                "required = true",
            ]
    return "\n".join(lines).encode()


def _machine() -> tuple[Forge, list[Measurement]]:
    base = measurements(Firmware("simulated-camera"))
    extra = [
        Measurement(
            f"driver {n}", 2, EventType.EFI_BOOT_SERVICES_DRIVER, os.urandom(100), b"driver"
        )
        for n in range(EVENTS - len(base))
    ]
    events = [*base, *extra]
    forge = Forge(TpmMaker.found(), Firmware("simulated-camera"))
    forge.boot(boot_log(events))
    return forge, events


def _bare(
    forge: Forge, events: list[Measurement], evidence: bytes, bodies: list[bytes]
) -> Callable[[], None]:
    """The signature, the hash of everything sent, the replay's hashes, the hashes of data that must
    match: nothing can do with less.
    """
    parts = Evidence.parse(evidence)
    signature, key = parse_signature(parts.quote_signature), forge.ak.public.key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    der = encode_dss_signature(signature.r, signature.s)
    hashed = [
        e.data
        for e in events
        if e.type
        in {
            EventType.SEPARATOR,
            EventType.EFI_VARIABLE_DRIVER_CONFIG,
            EventType.EFI_VARIABLE_AUTHORITY,
            EventType.EFI_ACTION,
        }
    ]
    digests = [e.digest(Alg.SHA256) for e in events]

    def bare() -> None:
        key.verify(der, parts.quote_attest, ec.ECDSA(hashes.SHA256()))
        new, sha1, value = hashlib.sha256, hashlib.sha1, bytes(32)
        new(forge.log).digest()
        new(evidence).digest()
        for digest in digests:
            value = new(value + digest).digest()
        for data in hashed:
            new(data).digest()
        for (
            body
        ) in bodies:  # the template hash as the list carries it, in the bank, and the extension
            sha1(body).digest()
            value = new(value + new(body).digest()).digest()

    return bare


def _forgetting() -> None:
    """Make the next verification the first of its log."""
    verification.remembered_log.cache_clear()
    appraisal._remembered.cache_clear()


def bench_verify() -> dict[str, Any]:
    """Verifications a second and core, and as a multiple of the bare work: a log seen for the first
    time, the same again, with IMA lists, and a delta.
    """
    forge, events = _machine()
    pcrs = tuple(range(10))
    profile = parse_profile(_profile(events, pcrs))
    evidence, expected = attested(forge, pcrs)

    def again() -> None:
        if not appraise(verify_evidence(evidence, expected), profile, None).affirming:
            raise RuntimeError("the benchmark's evidence must affirm")

    def first() -> None:
        _forgetting()
        again()

    bare = _bare(forge, events, evidence, [])
    result: dict[str, Any] = {"events": EVENTS, "log_bytes": len(forge.log)}
    for name, work in (("first_time", first), ("same_log_again", again)):
        result[name] = _compared(work, bare, 150)
    for entries in (1_000, 10_000, 20_000):
        result[f"ima_{entries}"] = _with_ima(forge, events, entries)
    return result


def _compared(work: Callable[[], None], bare: Callable[[], None], count: int) -> dict[str, float]:
    rates, ratios = [], []
    for _ in range(ROUNDS):
        a, b = per_second(work, count), per_second(bare, count)
        rates.append(a)
        ratios.append(b / a)
    return {
        "per_s": round(median(rates), 1),
        "ms": round(1e3 / median(rates), 3),
        "multiple_of_bare": round(median(ratios), 2),
    }


def _with_ima(forge: Forge, events: list[Measurement], entries: int) -> dict[str, Any]:
    files = {
        b"/usr/lib/x86_64-linux-gnu/bench/library-%d.so" % n: hashlib.sha256(b"%d" % n).digest()
        for n in range(entries - 1)
    }
    content = allowlist_text(AllowedFile("sha256", d, p) for p, d in files.items())
    forge.ima = ImaMachine.booted(forge.pcrs, files)
    pcrs = tuple(range(11))
    profile, allowlists = (
        parse_profile(_profile(events, pcrs, content)),
        {sha256(content): parse_allowlist(content)},
    )
    evidence, expected = attested(forge, pcrs)
    bodies = [e.data for e in parse_ima(forge.ima.list_from()).entries]

    def whole() -> None:
        if not appraise(verify_evidence(evidence, expected), profile, None, allowlists).affirming:
            raise RuntimeError("the benchmark's list must affirm")

    count = max(2, 20_000 // entries)
    out = {"whole_list": _compared(whole, _bare(forge, events, evidence, bodies), count)}
    prefix = ImaPrefix(
        entries, 0, forge.ima.values[Alg.SHA256], forge.clock.reset_count, forge.clock.restart_count
    )
    for path, digest in list(files.items())[:10]:
        forge.ima.measure(path, digest)
    delta, asked = attested(forge, pcrs, entries)

    def next_delta() -> None:
        if not appraise(
            verify_evidence(delta, replace(asked, ima_prefix=prefix)), profile, None, allowlists
        ).affirming:
            raise RuntimeError("the benchmark's delta must affirm")

    out["next_10_entries"] = _compared(next_delta, _bare(forge, events, delta, bodies[:10]), 150)
    return out


def bench_alarms() -> dict[str, Any]:
    """False alarms over 200 and more honest events, and tamperings caught."""
    script = run_script()
    return {
        "events": script["events"],
        "false_alarms": len(script["false_alarms"]),
        "tamperings": script["tamperings"],
        "caught": script["caught"],
        "by_kind": script["by_kind"],
    }
