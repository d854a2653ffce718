"""The log of decisions as files: exports, proofs and heads, verified with pinned keys alone."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography import x509

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.identity.certificates import Purpose, from_ms, load_certificate, verify_certificate
from framegate.record.merkle import data_tree
from framegate.record.verify import load_anchor
from framegate.transparency.cosignature import CosignedHead, Quorum, verify_cosigned
from framegate.transparency.decision import Decision, parse_decision
from framegate.transparency.head import TreeHead, log_key, parse_head
from framegate.transparency.note import NoteKey, parse_note, parse_note_key
from framegate.transparency.proof import (
    Inclusion,
    TlogProof,
    parse_proof,
    verify_inclusion,
)
from framegate_host.cosigning import MAX_HOURS

FORMAT: Final = "framegate-decisions-1"
MAX_FILE_BYTES: Final = 256 * 1024 * 1024
"""A million decisions."""
_PROOF: Final = b"c2sp.org/tlog-proof"

CosignerKeys = Annotated[
    list[str],
    typer.Option("--cosigner", help="Key of a witness whose word counts; once for each."),
]
RequireCosigned = Annotated[
    int, typer.Option("--require-cosigned", min=1, help="How many of them must have cosigned.")
]
Within = Annotated[
    int,
    typer.Option(
        "--within", min=1, max=MAX_HOURS, help="How many hours old their cosignatures may be."
    ),
]
RootFile = Annotated[
    Path | None,
    typer.Option("--root", exists=True, dir_okay=False, help="The fleet's root certificate (PEM)."),
]
LogKey = Annotated[
    str, typer.Option("--key", help="Or the log's own key, as framegate log key prints it.")
]


@dataclass(frozen=True, slots=True)
class LogTrust:
    """Whose log is believed, by its key or the fleet's root, and which witnesses."""

    key: NoteKey | None
    root: x509.Certificate | None
    quorum: Quorum


@dataclass(frozen=True, slots=True)
class ExportedLog:
    """An export as it stands in a file; nothing of it is verified."""

    note: bytes
    certificate: bytes
    entries: tuple[bytes, ...]

    @property
    def data(self) -> bytes:
        """The file's bytes: a header, and an entry a line."""
        header = {
            "format": FORMAT,
            "head": self.note.decode(),
            "certificate": base64.b64encode(self.certificate).decode(),
        }
        return b"\n".join([json.dumps(header).encode(), *self.entries, b""])


@dataclass(frozen=True, slots=True)
class VerifiedDecisions:
    """Decisions under a head that may be relied on."""

    head: CosignedHead
    decisions: tuple[Decision, ...]


def log_trust(
    root: Path | None, key: str, cosigners: Sequence[str], require: int, within_h: int
) -> LogTrust:
    """What the options say. Raises Refused (USAGE), Malformed."""
    if (root is None) == (not key):
        raise Refused.of(Reason.USAGE, "--root FILE or --key KEY", "both" if key else "neither")
    try:
        quorum = Quorum(require, tuple(parse_note_key(c) for c in cosigners), within_h * 3600)
    except FramegateError as error:
        wanted = f"--cosigner KEY for {require} witnesses or more"
        raise Refused.of(Reason.USAGE, wanted, error.failures[0].actual, "their keys") from error
    certificate = load_anchor(root.read_bytes()).root if root is not None else None
    if root is not None and certificate is None:
        raise Refused.of(Reason.USAGE, "a root certificate in PEM", str(root))
    return LogTrust(parse_note_key(key) if key else None, certificate, quorum)


def parse_export(data: bytes) -> ExportedLog:
    """An export, unverified. Raises Malformed."""
    first, *entries = data.split(b"\n")
    if entries and entries[-1] == b"":
        entries.pop()
    try:
        header = json.loads(first)
        note, raw = str(header["head"]).encode(), base64.b64decode(header["certificate"])
        named = header["format"]
    except (ValueError, KeyError, TypeError) as error:
        wanted = f"an export of {FORMAT}, or a tlog-proof"
        raise Malformed.of(Reason.MALFORMED, wanted, type(error).__name__) from error
    if named != FORMAT:
        raise Malformed.of(Reason.MALFORMED, FORMAT, ascii(named)[:60])
    return ExportedLog(note, raw, tuple(entries))


def verify_file(path: Path, trust: LogTrust) -> VerifiedDecisions:
    """What an export or a proof in `path` establishes.

    1. its head is signed by the log that is believed, and cosigned (`verify_cosigned`);
    2. an export's entries are all that the head is over, and lead to its root; a proof's entry is
    under it.

    Raises Malformed, Refused (NOT_COSIGNED, SIGNATURE, CERTIFICATE).
    """
    data = _read(path)
    if data.startswith(_PROOF):
        proof = parse_proof(data)
        head = _head(proof.note, b"", trust)
        return VerifiedDecisions(head, (verify_inclusion(proof.inclusion, head.head),))
    export = parse_export(data)
    head = _head(export.note, export.certificate, trust)  # 1
    tree = data_tree(export.entries)
    if (tree.size, tree.root) != (head.head.size, head.head.root):  # 2
        wanted = f"{head.head.size} entries with root {head.head.root.hex()[:16]}"
        came = f"{tree.size} with root {tree.root.hex()[:16]}: it was cut or edited"
        raise Refused.of(Reason.NOT_COSIGNED, wanted, came, "export it again")
    return VerifiedDecisions(head, tuple(parse_decision(e) for e in export.entries))


def verify_logged_release(path: Path, digest: bytes, trust: LogTrust) -> CosignedHead:
    """That a proof in `path` is of the release whose bundle has this SHA-256. Raises as
    `verify_file`.
    """
    verified = verify_file(path, trust)
    if digest.hex() not in {d.sha256 for d in verified.decisions if d.kind == "release"}:
        wanted = f"a decision on the release with bundle {digest.hex()[:16]}"
        hint = "framegate release approve, by who may; then framegate log prove"
        raise Refused.of(Reason.NOT_COSIGNED, wanted, "one on something else", hint)
    return verified.head


def heads_in(path: Path) -> list[bytes]:
    """The notes in a file: a note, a proof, an export, or the two heads that a program kept of a
    fork. Nothing is verified. Raises Malformed.
    """
    data = _read(path)
    if data.startswith(_PROOF):
        return [parse_proof(data).note]
    if not data.startswith(b"{"):
        return [data]
    try:
        body: Any = json.loads(data)
    except ValueError:
        return [parse_export(data).note]
    kept = [body[n] for n in ("seen", "shown", "cosigned", "submitted", "note") if n in body]
    return [str(note).encode() for note in kept] if kept else [parse_export(data).note]


def claimed_head(note: bytes) -> TreeHead:
    """What a note says, unverified. Raises Malformed."""
    return parse_head(parse_note(note).text)


def proof_of(export: ExportedLog, index: int) -> TlogProof:
    """A proof out of an export whose head is over `index`. Raises Refused (NOT_FOUND)."""
    head = claimed_head(export.note)
    if not 0 <= index < head.size:
        hint = "it is not cosigned yet: framegate witness list"
        raise Refused.of(Reason.NOT_FOUND, f"one of {head.size} decisions", index, hint)
    tree = data_tree(export.entries[: head.size])
    return TlogProof(Inclusion(export.entries[index], index, tuple(tree.path(index))), export.note)


def _head(note: bytes, certificate: bytes, trust: LogTrust) -> CosignedHead:
    now_s = int(time.time())
    if trust.key is not None:
        return verify_cosigned(note, trust.key, trust.quorum, now_s)
    if trust.root is None or not certificate:
        hint = "framegate log key prints it: --key KEY"
        raise Refused.of(Reason.USAGE, "the log's key, for a proof", "--root", hint)
    verified = verify_certificate(
        load_certificate(certificate), Purpose.LOG, (), trust.root, from_ms(now_s * 1000)
    )
    key = log_key(claimed_head(note).origin, verified.key)
    return verify_cosigned(note, key, trust.quorum, now_s)


def _read(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE_BYTES:
        wanted = f"a file of at most {MAX_FILE_BYTES} bytes"
        raise Malformed.of(Reason.TOO_LARGE, wanted, path.stat().st_size)
    return path.read_bytes()
