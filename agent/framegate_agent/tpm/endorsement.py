"""What the maker put into a TPM: the endorsement key, the initial attestation key, and their
certificates in NV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import tpm2_pytss as tss
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from framegate.cloud.hcl_report import MAGIC
from framegate.errors import FramegateError, Reason, Unavailable
from framegate.identity.device_identity import IAK_USAGE
from framegate.identity.endorsement import load_maker_certificate
from framegate.tpm.public import Public
from framegate_agent.tpm.esapi import Esapi
from framegate_agent.tpm.templates import EK_TEMPLATES

_NV_FIRST, _NV_LAST = 0x01C00000, 0x01C07FFF
_IDENTITY_NV_FIRST, _IDENTITY_NV_LAST = 0x01C90000, 0x01C9FFFF
"""Where makers keep IDevID and IAK certificates (TCG Keys for Device Identity and Attestation,
7.2).
"""
HCL_REPORT: Final = 0x01400001
HCL_KEY: Final = 0x81000003
"""Azure's report of a confidential guest, and the key that it binds."""
_GOOGLE_KEYS: Final = ((0x01C10000, 0x01C10001), (0x01C10002, 0x01C10003))
"""Google's certificates of attestation keys, RSA and ECC, and the templates those are made by."""
_IDENTITY_KEY_FIRST, _IDENTITY_KEY_LAST = 0x81020000, 0x8102FFFF
"""Where they keep those keys."""


@dataclass(frozen=True, slots=True)
class Endorsement:
    """The chosen EK: its public area, its template, and its certificate followed by intermediates
    out of NV.
    """

    public: Public
    template: bytes
    label: str
    certificates: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class InitialKey:
    """The maker's IAK: its persistent handle, public area, and certificate followed by
    intermediates out of NV; or a provider's key of a virtual TPM, with what vouches for it in place
    of a certificate. One that is not persistent is made anew by its `template`.
    """

    handle: int
    public: Public
    certificates: tuple[bytes, ...]
    template: bytes = b""


def _iak_spki(raw: bytes) -> bytes:
    """The key in an IAK certificate, DER; empty where the bytes are none."""
    try:
        certificate = load_maker_certificate(raw).certificate
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (FramegateError, ValueError, x509.ExtensionNotFound):
        return b""
    return key if IAK_USAGE in list(usages) else b""


def read_endorsement(esapi: Esapi) -> Endorsement:
    """The preferred EK that has a certificate, or a P-256 one without. On the owner thread. Raises
    Unavailable where there is none.
    """
    present = _nv_indices(esapi)
    intermediates = tuple(esapi.nv_read(i) for i in present if 0x01C00100 <= i <= 0x01C001FF)
    problems: list[str] = []
    for index, (label, template) in EK_TEMPLATES.items():
        if index not in present:
            continue
        try:
            with esapi.flushed(esapi.primary(tss.ESYS_TR.ENDORSEMENT, template)) as handle:
                return Endorsement(
                    esapi.public(handle),
                    template,
                    label,
                    (esapi.nv_read(index), *intermediates)[:6],
                )
        except tss.TSS2_Exception as error:
            problems.append(f"{label}: {error}")
    label, template = EK_TEMPLATES[0x01C0000A]
    try:
        with esapi.flushed(esapi.primary(tss.ESYS_TR.ENDORSEMENT, template)) as handle:
            return Endorsement(esapi.public(handle), template, label + ", no certificate", ())
    except tss.TSS2_Exception as error:
        raise Unavailable.of(
            Reason.UNAVAILABLE, "an endorsement key", "; ".join([*problems, str(error)])
        ) from error


def _nv_indices(esapi: Esapi) -> list[int]:
    return [h for h in esapi.handles(_NV_FIRST) if _NV_FIRST <= h <= _NV_LAST]


def find_initial_key(esapi: Esapi) -> InitialKey | None:
    """The maker's IAK with its certificates out of NV, where there is one whose persistent key is
    found; else the key of a virtual TPM that its provider vouches for; else None. On the owner
    thread.
    """
    certificates = [
        esapi.nv_read(i)
        for i in esapi.handles(_IDENTITY_NV_FIRST)
        if _IDENTITY_NV_FIRST <= i <= _IDENTITY_NV_LAST
    ]
    for number, raw in enumerate(certificates):
        key = _iak_spki(raw)
        for handle in esapi.handles(_IDENTITY_KEY_FIRST) if key else ():
            if (
                _IDENTITY_KEY_FIRST <= handle <= _IDENTITY_KEY_LAST
                and esapi.public(esapi.esys.tr_from_tpmpublic(handle)).spki() == key
            ):
                others = certificates[:number] + certificates[number + 1 :]
                return InitialKey(
                    handle,
                    esapi.public(esapi.esys.tr_from_tpmpublic(handle)),
                    (raw, *(c for c in others if not _iak_spki(c)))[:6],
                )
    return _azure_key(esapi) or _google_key(esapi)


def _azure_key(esapi: Esapi) -> InitialKey | None:
    if HCL_REPORT not in esapi.handles(HCL_REPORT, 1):
        return None
    if HCL_KEY not in esapi.handles(HCL_KEY, 1):
        return None
    report = esapi.nv_read(HCL_REPORT)
    if not report.startswith(MAGIC):
        return None
    public = esapi.public(esapi.esys.tr_from_tpmpublic(HCL_KEY))
    return InitialKey(HCL_KEY, public, (report,))


def _google_key(esapi: Esapi) -> InitialKey | None:
    for certificate, template in _GOOGLE_KEYS:
        there = [i for i in (certificate, template) if i in esapi.handles(i, 1)]
        if len(there) != len((certificate, template)):
            continue
        made_by = esapi.nv_read(template)
        with esapi.flushed(esapi.primary(tss.ESYS_TR.ENDORSEMENT, made_by)) as handle:
            return InitialKey(0, esapi.public(handle), (esapi.nv_read(certificate),), made_by)
    return None
