"""Judge verified IMA entries: boot_aggregate, violations, file contents, signatures, paths."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import filterfalse
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509 import SubjectKeyIdentifier

from framegate.errors import Failure, Reason
from framegate.ima.allowlist import STRONG, Allowlist
from framegate.ima.entry import BOOT_AGGREGATE, ImaEntries, ImaEntry
from framegate.ima.replay import boot_aggregates
from framegate.ima.template import VERITY
from framegate.tpm.constants import HASH_NAME, Alg

MAX_SHOWN: Final = 20
"""Failed files told one by one; a machine with another system on it fails in thousands, which one
sentence says as well.
"""
_SIGNATURE_HASH: Final = {4: "sha256", 5: "sha384", 6: "sha512"}
"""Kernel hash_algo numbers (include/uapi/linux/hash_info.h) of hashes strong enough to sign."""
_HASHER: Final[Mapping[str, Any]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


@dataclass(frozen=True, slots=True)
class ImaRules:
    """A profile's `[ima]`: see firmware_profiles/README.md. Paths are bytes; prefixes end in `/`;
    `keys` maps a 4-byte key id to the public key; `required` are whole paths.
    """

    allowlists: tuple[bytes, ...]
    max_violations: int
    exclude: tuple[bytes, ...]
    signed: tuple[bytes, ...]
    keys: Mapping[bytes, Any]
    measured: tuple[bytes, ...]
    padded_sha1: bool
    required: tuple[bytes, ...] = ()


def key_id(pem: bytes) -> tuple[bytes, Any]:
    """(key id as an IMA signature names it, public key) of a PEM key: the last four bytes of its
    subject key identifier. Raises ValueError.
    """
    key: Any = serialization.load_pem_public_key(pem)
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise ValueError("an RSA or ECC key")
    return SubjectKeyIdentifier.from_public_key(key).digest[-4:], key


def ima_failures(  # noqa: C901 - ordered steps, read best in one piece
    entries: Sequence[ImaEntry],
    rules: ImaRules,
    allowlists: Sequence[Allowlist],
    bank: Alg,
    pcrs: Mapping[int, bytes],
    *,
    first: bool,
    violations: int,
) -> list[Failure]:
    """Every way in which `entries` fail `rules`.

    1. from the first entry of a boot (`first`): it is boot_aggregate, over the verified `pcrs`, in
       `bank` (N64); any later one too;
    2. with `violations` counted before, there are at most `max_violations` (N61);
    3. every file is excluded by an honest path (N65), or allowed by content and name with a strong
       hash, or signed under a listed key where signatures count;
    4. from the first entry: under each prefix of `measured` something was measured;
    5. from the first entry: each file of `required` was measured, at that path and with a content
       that an allowlist has for that path (N136): a policy that measures less leaves them out.
    """
    failures, bad, more = list[Failure](), list[ImaEntry](), 0
    algorithm = HASH_NAME[bank]
    if first and (not entries or entries[0].path != BOOT_AGGREGATE):  # 1
        failures.append(
            Failure(
                Reason.IMA_BOOT_AGGREGATE,
                "boot_aggregate first",
                ascii(entries[0].path[:80]) if entries else "no entry",
                "the list was cut at its front",
            )
        )
    exclude, listed, aggregates = rules.exclude, ImaEntries.of(entries), frozenset[bytes]()
    for number in _unlisted(listed, allowlists):
        entry = listed[number]
        path = entry.path
        if path == BOOT_AGGREGATE:
            aggregates = aggregates or boot_aggregates(pcrs, algorithm)
            if entry.algorithm != algorithm or entry.digest not in aggregates:
                wanted = (
                    " or ".join(sorted(f"{algorithm}:{a.hex()}" for a in aggregates))
                    or f"{algorithm} over PCR 0 to 7"
                )
                failures.append(
                    Failure(
                        Reason.IMA_BOOT_AGGREGATE,
                        wanted,
                        f"{entry.algorithm}:{entry.digest.hex()}",
                        "another boot's list; or boot with ima_hash=" + algorithm,
                    )
                )
        elif entry.violation:
            violations += 1
        else:
            if any(a.allows(entry.algorithm, entry.digest, path) for a in allowlists):
                continue
            if exclude and path.startswith(exclude) and honest(path):
                continue
            if (
                rules.signed
                and path.startswith(rules.signed)
                and honest(path)
                and signature_holds(entry, rules.keys)
            ):
                continue
            if len(bad) < MAX_SHOWN:
                bad.append(entry)
            else:
                more += 1
    if violations > rules.max_violations:  # 2
        failures.append(
            Failure(
                Reason.IMA_VIOLATION,
                f"at most {rules.max_violations} violations",
                str(violations),
                "a file was open for writing while it was measured: its content is unknown",
            )
        )
    failures += [_file(e, allowlists, rules) for e in bad]  # 3
    if more:
        failures.append(
            Failure(
                Reason.IMA_FILE,
                "files the profile allows",
                f"{more} more that it does not",
                "another system than the profile's? framegate profile diff",
            )
        )
    if first:
        hint = (
            "load the IMA rule for Framegate's own files: see docs/guides/operators/ima-policy.md"
        )
        paths = listed.paths if rules.measured or rules.required else []
        failures += [  # 4
            Failure(
                Reason.IMA_UNMEASURED, f"something measured under {p.decode()}", "nothing", hint
            )
            for p in rules.measured
            if not any(path.startswith(p) for path in paths)
        ]
        required = frozenset(rules.required)
        there = [listed[n] for n, path in enumerate(paths) if path in required]
        failures += _absent(there, rules.required, allowlists)  # 5
    return failures


def _unlisted(entries: ImaEntries, allowlists: Sequence[Allowlist]) -> list[int]:
    """The numbers of the entries that no allowlist has as they are; nearly every one is had.

    What a violation shows is not covered by what was extended; and a template without a digest may
    look like one that has it: they are never had. Nor is boot_aggregate, which is this boot's or
    none's.
    """
    keys = entries.keys
    left = _strangers(keys, allowlists[0].keys) if allowlists else list(range(len(keys)))
    for allowlist in allowlists[1:]:
        listed = allowlist.keys
        left = [n for n in left if keys[n] not in listed]
    never = {n for n, e in entries.special.items() if e.violation or not e.algorithm}
    aggregates = frozenset[bytes]().union(*(a.aggregates for a in allowlists))
    if aggregates:
        never |= {n for n, key in enumerate(keys) if key in aggregates}
    return sorted(never.union(left))


def _strangers(keys: Sequence[bytes], listed: frozenset[bytes]) -> list[int]:
    """The numbers of those `keys` that are not `listed`: few of very many."""
    numbers, number = list[int](), -1
    for key in filterfalse(listed.__contains__, keys):
        number = keys.index(key, number + 1)
        numbers.append(number)
    return numbers


def _absent(
    entries: Sequence[ImaEntry], required: Sequence[bytes], allowlists: Sequence[Allowlist]
) -> list[Failure]:
    """A failure for each file of `required` that is not among `entries`, which have those names, as
    an allowlist has it there.
    """
    measured = {
        e.path
        for e in entries
        if not e.violation and any(a.names(e.algorithm, e.digest, e.path) for a in allowlists)
    }
    return [
        Failure(
            Reason.IMA_FILE_ABSENT,
            f"{path.decode(errors='backslashreplace')} measured as an allowlist has it there",
            "nothing that is",
            "is the IMA policy whole, and loaded by its path? docs/guides/operators/ima-policy.md",
        )
        for path in required
        if path not in measured
    ]


def honest(path: bytes) -> bool:
    """Whether `path` is an absolute path that says where it leads: printable UTF-8, no `..`, `.` or
    empty part.
    """
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return False
    return (
        text.isprintable()
        and text.startswith("/")
        and not any(part in {"", ".", ".."} for part in text[1:].split("/"))
    )


def signature_holds(entry: ImaEntry, keys: Mapping[bytes, Any]) -> bool:
    """Whether the entry's appraisal signature (security/integrity/digsig.c) is one of `keys`': of
    version 2 over a file's digest, or of version 3 over an fs-verity digest with its type
    (ima_appraise.c, calc_file_id_hash).
    """
    raw = entry.signature
    hashed = _SIGNATURE_HASH.get(raw[2]) if len(raw) >= 9 else None
    if hashed is None:
        return False
    if raw[:2] == b"\x03\x02" and entry.algorithm == hashed:
        digest = entry.digest
    elif raw[:2] == b"\x06\x03" and entry.algorithm == VERITY + hashed:
        digest = hashlib.new(hashed, raw[:1] + raw[2:3] + entry.digest).digest()
    else:
        return False
    key, value = keys.get(raw[3:7]), raw[9:]
    if key is None or len(value) != int.from_bytes(raw[7:9], "big"):
        return False
    hasher = utils.Prehashed(_HASHER[hashed]())
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(value, digest, padding.PKCS1v15(), hasher)
        else:
            key.verify(value, digest, ec.ECDSA(hasher))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def weak_digest(entry: ImaEntry) -> str:
    """What to do about an entry whose digest may decide nothing."""
    if not entry.algorithm:
        return f"template {entry.template} has no digest: boot with ima_template=ima-ng"
    if entry.algorithm.startswith(VERITY):
        return "enable fs-verity on that file with --hash-alg=sha256"
    if entry.template == "ima" or "d" in entry.template.split("|"):
        return "that template holds SHA-1 and MD5 alone: boot with ima_template=ima-ng"
    return "boot with ima_hash=sha256"


def _file(entry: ImaEntry, allowlists: Sequence[Allowlist], rules: ImaRules) -> Failure:
    seen = (
        f"{entry.path.decode(errors='backslashreplace')[:200]!a}"
        f" {entry.algorithm}:{entry.digest.hex()}"
    )
    if entry.algorithm not in STRONG:
        return Failure(Reason.IMA_FILE, f"digests {', '.join(STRONG)}", seen, weak_digest(entry))
    if entry.path.startswith(rules.signed or (b"\0",)) and entry.signature:
        return Failure(
            Reason.IMA_SIGNATURE,
            "a signature by a key the profile lists",
            seen,
            "sign the file with that key, or list its digest",
        )
    if entry.path.startswith(rules.exclude or (b"\0",)):
        return Failure(
            Reason.IMA_PATH,
            "a path without .., empty parts or unprintable bytes under an excluded folder",
            seen,
        )
    known = sorted({d for a in allowlists for d in a.known(entry.path)})
    wanted = (
        f"{' or '.join(known[:3])} at that path"
        if known
        else "a file the profile's allowlists know"
    )
    return Failure(
        Reason.IMA_FILE,
        wanted,
        seen,
        "an update? learn it: framegate profile learn. Not one? treat the machine as compromised",
    )
