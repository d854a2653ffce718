"""Evidence, honest and hostile, and what is said of it word by word, so that a verifier made faster
can be held to the verdicts of before.

Each case is made from a seed: the same evidence and the same change everywhere. `python -m
support.evidence_corpus` (in tests/) writes the table anew, where a verdict was meant to change.
"""

import gzip
import hashlib
import json
import random
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import tomli_w
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from framegate.errors import FramegateError
from framegate.eventlog import (
    edited_after_measuring,
    parse_boot_log,
    replay,
    structural_failures,
)
from framegate.evidence.appraise import event_failures, secure_boot_failures
from framegate.evidence.offline import verify_files
from framegate.evidence.quote_files import load_ak, load_attest, verify_quote_signature
from framegate.ima import parse_ima, running_values
from framegate.ima.allowlist import AllowedFile, allowlist_text, parse_allowlist
from framegate.ima.judge import ima_failures
from framegate.ima.replay import count_violations, require_one_pcr
from framegate.profile.learn import Observation, learn
from framegate.profile.model import FirmwareProfile, parse_profile
from framegate.tpm.attest import (
    Attest,
    ClockInfo,
    PcrSelection,
    marshal_attest,
    marshal_ecdsa_signature,
)
from framegate.tpm.constants import HASH_NAME, TPM_GENERATED, Alg, Curve, St
from framegate.tpm.policy import pcr_digest
from framegate.tpm.public import AK_ATTRS, marshal_public, parse_public
from framegate_simulators.machine.boot import Firmware, boot_log, measurements
from support.hostile_lists import lists, names, with_a_lie
from support.hostile_logs import made_log
from support.paths import VECTORS

TABLE = VECTORS / "verdicts.txt"
PER_SOURCE = 20
"""Changes of each source in the table."""
PCRS = tuple(range(11))
BANKS = (Alg.SHA1, Alg.SHA256, Alg.SHA384)
_INTERESTING = (0, 1, 4, 40, 48, 0xFF, 0xFFFF, 0x10000, 0x10001, 0x7FFFFFFF, 0xFFFFFFFF)


@dataclass(frozen=True)
class Case:
    name: str
    judged: Callable[[], Any]

    def verdict(self) -> str:
        """Everything that is said, or the refusal, as JSON."""
        try:
            return json.dumps(["read", self.judged()], sort_keys=True, default=str)
        except FramegateError as error:
            return json.dumps([type(error).__name__, told(error.failures)])


def told(failures) -> list[list[str]]:
    return [[f.reason.value, f.expected, f.actual, f.hint] for f in failures]


def changed(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to three changes, as transport, age or malice makes them."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if not out:
            return b""
        at, other = rng.randrange(len(out)), rng.randrange(len(out))
        size = min(rng.choice((1, 4, 20, 58, 120, 400)), len(out))
        kind = rng.randrange(8)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.choice((0, 0x2F, 0x3A, 0xFF, rng.randrange(256)))
        elif kind == 2:
            del out[at : at + size]
        elif kind == 3:
            out[at:at] = out[other : other + size]
        elif kind == 4:
            out[at : at + 4] = struct.pack("<I", rng.choice(_INTERESTING))
        elif kind == 5:
            del out[at:]
        elif kind == 6:
            out[at : at + size], out[other : other + size] = (
                out[other : other + size],
                out[at : at + size],
            )
        else:
            out += rng.choice((bytes(size), b"\n", b"\xff" * size, bytes(out[-size:])))
    return bytes(out)


@cache
def allowlists():
    """Two, of which the second has an aggregate, and content that is allowed anywhere."""
    known = [AllowedFile("sha256", hashlib.sha256(f).digest(), f) for f in names(60)]
    odd = [AllowedFile("sha512", hashlib.sha512(f).digest(), f) for f in names(60)[::5]]
    odd += [AllowedFile("verity:sha256", hashlib.sha256(f).digest(), f) for f in names(60)[::3]]
    odd += [AllowedFile("sha256", hashlib.sha256(b"a b").digest(), b"")]
    return [parse_allowlist(allowlist_text(known[:50])), parse_allowlist(allowlist_text(odd))]


def rules(profile_ima, **changes):
    base = {
        "allowlists": (),
        "max_violations": 1,
        "exclude": (b"/var/",),
        "signed": (b"/usr/",),
        "measured": (b"/usr/lib/", b"/opt/framegate/"),
        "required": (names(3)[1], b"/etc/ima/ima-policy"),
    }
    return replace(profile_ima, **(base | changes))


def of_list(data: bytes) -> Any:
    """Everything that is said of a list."""
    measured = parse_ima(data)
    entries = measured.entries
    said: dict[str, Any] = {
        "width": measured.width.name,
        "padding": measured.padding,
        "entries": [list(e) for e in entries][:400],
        "count": len(entries),
        "violations": count_violations(entries),
        "part": [e.path.hex() for e in entries[1:-1]],
        "prefix": count_violations(entries[: len(entries) // 2]),
    }
    for bank in BANKS:
        start = bytes(hashlib.new(HASH_NAME[bank]).digest_size)
        said[bank.name] = [
            hashlib.sha256(b"".join(values)).hexdigest()
            for values in (
                running_values(measured, bank, start),
                running_values(measured, bank, start, padded_sha1=True),
                running_values(measured, bank, start, pcr=11),
            )
        ]
    try:
        require_one_pcr(entries, 7)
    except FramegateError as error:
        said["pcrs"] = told(error.failures)
    pcrs = {n: bytes(32) for n in range(10)}
    ima = profile().ima
    for label, given in (("both", allowlists()), ("one", allowlists()[:1]), ("none", [])):
        failures = ima_failures(
            entries, rules(ima), given, Alg.SHA256, pcrs, first=label != "one", violations=0
        )
        said[label] = told(failures)
    return said


@cache
def vm() -> dict[str, bytes]:
    return {
        name: gzip.decompress((VECTORS / f"vm/{name}.gz").read_bytes())
        for name in ("boot_log", "ima")
    }


@cache
def listed():
    return parse_allowlist(_learnt()[1])


@cache
def _learnt() -> Any:
    log, ima = parse_boot_log(vm()["boot_log"]), parse_ima(vm()["ima"]).entries
    return learn(
        [Observation(log, ima=ima)],
        name="vm",
        version="1",
        revision=1,
        description="",
        bank=Alg.SHA256,
    )


@cache
def profile() -> FirmwareProfile:
    """The profile that was learnt from the machine whose logs are kept."""
    return parse_profile(tomli_w.dumps(_learnt()[0]).encode())


@cache
def strict() -> FirmwareProfile:
    """The same, with Secure Boot demanded and patterns for commands."""
    body = json.loads(json.dumps(_learnt()[0]))
    body["secure_boot"] = {"required": True, "sbat_minimum": ["shim,3"], "dbx_minimum": ["11" * 32]}
    for text in body.get("text", []):
        text["allow"] = [
            t[: len(t) // 2] + "*" if n % 3 == 0 else t for n, t in enumerate(text["allow"])
        ]
    return parse_profile(tomli_w.dumps(body).encode())


def logs() -> Iterator[tuple[str, bytes]]:
    yield "vm", vm()["boot_log"]
    yield "simulated", boot_log(measurements(Firmware("simulated-camera")))
    for kept in sorted((VECTORS / "corpus/boot-log").iterdir()):
        yield f"kept-{kept.name}", kept.read_bytes()


def of_log(data: bytes) -> Any:
    """Everything that is said of a boot log."""
    log = parse_boot_log(data)
    said: dict[str, Any] = {
        "events": [list(e) for e in log.events],
        "log": [log.startup_locality, log.hcrtm, log.padding, log.skipped],
    }
    for bank in log.banks:
        if bank in HASH_NAME:
            said[f"{bank.name} structure"] = told(structural_failures(log, bank))
            said[f"{bank.name} edited"] = told(edited_after_measuring(log, bank))
            try:
                said[f"{bank.name} replay"] = dict(replay(log, bank))
            except FramegateError as error:
                said[f"{bank.name} replay"] = told(error.failures)
    if Alg.SHA256 in log.banks:
        for judged in (profile(), strict()):
            said[f"events {judged is strict()}"] = told(event_failures(log, judged))
            said[f"secure boot {judged is strict()}"] = told(secure_boot_failures(log, judged))
    return said


@cache
def quote() -> dict[str, bytes]:
    """A quote over PCR 0 to 10 of that machine, by a key of which everybody knows the secret."""
    key = ec.derive_private_key(int.from_bytes(hashlib.sha256(b"corpus").digest()), ec.SECP256R1())
    point = key.public_key().public_numbers()
    ak = marshal_public(
        attributes=AK_ATTRS,
        curve=Curve.NIST_P256,
        x=point.x.to_bytes(32, "big"),
        y=point.y.to_bytes(32, "big"),
        scheme=(Alg.ECDSA, Alg.SHA256),
    )
    values = dict(replay(parse_boot_log(vm()["boot_log"]), Alg.SHA256))
    values[10] = running_values(parse_ima(vm()["ima"]), Alg.SHA256, bytes(32))[-1]
    selection = PcrSelection(Alg.SHA256, PCRS)
    statement = Attest(
        b"",
        TPM_GENERATED,
        St.ATTEST_QUOTE,
        parse_public(ak).qualified_name(),
        bytes(range(32)),
        ClockInfo(1000, 1, 0, True),
        0x2019102300163636,
        (selection,),
        pcr_digest(selection, {p: values.get(p, bytes(32)) for p in PCRS}),
    )
    attest = marshal_attest(statement)
    r, s = utils.decode_dss_signature(
        key.sign(attest, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    )
    return {
        "ak": ak,
        "attest": attest,
        "signature": marshal_ecdsa_signature(r, s),
        "nonce": bytes(range(32)),
        "boot_log": vm()["boot_log"],
        "ima": vm()["ima"],
        "pcrs": json.dumps({p: values.get(p, bytes(32)).hex() for p in PCRS}).encode(),
    }


def of_files(files: dict[str, bytes], *, judged: bool, values: bool) -> Any:
    """Everything that is said of evidence in files; of a signature's bytes nothing is."""
    given: dict[str, Any] = {k: v for k, v in files.items() if k != "pcrs"}
    if values:
        read = json.loads(files["pcrs"])
        given["pcrs"] = {"sha256": {int(p): bytes.fromhex(v) for p, v in read.items()}}
    if judged:
        given |= {"profile": profile(), "allowlists": [listed()]}
    result = verify_files(**given)
    return {
        "failures": told(result.failures),
        "findings": told(result.findings),
        "checked": result.checked,
        "unchecked": result.unchecked,
        "facts": result.facts,
        "vector": result.vector(),
    }


def of_structures(files: dict[str, bytes]) -> Any:
    """What the parsers of a TPM's structures make of them."""
    ak = load_ak(files["ak"])
    attest = load_attest(files["attest"])
    hash_alg = verify_quote_signature(ak, attest.raw, files["signature"])
    return [repr(ak.public), repr(attest), hash_alg.name]


def seeded(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - the same changes each time


def cases(per_source: int = PER_SOURCE, begin: int = 0) -> Iterator[Case]:
    """Every source as it is, and `per_source` changes of each, by seeds from `begin` on."""
    for kind, sources, judged in (("list", lists(), of_list), ("log", logs(), of_log)):
        for name, data in sources:
            label = f"{kind}/{name}"
            yield Case(label, lambda j=judged, d=data: j(d))
            count = per_source if "kept" not in name else per_source // 10
            for seed in range(begin, begin + count):
                other = changed(data, seeded(f"{label} {seed}"))
                yield Case(f"{label}/{seed}", lambda j=judged, d=other: j(d))
    for seed in range(begin, begin + 2 * per_source):
        label = f"list/lie/{seed}"
        yield Case(label, lambda seed=label: of_list(with_a_lie(seeded(seed))))
        label = f"log/made/{seed}"
        yield Case(
            label, lambda seed=label: of_log(made_log(seeded(seed), strict().texts[0].allow))
        )
    whole = quote()
    for judged, values in ((True, True), (True, False), (False, True), (False, False)):
        label = f"files/{'profile' if judged else 'bare'}{'+values' if values else ''}"
        yield Case(label, lambda j=judged, v=values: of_files(whole, judged=j, values=v))
        for seed in range(begin, begin + per_source // 2):
            rng = seeded(f"{label} {seed}")
            which = rng.choice(["ak", "attest", "signature", "nonce", "boot_log", "ima"])
            other = whole | {which: changed(whole[which], rng)}
            yield Case(
                f"{label}/{seed}-{which}",
                lambda o=other, j=judged, v=values: of_files(o, judged=j, values=v),
            )
    for seed in range(begin, begin + per_source):
        rng = seeded(f"structures {seed}")
        which = rng.choice(["ak", "attest", "signature"])
        other = whole | {which: changed(whole[which], rng)}
        yield Case(f"structures/{seed}-{which}", lambda o=other: of_structures(o))


def row(case: Case) -> str:
    """The case's name, the first reason, and the digest of all that is said."""
    verdict = case.verdict()
    said = json.loads(verdict)
    reason = "read" if said[0] == "read" else said[1][0][0]
    if case.name.startswith("files/") and said[0] == "read":
        reason = said[1]["failures"][0][0] if said[1]["failures"] else "affirming"
    return f"{case.name} {reason} {hashlib.sha256(verdict.encode()).hexdigest()[:10]}"


def main() -> None:
    """Write the table; with two numbers, print that many full verdicts from a seed on instead."""
    if len(sys.argv) == 3:
        for case in cases(int(sys.argv[1]), int(sys.argv[2])):
            print(case.name, case.verdict())
        return
    TABLE.write_text("".join(f"{row(case)}\n" for case in cases()))


if __name__ == "__main__":
    main()
