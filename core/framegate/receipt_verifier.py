"""Verify Framegate receipts offline. One file that imports nothing but `cryptography`: copy it
anywhere and read it whole.

    python receipt_verifier.py --root fleet-root.pem receipt.json [more.json …]

With --site-root FILE, once for each, receipts that rest on a model server of another fleet hold
under that fleet's root.

A receipt is JSON (docs/reference/protocol.md, section 8): the gateway's leaf, the verdict's
payload, the leaf's place in a signed batch, the batch's place in the controller's log, the frame's
metadata, and the camera's signed head over all frames of its session with this frame's place in it.
Nothing is looked up anywhere; the only thing trusted from the start is the fleet's root
certificate.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import NameOID

ARCS = re.compile(
    r"(?:1\.2\.840\.113556\.1\.8000\.2554\.32015\.15386\.23406\.19501\.39563\.2043453\.5004138"
    r"|2\.25\.166232602958797428473494274907401116522)\.(.+)"
)
"""Framegate's arc of extended key usages, and the earlier one (docs/reference/protocol.md)."""
DEVICE, VERDICT, LOG, INFERENCE = "1", "8", "9", "20"
FORMAT = "framegate-receipt-1"
RANGE_FORMAT = "framegate-receipt-range-1"
BATCH_TYPE = "application/vnd.framegate.receipt-batch+json"
CHECKPOINT_TYPE = "application/vnd.framegate.log-checkpoint+json"
RESULT_TYPE = "application/vnd.framegate.inference-result+json"
MAX_RESULT_AGE_MS = 60_000
"""Between what a model server signed and the leaf that rests on it, either way: clocks differ."""
PROFILE_1, PROFILE_2 = "tag:framegate,2026:receipt-1", "tag:framegate,2026:receipt-2"
"""What leaves are; the second says how much of the picture was inspected."""
MIN_INSPECTED = 60
"""Percent of the part, and of the picture, that must have been inspected: masks are for a person's
hands at the belt's edge, and ignored regions for a label or a connector. A part whose better half
is left out is not inspected.
"""
OUTLINE, FOREGROUND = "outline", "foreground"
"""What the percentage is of, in a leaf and its verdict; of the picture where they say nothing."""
PICTURES = {1: "JPEG", 2: "PNG"}
"""Encodings of frames that are pictures, of which leaf and verdict name no kind."""
NAMED_KINDS = {3: "series"}
"""Encodings of other kinds of evidence that are Framegate's own."""
FIRST_OWN = 128
"""From here on they are a fleet's own, and so are their names."""
_KIND = re.compile(r"[a-z][a-z0-9-]{0,31}")
HEAD_LABEL = b"framegate/v1/frame-head"
METADATA_LABEL = b"framegate/v1/frame"
SIGN_HEAD = b"framegate/v1/sign-frame-head\0"
MAX_RECEIPT_BYTES = 512 * 1024
"""A receipt is some ten kilobytes; its paths have at most 64 steps each."""
MAX_PATH = 64
UNCONFINED = "unconfined"
"""What the isolation of a leaf begins with where the gateway served without demanding one."""
MAX_ISOLATION = 500
"""Letters: a sentence for each layer."""

_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    OSError,
    struct.error,
    RecursionError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
)


class ReceiptRefused(Exception):
    """The receipt proves nothing: `check` is the stable id of the check that failed, the text says
    what was expected and what came.
    """

    def __init__(self, check: str, text: str) -> None:
        super().__init__(f"{check}: {text}")
        self.check = check


class ReceiptPending(ReceiptRefused):
    """All that is there holds, and a proof is not there so far: the camera has not signed its
    session's head, or the batch is not in the log. It proves no more than `so_far`, which leaves
    that proof out. A gateway can withhold a proof for ever: what stays pending is refused.
    """

    def __init__(self, check: str, text: str) -> None:
        super().__init__(check, text)
        self.so_far: VerifiedReceipt | None = None


@dataclass(frozen=True)
class BackendProof:
    """The attested model server that computed a result: its id, the fleet that it is of, the form
    of evidence that its TPM was vouched for by, and what it signed.
    """

    backend: str
    fleet: str
    evidence: str
    said: dict[str, Any]


@dataclass(frozen=True)
class VerifiedReceipt:
    """What a receipt proves; made by `verify_receipt` only. `claims` and `verdict` are parsed from
    verified bytes. A receipt of a gap has no verdict, no session and no frame. `backend` is None
    where the gateway ran the model itself, or on a server that attests nothing.
    """

    claims: dict[str, Any]
    verdict: dict[str, Any]
    batch: dict[str, Any]
    logged_at_ms: int
    session: bytes
    counter: int
    head_count: int
    unanswered: tuple[int, ...]
    notes: tuple[str, ...] = field(default=())
    backend: BackendProof | None = None

    @property
    def is_gap(self) -> bool:
        """Whether it is of triggers that no frame came for."""
        return bool(self.claims["kind"] == "gap")


def is_named_kind(name: Any) -> bool:
    """Whether a leaf and its verdict may name this kind of payload: any but a picture."""
    return isinstance(name, str) and name != "image" and bool(_KIND.fullmatch(name))


def is_range(body: Any) -> bool:
    """Whether a line of an export is no receipt, but says of which time the export is."""
    return isinstance(body, dict) and body.get("format") == RANGE_FORMAT


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Root of a tree of `size` leaves that has the hash `leaf` at `index` (RFC 9162, 2.1.3.2).
    Raises ValueError on a path that does not fit.
    """
    if not 0 <= index < size or len(path) > MAX_PATH:
        raise ValueError(f"leaf {index} of {size}")
    at, last, root = index, size - 1, leaf
    for sibling in path:
        if len(sibling) != 32 or last == 0:
            raise ValueError("a path of another length")
        if at & 1 or at == last:
            root = node_hash(sibling, root)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ValueError("a path of another length")
    return root


def verify_receipt(
    receipt: dict[str, Any],
    root_pem: bytes,
    *,
    need_camera: bool = True,
    need_log: bool = True,
    site_roots: Sequence[bytes] = (),
) -> VerifiedReceipt:
    """What `receipt` proves, after these checks in this order; each has the id that stands before
    it.

    1. `format`: it is a receipt of this format, every part decodes, sizes are within limits;
    2. `batch-signer`: the batch's certificate chains to the root, is for verdicts, and lived when
       the batch was closed; unless the batch is marked recovered it also lived when the leaf was
       made;
    3. `batch-signature`: its signature holds over the batch statement; 4. `batch-path`: the leaf is
       in that batch, at the place its sequence number says;
    5. `leaf`: leaf and batch are of the same gateway, which is the one in the certificate;
    6. `verdict`: the verdict's payload is the one whose digest the leaf has, and both say the same
       of part, camera, model, frame and outcome;
    7. `log-signer`, `log-signature`, `log-path`: a checkpoint by the fleet's log key, and in it an
       entry that names exactly this batch. Without it nothing says when the batch was made; a
       receipt without one is refused unless `need_log` is False;
    8. `frame`: the metadata, by digest in the leaf, names the same camera, session, part and
       trigger;
    9. `camera-signer`: the camera's certificate chains to the root, is for devices, names the
       leaf's camera, and lived when the frame was inspected;
    10. `camera-head`: that camera's signature over the head of this session; 11. `camera-path`:
        this very frame, metadata and image, stands in the head's tree at the frame's counter. A
        gateway cannot invent or alter a frame past this. Refused where it is absent unless
        `need_camera` is False; a verdict on a frame that could not be read (no image digest) has no
        such proof and passes without one only if it is UNINSPECTED;
    12. `gap`: a leaf of kind gap stands for a range of triggers, each UNINSPECTED, and for no
        frame: 1 to last - first + 1 of them; it has no verdict, no metadata and no camera's head,
        and checks 6, 8 to 11, 13 and 14 are not asked of it;
    13. `inspected`: leaf and verdict say alike how many percent were inspected, and of what: of the
        part's signed outline, of its golden image's foreground, or of the picture; PASS and DEFECT
        are from `MIN_INSPECTED` to 100, UNINSPECTED is 0, of nothing. A leaf of before that was
        said (`receipt-1`) says nothing of it, in its verdict neither, and a note says so;
    14. `payload`: leaf and verdict name the same kind of payload, a picture where they name none;
        and the frame that its camera sealed is of that kind, by the encoding in its metadata;
    15. `backend`: where the leaf rests on a model server, that server's signed result is in it: its
        certificate chains to the root, or to one of `site_roots` (PEM) for a server of another
        fleet, is for results, names a backend of that fleet, and lived when the result was made,
        which is within `MAX_RESULT_AGE_MS` of the leaf; its signature holds; and it is of this
        model and this frame. What the gateway made of the server's tensors is the gateway's word.
        A leaf that names none says that the model ran on the gateway, or on a server that attests
        nothing.

    Raises ReceiptRefused, and nothing else whatever the receipt is made of: ReceiptPending where
    every proof that is there holds, by all these checks, and one that is needed is not there.
    """
    try:
        try:
            return _verified(receipt, root_pem, need_camera, need_log, tuple(site_roots))
        except ReceiptPending as pending:
            pending.so_far = _verified(receipt, root_pem, False, False, None)
            raise
    except _UNREADABLE as error:  # a member that is absent or of another type, anywhere
        raise ReceiptRefused(
            "format", f"expected a {FORMAT} receipt, got {type(error).__name__}: {error}"
        ) from error


def _verified(
    receipt: dict[str, Any],
    root_pem: bytes,
    need_camera: bool,
    need_log: bool,
    site_roots: tuple[bytes, ...] | None,
) -> VerifiedReceipt:
    """`site_roots` is None where a server of a fleet that is not known is left out."""
    notes: list[str] = []
    try:
        if receipt["format"] != FORMAT:
            raise ValueError(f"format {receipt['format']!r}")
        leaf, payload = _raw(receipt["leaf"]), _raw(receipt["verdict"])
        claims = _json(leaf)
        if claims["kind"] not in {"verdict", "gap"}:
            raise ValueError(f"a leaf of kind {claims['kind']!r}")
        verdict = {} if claims["kind"] == "gap" else _json(payload)
        batch_part, fg = receipt["batch"], claims["fg"]
        envelope = _envelope(batch_part["envelope"], BATCH_TYPE)
        batch = _json(envelope[0])
        authorities = _authorities(tuple(receipt["authorities"]))
        made_ms, closed_ms = int(claims["iat_ms"]), int(batch["closed_at_ms"])
        log_part, camera_part, metadata = (
            receipt.get("log"),
            receipt.get("camera"),
            _raw(receipt.get("metadata", "")),
        )
    except _UNREADABLE as error:
        raise ReceiptRefused(
            "format", f"expected a {FORMAT} receipt, got {type(error).__name__}: {error}"
        ) from error

    signer, gateway = _certificate(
        "batch-signer", envelope[2], authorities, root_pem, VERDICT, closed_ms
    )  # 2
    if not batch["recovered"] and not _lived(signer, made_ms):
        raise ReceiptRefused(
            "batch-signer",
            "the signing certificate did not live when the leaf was made, and the batch is not"
            " marked recovered",
        )
    if batch["recovered"]:
        notes.append("recovered: signed after a crash by the gateway's next process")
    notes.extend(_unconfined(fg))
    _signature("batch-signature", signer, envelope[1], _pae(BATCH_TYPE, envelope[0]))  # 3
    try:  # 4
        root = root_from_path(
            leaf_hash(leaf),
            int(batch_part["index"]),
            int(batch["count"]),
            [_raw(p) for p in batch_part["path"]],
        )
    except _UNREADABLE as error:
        raise ReceiptRefused(
            "batch-path", f"expected a path to the batch's root, got {error}"
        ) from error
    if (
        root.hex() != batch["root"]
        or claims["sequence_number"] != batch["first"] + batch_part["index"]
    ):
        raise ReceiptRefused("batch-path", "the leaf is not in the signed batch at its place")
    if not claims["iss"] == batch["gateway"] == gateway:  # 5
        raise ReceiptRefused(
            "leaf", f"leaf of {claims['iss']}, batch of {batch['gateway']}, signed by {gateway}"
        )
    is_gap = claims["kind"] == "gap"
    if not is_gap:
        _same_verdict(claims, fg, verdict, payload)  # 6
        _inspected(claims, verdict, notes)  # 13
    logged_ms = _logged(log_part, envelope[0], authorities, root_pem, need_log)  # 7
    if not logged_ms:
        notes.append(
            "not in the controller's log yet: the time of this receipt is the gateway's word"
        )
    if is_gap:
        _gap(fg, payload or metadata, camera_part)  # 12
        notes.append("no frame came: that is the gateway's word")
        return VerifiedReceipt(claims, {}, batch, logged_ms, b"", 0, 0, (), tuple(notes))
    backend = _backend(claims, root_pem, site_roots, notes)  # 15
    session, counter = bytes.fromhex(fg["session"]), fg["counter"]
    inspected = VerifiedReceipt(
        claims, verdict, batch, logged_ms, session, counter, 0, (), tuple(notes), backend
    )
    return _camera(inspected, metadata, camera_part, authorities, root_pem, need_camera)


def _gap(fg: dict[str, Any], frame: bytes, camera_part: Any) -> None:
    numbers = fg["first"], fg["last"], fg["count"]
    if frame or camera_part:
        raise ReceiptRefused("gap", "a gap with a verdict, a frame or a camera's head")
    if (fg["outcome"], fg["reason"]) != ("UNINSPECTED", "frame-gap"):
        raise ReceiptRefused("gap", f"a gap that is {fg['outcome']!r}, {fg['reason']!r}")
    if not all(type(n) is int for n in numbers):
        raise ReceiptRefused("gap", f"expected three whole numbers, got {numbers!r}")
    first, last, count = numbers
    if not 0 <= first <= last or not 1 <= count <= last - first + 1:
        raise ReceiptRefused("gap", f"{count} triggers from {first} to {last}")


def _unconfined(fg: dict[str, Any]) -> list[str]:
    """A note where the leaf says that the decoder of its frame was not confined."""
    isolation = fg.get("isolation", "")
    if type(isolation) is not str or len(isolation) > MAX_ISOLATION:
        raise ReceiptRefused("format", "isolation is no sentence")
    if not isolation.startswith(UNCONFINED):
        return []
    return [f"{isolation}: code in a hostile image could do what the gateway can"]


def _same_verdict(
    claims: dict[str, Any], fg: dict[str, Any], verdict: dict[str, Any], payload: bytes
) -> None:
    if hashlib.sha256(payload).hexdigest() != claims["response_hash"]:
        raise ReceiptRefused("verdict", "the verdict is not the one the leaf was made for")
    pairs = [
        ("cti", claims["cti"], verdict.get("verdict_id")),
        ("iss", claims["iss"], verdict.get("gateway")),
        ("model_hash", claims["model_hash"], verdict.get("model_sha256")),
        ("request_hash", claims["request_hash"], verdict.get("input_sha256")),
        ("session", fg["session"], verdict.get("session")),
        ("stage", fg.get("stage"), verdict.get("stage")),  # of a zone that is piloted, and no other
        ("payload_kind", fg.get("payload_kind", ""), verdict.get("payload_kind", "")),
        *(
            (n, fg[n], verdict.get(n))
            for n in (
                "device",
                "part",
                "part_type",
                "trigger_sequence",
                "counter",
                "outcome",
                "reason",
                "result_id",
                "golden_sha256",
            )
        ),
    ]
    for name, ours, theirs in pairs:
        if ours != theirs:
            raise ReceiptRefused(
                "verdict", f"leaf and verdict differ in {name}: {ours!r} and {theirs!r}"
            )
    if "payload_kind" in fg and not is_named_kind(fg["payload_kind"]):  # 14
        raise ReceiptRefused("payload", f"a kind named {ascii(fg['payload_kind'])[:60]}")


def _inspected(claims: dict[str, Any], verdict: dict[str, Any], notes: list[str]) -> None:
    name = "inspected_percent"
    share, theirs, profile = claims["fg"].get(name), verdict.get(name), claims["eat_profile"]
    if profile == PROFILE_1 and name not in claims["fg"] and name not in verdict:
        notes.append("made before receipts said how much of the picture was inspected")
        return
    of, their_of = claims["fg"].get("inspected_of", ""), verdict.get("inspected_of", "")
    nothing = claims["fg"]["outcome"] == "UNINSPECTED"
    least, most = (0, 0) if nothing else (MIN_INSPECTED, 100)
    if (
        profile != PROFILE_2
        or (share, of) != (theirs, their_of)
        or type(share) is not int
        or not least <= share <= most
        or of not in (("",) if nothing else ("", OUTLINE, FOREGROUND))
    ):
        raise ReceiptRefused(
            "inspected",
            f"expected {least} to {most} % of the part or the picture in a leaf of {PROFILE_2} and"
            f" its verdict, got {share!r} of {of!r} and {theirs!r} of {their_of!r} in one of"
            f" {profile!r}",
        )


def _backend(
    claims: dict[str, Any],
    root_pem: bytes,
    site_roots: tuple[bytes, ...] | None,
    notes: list[str],
) -> BackendProof | None:
    fg = claims["fg"]
    if "backend" not in fg:
        return None
    if fg["outcome"] == "UNINSPECTED":
        raise ReceiptRefused("backend", "a result of a model server, and nothing was inspected")
    try:
        payload, signature, der = _envelope(fg["backend"]["envelope"], RESULT_TYPE)
        authorities = _authorities(tuple(fg["backend"]["authorities"]))
        said, issued = _json(payload), int(_json(payload)["issued_at_ms"])
        roots = [root_pem, *(site_roots or ())]
        known = [r for r in roots if _names_fleet(r, der, authorities)]
    except _UNREADABLE as error:
        raise ReceiptRefused(
            "backend", f"expected a signed result of a model server, got {type(error).__name__}"
        ) from error
    if not known:
        if site_roots is None:
            notes.append("computed on a server of another fleet: that is the gateway's word")
            return None
        raise ReceiptPending(
            "backend",
            "computed on a server of another fleet, whose root is not here: receipt_verifier.py"
            " --site-root FILE, or framegate receipt verify --any-site",
        )
    signer, root = _result_signer(der, authorities, known, issued)
    name, fleet = _named(signer, NameOID.COMMON_NAME), _named(root, NameOID.ORGANIZATION_NAME)
    names = signer.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    wanted = [f"spiffe://{fleet}.framegate/{name.replace('.', '/')}"]
    if not name.startswith("backend.") or name != said["backend"] or uris != wanted:
        raise ReceiptRefused("backend", f"a result of {said['backend']!r}, signed by {name!r}")
    _signature("backend", signer, signature, _pae(RESULT_TYPE, payload))
    if abs(issued - int(claims["iat_ms"])) > MAX_RESULT_AGE_MS:
        raise ReceiptRefused("backend", "the result was made at another time than the leaf")
    for ours, theirs in (("model_hash", "model_sha256"), ("request_hash", "frame_sha256")):
        if claims[ours] != said[theirs] or not claims[ours]:
            raise ReceiptRefused("backend", f"leaf and result differ in {theirs}")
    unit = _named(signer, NameOID.ORGANIZATIONAL_UNIT_NAME)
    return BackendProof(name, fleet, unit, said)


def _result_signer(
    der: bytes, authorities: tuple[bytes, ...], roots: Sequence[bytes], issued: int
) -> tuple[x509.Certificate, x509.Certificate]:
    """A result's certificate, and which of `roots` it is under."""
    *others, last = roots
    for root in others:
        try:
            signer, _ = _certificate("backend", der, authorities, root, INFERENCE, issued)
        except ReceiptRefused:
            continue
        return signer, x509.load_pem_x509_certificate(root)
    signer, _ = _certificate("backend", der, authorities, last, INFERENCE, issued)
    return signer, x509.load_pem_x509_certificate(last)


def _names_fleet(root_pem: bytes, der: bytes, authorities: tuple[bytes, ...]) -> bool:
    """Whether a certificate says that it is of the fleet whose root this is: by who its issuer
    names as its own. Whether that is so, `_certificate` says.
    """
    leaf, root = x509.load_der_x509_certificate(der), x509.load_pem_x509_certificate(root_pem)
    issuers = map(x509.load_der_x509_certificate, authorities)
    return any(a.subject == leaf.issuer and a.issuer == root.subject for a in issuers)


def _named(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    (name,) = certificate.subject.get_attributes_for_oid(oid)
    return str(name.value)


def _of_kind(named: str | None, encoding: int) -> None:
    if encoding in PICTURES:
        fits = named is None
    elif encoding < FIRST_OWN:
        fits = named == NAMED_KINDS.get(encoding) and named is not None
    else:
        fits = named is not None and named not in NAMED_KINDS.values()
    if not fits:
        raise ReceiptRefused(
            "payload",
            f"a verdict on {named or 'a picture'}, and the camera sealed encoding {encoding}",
        )


def of_words(of: str) -> str:
    """What a percentage of inspection is of, for people; unknown ones are said as they stand."""
    words = {
        "": "the picture",
        OUTLINE: "the part's outline",
        FOREGROUND: "the part as its golden image shows it",
    }
    return words.get(of, ascii(of))


def _logged(
    part: Any, batch_payload: bytes, authorities: tuple[bytes, ...], root_pem: bytes, need: bool
) -> int:
    if not part:
        if need:
            raise ReceiptPending(
                "log-path", "expected the batch's place in the controller's log, got none"
            )
        return 0
    try:
        payload, signature, der = _envelope(part["checkpoint"], CHECKPOINT_TYPE)
        checkpoint, entry_bytes = _json(payload), _raw(part["entry"])
        entry = _json(entry_bytes)
        at_ms = int(checkpoint["at_ms"])
    except _UNREADABLE as error:
        raise ReceiptRefused(
            "format", f"expected a log proof, got {type(error).__name__}: {error}"
        ) from error
    signer, _ = _certificate("log-signer", der, authorities, root_pem, LOG, at_ms)
    _signature("log-signature", signer, signature, _pae(CHECKPOINT_TYPE, payload))
    try:
        root = root_from_path(
            leaf_hash(entry_bytes),
            int(part["index"]),
            int(checkpoint["size"]),
            [_raw(p) for p in part["path"]],
        )
    except _UNREADABLE as error:
        raise ReceiptRefused(
            "log-path", f"expected a path to the checkpoint's root, got {error}"
        ) from error
    if (
        root.hex() != checkpoint["root"]
        or entry.get("kind") != "receipt-batch"
        or entry.get("batch_sha256") != hashlib.sha256(batch_payload).hexdigest()
    ):
        raise ReceiptRefused("log-path", "this batch is not in the log at its place")
    return int(entry["at_ms"])


def _camera(  # noqa: C901 - ordered checks
    receipt: VerifiedReceipt,
    metadata: bytes,
    part: Any,
    authorities: tuple[bytes, ...],
    root_pem: bytes,
    need: bool,
) -> VerifiedReceipt:
    """`receipt`, of which all else holds, with what the camera's head adds to it."""
    claims, session = receipt.claims, receipt.session
    fg = claims["fg"]
    if not claims["request_hash"]:
        if fg["outcome"] != "UNINSPECTED":
            raise ReceiptRefused("frame", f"{fg['outcome']} without a frame")
        return _noted(receipt, "no frame was read: nothing of the camera to prove")
    try:  # 8
        frame = _record(metadata, METADATA_LABEL, _METADATA)
    except _UNREADABLE as error:
        raise ReceiptRefused("frame", f"expected the frame's metadata, got {error}") from error
    if (
        hashlib.sha256(metadata).hexdigest() != fg["frame_metadata_sha256"]
        or frame["session"] != session
    ):
        raise ReceiptRefused("frame", "the metadata is not that of the leaf")
    for name in ("device", "part", "part_type", "trigger_sequence", "mask_version"):
        if frame[name] != fg[name]:
            raise ReceiptRefused(
                "frame", f"metadata and leaf differ in {name}: {frame[name]!r} and {fg[name]!r}"
            )
    _of_kind(fg.get("payload_kind"), frame["encoding"])  # 14
    if not part:
        if need:
            raise ReceiptPending(
                "camera-head",
                "expected the camera's signed head over this frame, got none: the camera has not"
                " signed yet, or never saw this frame",
            )
        return _noted(
            receipt, "no camera's head: that the camera made this frame is the gateway's word"
        )
    try:
        head_bytes, signature, der = (
            _raw(part["head"]),
            _raw(part["signature"]),
            _raw(part["certificate"]),
        )
        head = _record(head_bytes, HEAD_LABEL, _HEAD)
        unanswered = struct.unpack(f">{len(head['unanswered']) // 4}I", head["unanswered"])
    except _UNREADABLE as error:
        raise ReceiptRefused("camera-head", f"expected the camera's head, got {error}") from error
    signer, device = _certificate("camera-signer", der, authorities, root_pem, DEVICE, None)  # 9
    if device != fg["device"]:
        raise ReceiptRefused(
            "camera-signer", f"a certificate of {device}, a frame of {fg['device']}"
        )
    if not _lived(signer, int(claims["iat_ms"])):
        raise ReceiptRefused(
            "camera-signer", "the camera's certificate did not live when the frame was inspected"
        )
    _signature("camera-head", signer, signature, SIGN_HEAD + head_bytes)  # 10
    if head["session"] != session or head["device"] != device:
        raise ReceiptRefused("camera-head", "a head of another session or camera")
    try:  # 11
        frame_leaf = leaf_hash(
            hashlib.sha256(metadata).digest() + bytes.fromhex(claims["request_hash"])
        )
        root = root_from_path(
            frame_leaf, int(receipt.counter), head["count"], [_raw(p) for p in part["path"]]
        )
    except _UNREADABLE as error:
        raise ReceiptRefused(
            "camera-path", f"expected a path to the camera's head, got {error}"
        ) from error
    if root != head["root"]:
        raise ReceiptRefused(
            "camera-path",
            "the camera did not sign for this frame at this place: it was invented or altered",
        )
    return replace(receipt, head_count=head["count"], unanswered=unanswered)


def _noted(receipt: VerifiedReceipt, note: str) -> VerifiedReceipt:
    return replace(receipt, notes=(*receipt.notes, note))


def missing_frames(
    receipts: Iterable[VerifiedReceipt], *, before: bool = True, after: bool = True
) -> dict[str, tuple[int, ...]]:
    """Session (hex) to the counters for which the camera signed, got an answer, and no receipt is
    here: frames that a gateway dropped.

    Give it *all* receipts of the sessions in question; or those of a time, and then say whether
    frames `before` a session's first receipt here, and `after` its last one, are of that time:
    without, only what lies between is judged. Frames the camera itself calls unanswered
    were lost on the way and are not listed. A gap stands for no frame: a gateway cannot call a
    frame that it answered a trigger that never came.
    """
    seen: dict[str, set[int]] = defaultdict(set)
    heads: dict[str, set[tuple[int, tuple[int, ...]]]] = defaultdict(set)
    for receipt in receipts:
        if receipt.is_gap:
            continue
        seen[receipt.session.hex()].add(receipt.counter)
        if receipt.head_count:
            heads[receipt.session.hex()].add((receipt.head_count, receipt.unanswered))
    missing = {}
    for s, signed in heads.items():
        # which head comes with which receipt is the gateway's choice, so the longest counts; and a
        # frame that any head calls answered was answered
        told = sorted(signed, reverse=True)
        first, last = 0 if before else min(seen[s]), told[0][0] if after else max(seen[s])
        missing[s] = tuple(
            n
            for n in range(first, last)
            if n not in seen[s] and any(n < count and n not in lost for count, lost in told)
        )
    return {s: gone for s, gone in missing.items() if gone}


def skipped_triggers(receipts: Iterable[VerifiedReceipt]) -> tuple[dict[str, Any], ...]:
    """Ranges of triggers that no frame came for, in the order of device, source and first trigger:
    {device, source, first, last, count}. Each trigger of them is UNINSPECTED.
    """
    names = ("device", "source", "first", "last", "count")
    ranges = [{name: r.claims["fg"][name] for name in names} for r in receipts if r.is_gap]
    return tuple(sorted(ranges, key=lambda r: (r["device"], r["source"], r["first"])))


_METADATA = (
    ("session", "blob"),
    ("device", "text"),
    ("part", "text"),
    ("part_type", "text"),
    ("trigger_sequence", "Q"),
    ("captured_at_ms", "Q"),
    ("uncertainty_ms", "I"),
    ("encoding", "B"),
    ("width", "I"),
    ("height", "I"),
    ("mask_version", "I"),
    ("mask_sha256", "blob"),
)
_HEAD = (
    ("session", "blob"),
    ("device", "text"),
    ("opening_info", "blob"),
    ("count", "Q"),
    ("root", "blob"),
    ("unanswered", "blob"),
    ("signed_at_ms", "Q"),
)


def _record(data: bytes, label: bytes, fields: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A record of docs/reference/protocol.md, section 1, all of it. Raises ValueError or
    struct.error.
    """
    prefix = bytes([len(label)]) + label
    if not data.startswith(prefix):
        raise ValueError(f"no record {label.decode()}")
    at, members = len(prefix), {}
    for name, kind in fields:
        if kind in {"blob", "text"}:
            (size,) = struct.unpack_from(">I", data, at)
            value = data[at + 4 : at + 4 + size]
            if len(value) != size:
                raise ValueError(f"{name} is cut off")
            at += 4 + size
            members[name] = value.decode() if kind == "text" else value
        else:
            (members[name],) = struct.unpack_from(">" + kind, data, at)
            at += struct.calcsize(">" + kind)
    if at != len(data):
        raise ValueError("trailing bytes")
    return members


def _raw(text: str) -> bytes:
    raw = base64.b64decode(text.encode(), validate=True)
    if base64.b64encode(raw).decode() != text:  # RFC 4648 section 3.5: bits that stand for nothing
        raise ValueError("another base64 of the same bytes")
    return raw


def _json(data: bytes) -> Any:
    if len(data) > MAX_RECEIPT_BYTES:
        raise ValueError("too large")
    value = json.loads(data.decode(), object_pairs_hook=_members, parse_constant=_no_number)
    if type(value) is not dict:
        raise ValueError("no JSON object")
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Each member once: of one that is there twice, some readers take the first."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member that is there twice")
    return members


def _no_number(name: str) -> Any:
    raise ValueError(f"{name}, which is no JSON")


def _pae(kind: str, payload: bytes) -> bytes:
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


@lru_cache(maxsize=64)
def _authorities(texts: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(_raw(text) for text in texts)


@lru_cache(maxsize=512)
def _envelope(text: str, kind: str) -> tuple[bytes, bytes, bytes]:
    """(payload, signature, certificate DER) of a DSSE envelope in base64."""
    body = _json(_raw(text))
    (signature,) = body["signatures"]
    if body["payloadType"] != kind:
        raise ValueError(f"expected {kind}, got {body['payloadType']!r}")
    return _raw(body["payload"]), _raw(signature["sig"]), _raw(signature["cert"])


@lru_cache(maxsize=4096)
def _signed(signer: x509.Certificate, signature: bytes, message: bytes) -> bool:
    key = signer.public_key()
    try:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _signature(check: str, signer: x509.Certificate, signature: bytes, message: bytes) -> None:
    # cached, because a batch's or head's signature is the same for each of its receipts
    if not _signed(signer, signature, message):
        raise ReceiptRefused(check, "the signature does not hold")


def _lived(certificate: x509.Certificate, at_ms: int) -> bool:
    first, last = _life_ms(certificate)
    return first <= at_ms <= last


@lru_cache(maxsize=4096)
def _life_ms(certificate: x509.Certificate) -> tuple[float, float]:
    return (
        certificate.not_valid_before_utc.timestamp() * 1000,
        certificate.not_valid_after_utc.timestamp() * 1000,
    )


def _certificate(
    check: str,
    der: bytes,
    authorities: tuple[bytes, ...],
    root_pem: bytes,
    purpose: str,
    at_ms: int | None,
) -> tuple[x509.Certificate, str]:
    """(certificate, common name): for exactly `purpose`, issued by the root or by one issuing CA of
    the root for that purpose, alive at `at_ms`.
    """
    try:
        certificate, name = _chained(der, authorities, root_pem, purpose)
    except (InvalidSignature, *_UNREADABLE) as error:
        raise ReceiptRefused(
            check, f"expected a certificate of this fleet for {purpose}, got {error}"
        ) from error
    if at_ms is not None and not _lived(certificate, at_ms):
        raise ReceiptRefused(
            check,
            f"the certificate did not live at {datetime.fromtimestamp(at_ms / 1000, UTC):%FT%TZ}",
        )
    return certificate, name


@lru_cache(maxsize=4096)
def _chained(
    der: bytes, authorities: tuple[bytes, ...], root_pem: bytes, purpose: str
) -> tuple[x509.Certificate, str]:
    leaf, root = x509.load_der_x509_certificate(der), x509.load_pem_x509_certificate(root_pem)
    if (
        _purposes(leaf) != [purpose]
        or leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    ):
        raise ValueError("another purpose")
    if leaf.issuer == root.subject:
        leaf.verify_directly_issued_by(root)
    else:
        issuer = next(
            (
                a
                for a in map(x509.load_der_x509_certificate, authorities)
                if a.subject == leaf.issuer
            ),
            None,
        )
        if issuer is None:
            raise ValueError("no issuing CA")
        issuer.verify_directly_issued_by(root)
        if not issuer.extensions.get_extension_for_class(
            x509.BasicConstraints
        ).value.ca or purpose not in _purposes(issuer):
            raise ValueError("an issuing CA for something else")
        leaf.verify_directly_issued_by(issuer)
    (name,) = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return leaf, str(name.value)


def _purposes(certificate: x509.Certificate) -> list[str]:
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return [named[1] for o in usages if (named := ARCS.fullmatch(o.dotted_string))]


def _said(receipt: VerifiedReceipt) -> str:
    fg, notes = receipt.claims["fg"], "; ".join(receipt.notes) or "complete"
    what = (
        f"{fg['count']} triggers from {fg['first']} to {fg['last']}"
        if receipt.is_gap
        else fg["part"]
    )
    kind = f" ({fg['payload_kind']})" if "payload_kind" in fg else ""
    proof = receipt.backend
    on = f" on {proof.backend} of {proof.fleet} ({proof.evidence})" if proof is not None else ""
    by = f"{receipt.claims['iss']}{on}"
    return f"{fg['outcome']} {what}{kind} of {fg['device']} by {by}; {notes}"


def main(argv: Sequence[str]) -> int:
    """The command line; 0 where every receipt holds and no frame is missing, 7 where nothing is
    wrong and a proof is not there so far, 6 otherwise, 2 for wrong usage.
    """
    if len(argv) < 3 or argv[0] != "--root":
        print(
            "usage: receipt_verifier.py --root FLEET-ROOT.pem [--site-root ROOT.pem …] RECEIPT.json"
            " …",
            file=sys.stderr,
        )
        return 2
    with open(argv[1], "rb") as file:  # noqa: PTH123 - stands alone, and so does without pathlib
        root_pem = file.read()
    site_roots, at = [], 2
    while argv[at : at + 1] == ["--site-root"] and len(argv) > at + 2:
        with open(argv[at + 1], "rb") as file:  # noqa: PTH123
            site_roots.append(file.read())
        at += 2
    here: list[VerifiedReceipt] = []
    bad = pending = 0
    for name in argv[at:]:
        with open(name, "rb") as file:  # noqa: PTH123
            lines = [line for line in file.read().splitlines() if line.strip()]
        for number, line in enumerate(lines, start=1):
            try:
                if is_range(body := json.loads(line)):
                    continue
                receipt = verify_receipt(body, root_pem, site_roots=site_roots)
            except ReceiptPending as error:
                pending += 1
                if error.so_far is not None:  # its frame is here, whatever is still to come
                    here.append(error.so_far)
                print(f"{ascii(name)[1:-1]}:{number} PENDING {ascii(str(error))[1:-1]}")
                continue
            except (ReceiptRefused, ValueError) as error:
                bad += 1
                print(f"{ascii(name)[1:-1]}:{number} REFUSED {ascii(str(error))[1:-1]}")
                continue
            here.append(receipt)
            print(ascii(f"{name}:{number} holds: {_said(receipt)}")[1:-1])
    for session, counters in missing_frames(here).items():
        bad += 1
        print(
            f"session {session}: no receipt for frames {', '.join(map(str, counters[:20]))}: the"
            " gateway dropped them, or this is not the whole session"
        )
    return 6 if bad else 7 if pending else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
