"""What a model server says it computed: signed by a process that its attested host vouches for.

A result is bound to the model's bytes, to the tensors that went in and came out, to the frame that
they were made of, and to the one request it answers. Who signed, on what kind of evidence, and of
which fleet, its certificate says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from cryptography import x509

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose, alternative_names, common_name
from framegate.identity.evidence_form import EvidenceForm
from framegate.identity.names import Kind, device_id, spiffe_id, split_device_id
from framegate.receipt_verifier import RESULT_TYPE
from framegate.signed.statement import Statement

MAX_AGE_MS: Final = 60_000
"""Between a result and the gateway's clock: an answer takes seconds, two sites' clocks differ."""


@dataclass(frozen=True, slots=True)
class InferenceResult(Statement):
    """One answer of a model server. Digests in hex; `request` is what the asker drew."""

    backend: str
    result_id: str
    model_sha256: str
    frame_sha256: str
    request: str
    input_sha256: str
    output_sha256: str
    issued_at_ms: int

    TYPE: ClassVar[str] = RESULT_TYPE
    PURPOSE: ClassVar[Purpose] = Purpose.INFERENCE


@dataclass(frozen=True, slots=True)
class NamedTensor:
    """A tensor on the wire: its protocol's datatype, its sides, its bytes."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    body: bytes


def tensors_digest(tensors: Iterable[NamedTensor]) -> str:
    """SHA-256 (hex) over tensors in their order; every part stands behind its own length, so that
    no two lists have one text.
    """
    digest = hashlib.sha256(b"framegate/v1/tensors\0")
    for each in tensors:
        sides = b",".join(str(side).encode() for side in each.shape)
        for part in (each.name.encode(), each.datatype.encode(), sides, each.body):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedInference:
    """What was asked, and of whom; what the answer is held against. `fleet` is the backend's."""

    backend: str
    fleet: str
    model_sha256: str
    frame_sha256: str
    request: str
    input_sha256: str
    output_sha256: str


@dataclass(frozen=True, slots=True)
class BackendWord:
    """A result that answers what was asked, and the form of evidence that its signer's host joined
    by; made by `verify_inference`.
    """

    result: InferenceResult
    form: EvidenceForm


def verify_inference(
    data: bytes,
    asked: AskedInference,
    intermediates: Sequence[x509.Certificate],
    root: x509.Certificate,
    now: datetime,
) -> BackendWord:
    """A result that counts as the answer to `asked`; `root` MUST be the one that is pinned for the
    fleet `asked.fleet`.

    1. to 4. as `Statement.verify`, for results: a certificate of a camera, a gateway or a model
       server's TLS signs none;
    5. the signer is the backend that was asked, and says so: common name, statement, and SPIFFE ID
       in that fleet;
    6. its certificate names the form of its evidence, and one that is known;
    7. it answers this request: model, frame, tensors that went in, tensors that came out;
    8. it was made within `MAX_AGE_MS` of `now`.

    Raises Malformed or Refused (CERTIFICATE, CERTIFICATE_EXPIRED, SIGNATURE, BACKEND).
    """
    result, signer = InferenceResult.verify(data, intermediates, root, now)
    name = common_name(signer)
    kind, zone, own = split_device_id(name)
    wanted = spiffe_id(device_id(kind, zone, own), asked.fleet)
    if kind != Kind.BACKEND or name != asked.backend or result.backend != name:  # 5
        raise _refused(f"a result of {asked.backend}", f"one of {result.backend}, by {name}")
    uris = alternative_names(signer, x509.UniformResourceIdentifier, Reason.BACKEND)
    if uris != [wanted]:
        raise _refused(wanted, ascii(uris)[:200])
    form = _form(signer)  # 6
    for member in ("model_sha256", "frame_sha256", "request", "input_sha256", "output_sha256"):
        if getattr(result, member) != getattr(asked, member):  # 7
            raise _refused(f"an answer to this request, {member} and all", "one to another")
    age_ms = int(now.timestamp() * 1000) - result.issued_at_ms
    if abs(age_ms) > MAX_AGE_MS:  # 8
        raise _refused(f"a result within {MAX_AGE_MS // 1000} s", f"one of {age_ms / 1000:.1f} s")
    return BackendWord(result, form)


def _form(signer: x509.Certificate) -> EvidenceForm:
    try:
        units = signer.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATIONAL_UNIT_NAME)
        (unit,) = units
        return EvidenceForm(str(unit.value))
    except ValueError as error:  # none, several, or one that is not known
        raise _refused("one form of evidence in the certificate", "another, or none") from error


def _refused(expected: str, actual: str) -> Refused:
    return Refused.of(Reason.BACKEND, expected, actual)
