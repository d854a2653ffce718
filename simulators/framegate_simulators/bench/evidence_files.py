"""The evidence that verifiers are timed on side by side, as files that each of them can read.

A folder for each moment (`boot`, and `ima-N` after N entries of the list) holds
`ak.tpm2b_public`, `quote.attest`, `quote.sig`, `nonce.hex`, `pcrs.json` and `quote.pcrs`, the
values as `tpm2_quote -o` writes them. Beside them lie what all share: `eventlog.bin`,
`ima-10000.txt` and the like, the list in its ASCII form, `allowlist-10000.json`, a Keylime runtime
policy of its files; and, where Keylime's `example` policy is to judge the boot log,
`mb-refstate.json`. Evidence of one's own may have folders with a prefix.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from framegate.eventlog import parse_boot_log
from framegate.ima import parse_ima
from framegate.ima.allowlist import AllowedFile, Allowlist, allowlist_text, parse_allowlist
from framegate.ima.entry import BOOT_AGGREGATE, IMA_PCR, ImaEntries
from framegate.profile.learn import Observation, learn
from framegate.profile.model import FirmwareProfile, parse_profile
from framegate.tpm.attest import Attest, PcrSelection, marshal_attest
from framegate.tpm.buffer import tpm2b
from framegate.tpm.constants import TPM_GENERATED, Alg, St
from framegate.tpm.policy import pcr_digest
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.machine.ima import ImaMachine
from framegate_simulators.machine.tpm import TpmMaker

PCRS: Final = tuple(range(11))
NONCE: Final = bytes(range(32))
LONGEST: Final = 10_000
NEW: Final = 100
"""Entries of the longest list that are new, in the case where the rest is known."""
SWAPPED: Final = 50
"""Of so many files another machine measured one before the one that stands before it here."""


class Case(NamedTuple):
    """What is verified: a quote, the first `ima` entries of the list but for `prior` ones, which
    are known; the boot log.
    """

    moment: str
    ima: int = 0
    prior: int = 0
    boot: bool = False


CASES: Final = {
    "quote": Case("ima-1000"),
    "ima-1000": Case("ima-1000", 1_000),
    "ima-10000": Case(f"ima-{LONGEST}", LONGEST),
    "ima-last-100": Case(f"ima-{LONGEST}", LONGEST, LONGEST - NEW),
    "boot": Case("boot", boot=True),
    "all-1000": Case("ima-1000", 1_000, boot=True),
}


@dataclass(frozen=True, slots=True)
class EvidenceFiles:
    """The files of one case, read; `reordered` is the list of another machine, which measured the
    same files in another order.
    """

    ak: bytes
    attest: bytes
    signature: bytes
    nonce: bytes
    pcrs: Mapping[int, bytes]
    boot_log: bytes | None
    ima: bytes
    reordered: bytes
    before: bytes
    allowlist: Allowlist | None
    profile: FirmwareProfile


def folder_of(root: Path, moment: str) -> Path:
    """The folder of `moment`, of an ECDSA key where there are several."""
    fitting = sorted(
        p for p in root.iterdir() if p.is_dir() and f"-{p.name}".endswith(f"-{moment}")
    )
    return fitting[0]


def read_case(root: Path, case: Case) -> EvidenceFiles:
    """The evidence of `case`, and the profile that is learnt from it."""
    folder = folder_of(root, case.moment)
    pcrs = json.loads((folder / "pcrs.json").read_text())["sha256"]
    values = {int(pcr): bytes.fromhex(value) for pcr, value in pcrs.items()}
    text = (root / f"ima-{case.ima}.txt").read_bytes() if case.ima else b""
    lines = text.splitlines(keepends=True)
    before, ima = (
        b"".join(map(_entry, part)) for part in (lines[: case.prior], lines[case.prior :])
    )
    listed = _allowlist(root / f"allowlist-{case.ima}.json") if case.ima else b""
    log = (root / "eventlog.bin").read_bytes()
    entries = parse_ima(ima).entries if ima else ImaEntries()
    return EvidenceFiles(
        ak=(folder / "ak.tpm2b_public").read_bytes(),
        attest=(folder / "quote.attest").read_bytes(),
        signature=(folder / "quote.sig").read_bytes(),
        nonce=bytes.fromhex((folder / "nonce.hex").read_text()),
        pcrs=values,
        boot_log=log if case.boot else None,
        ima=ima,
        reordered=b"".join(map(_entry, _reordered(lines[case.prior :]))),
        before=before,
        allowlist=parse_allowlist(listed) if listed else None,
        profile=_profile(log, entries, listed, values),
    )


def _profile(
    log: bytes, entries: ImaEntries, listed: bytes, values: Mapping[int, bytes]
) -> FirmwareProfile:
    import tomli_w

    body, _ = learn(
        [Observation(parse_boot_log(log), entries)],
        name="bench",
        version="1",
        revision=1,
        description="",
        bank=Alg.SHA256,
    )
    body["profile"]["pcrs"] = sorted(values)
    body.pop("ima", None)
    if IMA_PCR in values:
        named = [f"sha256:{hashlib.sha256(listed).hexdigest()}"]
        body["ima"] = {"allowlists": named, "max_violations": 0}
    return parse_profile(tomli_w.dumps(body).encode())


def _reordered(lines: Sequence[bytes]) -> list[bytes]:
    other = list(lines)
    for n in range(SWAPPED, len(other), SWAPPED):
        other[n - 1 : n + 1] = other[n], other[n - 1]
    return other


def _entry(line: bytes) -> bytes:
    """The binary form of an ima-ng entry."""
    pcr, shown, template, digest, path = line.rstrip(b"\n").split(b" ", 4)
    file = bytes.fromhex(digest.removeprefix(b"sha256:").decode())
    fields = (b"sha256:\0" + file, path + b"\0")
    data = b"".join(struct.pack("<I", len(f)) + f for f in fields)
    head = struct.pack("<I", int(pcr)) + bytes.fromhex(shown.decode())
    return head + b"".join(struct.pack("<I", len(f)) + f for f in (template, data))


def _allowlist(path: Path) -> bytes:
    files = json.loads(path.read_text())["digests"]
    return allowlist_text(
        AllowedFile("sha256", bytes.fromhex(digest), name.encode())
        for name, digests in files.items()
        if name.encode() != BOOT_AGGREGATE
        for digest in digests
    )


def make_evidence(root: Path) -> None:
    """Write a machine's evidence into `root`: made by software keys, true in every word."""
    forge = Forge(TpmMaker.found(), Firmware("simulated-camera"))
    (root / "eventlog.bin").write_bytes(forge.log)
    booted = {p: forge.pcrs.get(p, bytes(32)) for p in PCRS}
    _write_quote(root / "boot", forge, {p: v for p, v in booted.items() if p != IMA_PCR})
    files = {
        b"/usr/lib/x86_64-linux-gnu/bench/library-%d.so" % n: hashlib.sha256(b"%d" % n).digest()
        for n in range(LONGEST - 1)
    }
    machine, lines = ImaMachine.booted(forge.pcrs, {}), list[str]()
    names = iter(files.items())
    for count in (1_000, LONGEST - NEW, LONGEST):
        while len(machine.entries) < count:
            machine.measure(*next(names))
        _write_quote(root / f"ima-{count}", forge, booted | {IMA_PCR: machine.values[Alg.SHA256]})
        entries = parse_ima(machine.list_from()).entries
        lines = [
            f"10 {e.template_hash.hex()} ima-ng sha256:{e.digest.hex()} {e.path.decode()}\n"
            for e in entries
        ]
        (root / f"ima-{count}.txt").write_text("".join(lines))
        policy = {
            "meta": {"version": 1, "generator": 0},
            "release": 0,
            "digests": {e.path.decode(): [e.digest.hex()] for e in entries},
            "excludes": [],
            "keyrings": {},
            "ima": {"ignored_keyrings": [], "log_hash_alg": "sha1", "dm_policy": None},
            "ima-buf": {},
            "verification-keys": "",
        }
        (root / f"allowlist-{count}.json").write_text(json.dumps(policy))


def _write_quote(folder: Path, forge: Forge, values: Mapping[int, bytes]) -> None:
    folder.mkdir()
    forge.clock = replace(forge.clock, clock=forge.clock.clock + 60_000)  # later than the last one
    selection = PcrSelection(Alg.SHA256, tuple(sorted(values)))
    statement = Attest(
        b"",
        TPM_GENERATED,
        St.ATTEST_QUOTE,
        forge.ak.public.qualified_name(),
        NONCE,
        forge.clock,
        forge.firmware_version,
        (selection,),
        pcr_digest(selection, values),
    )
    attest = marshal_attest(statement)
    (folder / "ak.tpm2b_public").write_bytes(tpm2b(forge.ak.public.raw))
    (folder / "quote.attest").write_bytes(attest)
    (folder / "quote.sig").write_bytes(forge.ak.sign(attest))
    (folder / "nonce.hex").write_text(NONCE.hex())
    shown = {"sha256": {str(p): v.hex() for p, v in sorted(values.items())}}
    (folder / "pcrs.json").write_text(json.dumps(shown))
    (folder / "quote.pcrs").write_bytes(_serialized(values))


def _serialized(values: Mapping[int, bytes]) -> bytes:
    """One bank as tpm2-tools write it (pcr_fwrite_serialized): a TPML_PCR_SELECTION as it lies in
    memory, then TPML_DIGESTs of eight.
    """
    mask = sum(1 << p for p in values).to_bytes(3, "little")
    raw = struct.pack("<IHB", 1, Alg.SHA256, 3) + mask + b"\0\0"
    digests = [values[p] for p in sorted(values)]
    lists = [digests[n : n + 8] for n in range(0, len(digests), 8)]
    raw = raw.ljust(132, b"\0") + struct.pack("<I", len(lists))
    for each in lists:
        block = b"".join(struct.pack("<H", len(d)) + d.ljust(64, b"\0") for d in each)
        raw += (struct.pack("<I", len(each)) + block).ljust(532, b"\0")
    return raw
