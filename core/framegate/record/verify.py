"""Verify an export of the audit log offline: nothing but the file and a public key, or the fleet's
root certificate.

    framegate audit verify LOG --root fleet-root.pem [--witness heads.jsonl]

An export is text, a JSON value a line: a header, the entries exactly as they were logged, and
signed heads of the log (DSSE). Names of checks are stable; a refusal names the first entry where it
shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from framegate.errors import FramegateError
from framegate.identity.certificates import Purpose, load_certificate, verify_certificate
from framegate.receipt_verifier import node_hash
from framegate.record.branches import (
    LoggedRestoration,
    LostEntries,
    logged_restoration,
    part_heads,
    restorations_before,
)
from framegate.record.entry import MAX_ENTRY_BYTES, NO_ENTRY
from framegate.record.merkle import Frontier
from framegate.signed.backup import BackupManifest
from framegate.signed.dsse import envelope_certificate, parse_envelope, verify_envelope
from framegate.signed.receipt import Checkpoint
from framegate.signed.restoration import Restoration

FORMAT: Final = "framegate-audit-1"
S = TypeVar("S", Checkpoint, Restoration, BackupManifest)


class AuditRefused(Exception):
    """The log does not hold. `check` is the stable id, `entry` the first index where it shows, -1
    where that cannot be told.
    """

    def __init__(self, check: str, entry: int, text: str) -> None:
        super().__init__(f"{check}{f' at entry {entry}' if entry >= 0 else ''}: {text}")
        self.check, self.entry = check, entry


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """What an export proves; made by `verify_log` only. Entries past `signed` are chained, and no
    head covers them yet. `lost` are entries that heads covered and restorations from a backup lost.
    """

    fleet: str
    entries: int
    signed: int
    head_at_ms: int
    heads: int
    witnessed: int
    root: str
    restorations: int = 0
    lost: tuple[LostEntries, ...] = ()


@dataclass(frozen=True, slots=True)
class LogAnchor:
    """What is trusted from the start: the fleet's root certificate, or the log's public key
    itself.
    """

    root: x509.Certificate | None = None
    key: ec.EllipticCurvePublicKey | None = None


def verify_log(
    lines: Iterable[bytes], anchor: LogAnchor, witness: Sequence[bytes] = ()
) -> VerifiedLog:
    """What the export in `lines` proves, after these checks; the first that fails is raised with
    the first entry where it shows.

    1. `format`: a header of this format; every line is JSON within limits;
    2. `order`: entry n says that it is entry n: nothing was dropped, repeated, inserted or moved;
    3. `chain`: each entry names the hash of the one before it: that one was edited otherwise;
    4. `head-signature`: every head, the export's own and the witness's, is signed by the log's key,
       for this fleet;
    5. `truncated`: no head speaks of more entries than there are;
    6. `root`: at the size of each head, the entries have its root: otherwise they were rewritten
       after the last head that holds;
    7. `unsigned`: there is at least one head, and the header's count is the entries';
    8. `restored`: a head that is of none of these entries is of some that were lost with a
       registry, as a restoration in the record says (`part_heads`), and every other head counts
       the restorations before it.

    Raises AuditRefused and nothing else, whatever the lines are.
    """
    walked = _walk(lines)
    leaves = walked.leaves
    heads = _heads([*walked.heads, *witness], anchor, walked.fleet)  # 4
    if not heads:
        raise AuditRefused("unsigned", -1, "expected at least one signed head, got none")
    branches = part_heads(heads, walked.restored)  # 8
    if branches.refused:
        raise AuditRefused("restored", -1, branches.refused)
    last = _last_covered(branches.kept, walked)
    return VerifiedLog(
        walked.fleet,
        len(leaves),
        last.size,
        last.at_ms,
        len(heads),
        max((h.size for h in _heads(witness, anchor, walked.fleet)), default=0),
        last.root,
        restorations_before(len(leaves), walked.restored),
        branches.lost,
    )


def _last_covered(heads: Sequence[Checkpoint], walked: _Walked) -> Checkpoint:
    """The last of `heads`, each of which is of these entries: checks 5, 6 and 8."""
    leaves = walked.leaves
    if not heads:
        raise AuditRefused("unsigned", -1, "expected a signed head of these entries, got none")
    claimed: dict[int, set[str]] = {}
    for head in heads:
        claimed.setdefault(head.size, set()).add(head.root)
        counted = restorations_before(head.size, walked.restored)
        if head.size <= len(leaves) and head.restorations != counted:  # 8
            wanted = (
                f"expected a head over {head.size} entries that tells of {counted} restorations"
            )
            raise AuditRefused("restored", head.size - 1, f"{wanted}, got {head.restorations}")
    sizes = sorted(claimed)
    if sizes[-1] > len(leaves):  # 5
        raise AuditRefused(
            "truncated",
            len(leaves),
            f"expected {sizes[-1]} entries as a signed head says, got {len(leaves)}",
        )
    good = 0
    roots = _roots(sizes, leaves)
    for size in sizes:  # 6
        if claimed[size] != {
            roots[size].hex()
        }:  # two heads of one size that differ are a rewriting, too
            raise AuditRefused(
                "root",
                good,
                f"entries {good} to {size - 1} are not those that were signed: something in them"
                f" was rewritten after a head over {good}",
            )
        good = size
    return max(heads, key=lambda h: (h.size, h.at_ms))


@dataclass(frozen=True, slots=True)
class _Walked:
    """An export after checks 1 to 3: leaf hashes, lines of heads, restorations it tells of."""

    fleet: str
    leaves: list[bytes]
    heads: list[bytes]
    restored: list[LoggedRestoration]


def _walk(lines: Iterable[bytes]) -> _Walked:
    """Checks 1 to 3."""
    source: Iterator[bytes] = iter(lines)
    header = _json(next(source, b""), -1)
    if (
        header.get("format") != FORMAT
        or type(header.get("entries")) is not int
        or type(header.get("fleet")) is not str
    ):
        raise AuditRefused("format", -1, f"expected a {FORMAT} header")
    count = header["entries"]
    leaves: list[bytes] = []
    heads: list[bytes] = []
    restored: list[LoggedRestoration] = []
    previous, index = NO_ENTRY, 0
    loads, digest = json.loads, sha256
    for line in source:
        line = line.rstrip(b"\n")
        if line[:14] == b'{"checkpoint":':
            heads.append(line)
            continue
        if heads:
            raise AuditRefused(
                "format", index, "expected heads after the entries, got an entry after a head"
            )
        if len(line) > MAX_ENTRY_BYTES:
            raise AuditRefused(
                "format", index, f"expected at most {MAX_ENTRY_BYTES} bytes, got {len(line)}"
            )
        try:
            body = loads(line)
            said, before = body["index"], body["previous"]
            restored += logged_restoration(index, body)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise AuditRefused(
                "format", index, f"expected an entry, got {type(error).__name__}"
            ) from error
        if said != index:  # 2
            raise AuditRefused(
                "order",
                index,
                f"expected entry {index}, got one that says {str(said)[:20]}: entries were dropped,"
                " inserted or moved",
            )
        if before != previous:  # 3
            raise AuditRefused(
                "chain",
                max(0, index - 1),
                f"entry {index} was made after another entry {index - 1} than this one: it was"
                " edited",
            )
        hashed = digest(b"\0" + line).digest()
        leaves.append(hashed)
        previous, index = hashed.hex(), index + 1
    if count != index:  # 7
        raise AuditRefused(
            "truncated", index, f"expected {count} entries as the header says, got {index}"
        )
    return _Walked(header["fleet"], leaves, heads, restored)


def _roots(sizes: Sequence[int], leaves: Sequence[bytes]) -> dict[int, bytes]:
    """Roots of the tree at `sizes` (ascending): built once, level by level over what lies between
    two sizes.
    """
    frontier, roots = Frontier(), {}
    at = 0
    for size in sizes:
        while at < size:
            # a whole subtree at once, as large as its place and the distance allow
            level = min((at & -at).bit_length() - 1 if at else 62, (size - at).bit_length() - 1)
            nodes = list(leaves[at : at + (1 << level)])
            while len(nodes) > 1:
                nodes = [node_hash(nodes[i], nodes[i + 1]) for i in range(0, len(nodes), 2)]
            frontier.append_subtree(level, nodes[0])
            at += 1 << level
        roots[size] = frontier.root
    return roots


def _heads(lines: Sequence[bytes], anchor: LogAnchor, fleet: str) -> list[Checkpoint]:
    heads = []
    for line in lines:
        body = _json(line, -1)
        raw = (
            json.dumps(body["checkpoint"], separators=(",", ":")).encode()
            if isinstance(body.get("checkpoint"), dict)
            else b""
        )
        heads.append(verify_head(raw, anchor, fleet))
    return heads


def verify_head(envelope: bytes, anchor: LogAnchor, fleet: str = "") -> Checkpoint:
    """A signed head of the log.

    1. the envelope is a checkpoint;
    2. its certificate is a log key of the fleet whose root is trusted, and lived when the head was
       made, or its key is the trusted one;
    3. the signature holds;
    4. it is of `fleet`, where one is named.

    Raises AuditRefused.
    """
    head = verify_signed(envelope, Checkpoint, anchor)
    if fleet and head.fleet != fleet:  # 4
        raise AuditRefused(
            "head-signature",
            -1,
            f"expected a head of fleet {fleet}, got one of {head.fleet[:60]!a}",
        )
    return head


def verify_signed(envelope: bytes, kind: type[S], anchor: LogAnchor) -> S:
    """A statement of the log's key, checks 1 to 3 of `verify_head`. Raises AuditRefused."""
    try:
        parsed = parse_envelope(envelope, kind.TYPE)  # 1
        certificate = envelope_certificate(parsed)
        claimed = kind.parse_payload(parsed.payload)
        if anchor.root is not None:  # 2
            when = datetime.fromtimestamp(claimed.at_ms / 1000, UTC)
            key = verify_certificate(
                load_certificate(parsed.certificate), Purpose.LOG, (), anchor.root, when
            ).key
        else:
            known = certificate.public_key()
            if anchor.key is None or known != anchor.key:
                raise AuditRefused(
                    "head-signature", -1, "expected a head by the given key, got one by another"
                )
            key = anchor.key
        return kind.parse_payload(verify_envelope(parsed, key))  # 3
    except (FramegateError, ValueError, OverflowError, OSError, InvalidSignature) as error:
        raise AuditRefused(
            "head-signature", -1, f"expected a head signed by the log's key: {error}"
        ) from error


def consistent(
    first_size: int, first_root: bytes, second_size: int, second_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether a tree of `second_size` is the one of `first_size` grown (RFC 9162, 2.1.4.2)."""
    if first_size == second_size:
        return not path and first_root == second_root
    if not 0 < first_size < second_size:
        return first_size == 0
    steps = list(path)
    if first_size & (first_size - 1) == 0:
        steps.insert(0, first_root)
    if not steps:
        return False
    at, last = first_size - 1, second_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def load_anchor(pem: bytes) -> LogAnchor:
    """A root certificate or a public key in PEM. Raises AuditRefused."""
    try:
        if b"BEGIN CERTIFICATE" in pem:
            return LogAnchor(root=x509.load_pem_x509_certificate(pem))
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise AuditRefused(
            "format", -1, "expected a root certificate or a public key in PEM"
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise AuditRefused("format", -1, "expected an EC public key")
    return LogAnchor(key=key)


def _json(line: bytes, entry: int) -> dict[str, Any]:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise AuditRefused("format", entry, f"expected JSON, got {type(error).__name__}") from error
    if type(body) is not dict:
        raise AuditRefused("format", entry, "expected a JSON object")
    return body
