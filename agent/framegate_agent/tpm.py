"""The machine's TPM through tpm2-pytss: endorsement key, attestation key, TLS key, quote, certify,
sign.

ESAPI is not thread-safe and swtpm has three transient slots, so one thread owns the TPM and every
handle is flushed. All public methods may be called from any thread; they run on the owner thread
and block. A hardware TPM takes 200 to 600 ms a signature.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate.identity.device_identity import IAK_USAGE
from framegate.identity.endorsement import load_maker_certificate
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import Alg, Attr, Curve
from framegate.tpm.policy import TLS_KEY_PCRS, policy_pcr
from framegate.tpm.public import (
    AK_ATTRS,
    EK_POLICY_B_SHA256,
    EK_POLICY_B_SHA384,
    EK_POLICY_SECRET,
    TLS_ATTRS,
    Public,
    marshal_public,
    marshal_public_rsa,
    parse_public,
)

os.environ.setdefault(
    "TSS2_LOG", "all+none"
)  # expected errors, such as an empty NV index, would fill the log
import tpm2_pytss as tss
from tpm2_pytss.constants import TPM2_CAP, TPM2_PT

T = TypeVar("T")

AK_HANDLE: Final = 0x81010FA6
"""Where the AK persists: in the owner's range, away from the handles TCG reserves for EK and SRK.
"""
_PT_FIRMWARE_VERSION_1, _PT_FIRMWARE_VERSION_2 = 0x10B, 0x10C  # absent from TPM2_PT
_TRANSIENT_FIRST, _SESSION_FIRST = 0x80000000, 0x02000000
_NV_FIRST, _NV_LAST = 0x01C00000, 0x01C07FFF
_IDENTITY_NV_FIRST, _IDENTITY_NV_LAST = 0x01C90000, 0x01C9FFFF
"""Where makers keep IDevID and IAK certificates (TCG Keys for Device Identity and Attestation,
7.2).
"""
_IDENTITY_KEY_FIRST, _IDENTITY_KEY_LAST = 0x81020000, 0x8102FFFF
"""Where they keep those keys."""
_LOW, _HIGH = (
    Attr.FIXED_TPM
    | Attr.FIXED_PARENT
    | Attr.SENSITIVE_DATA_ORIGIN
    | Attr.ADMIN_WITH_POLICY
    | Attr.RESTRICTED
    | Attr.DECRYPT,
    Attr.USER_WITH_AUTH,
)
_AES128, _AES256 = (Alg.AES, 128, Alg.CFB), (Alg.AES, 256, Alg.CFB)
_ZERO32 = b"\0" * 32

EK_TEMPLATES: Final[dict[int, tuple[str, bytes]]] = {
    0x01C0000A: (
        "ECC P-256, low range",
        marshal_public(
            attributes=_LOW,
            curve=Curve.NIST_P256,
            x=_ZERO32,
            y=_ZERO32,
            auth_policy=EK_POLICY_SECRET,
            symmetric=_AES128,
        ),
    ),
    0x01C00014: (
        "ECC P-256, high range",
        marshal_public(
            attributes=_LOW | _HIGH,
            curve=Curve.NIST_P256,
            x=b"",
            y=b"",
            auth_policy=EK_POLICY_B_SHA256,
            symmetric=_AES128,
        ),
    ),
    0x01C00016: (
        "ECC P-384, high range",
        marshal_public(
            attributes=_LOW | _HIGH,
            curve=Curve.NIST_P384,
            x=b"",
            y=b"",
            auth_policy=EK_POLICY_B_SHA384,
            name_alg=Alg.SHA384,
            symmetric=_AES256,
        ),
    ),
    0x01C00002: (
        "RSA-2048, low range",
        marshal_public_rsa(
            attributes=_LOW, modulus=b"\0" * 256, auth_policy=EK_POLICY_SECRET, symmetric=_AES128
        ),
    ),
}
"""NV index of the certificate to (label, template), in the order of preference (TCG EK Credential
Profile, table 2).
"""


STORAGE_TEMPLATE: Final = marshal_public(
    attributes=Attr.FIXED_TPM
    | Attr.FIXED_PARENT
    | Attr.SENSITIVE_DATA_ORIGIN
    | Attr.USER_WITH_AUTH
    | Attr.NO_DA
    | Attr.RESTRICTED
    | Attr.DECRYPT,
    curve=Curve.NIST_P256,
    x=_ZERO32,
    y=_ZERO32,
    symmetric=_AES128,
)
"""The storage root key's template (TCG TPM v2.0 Provisioning Guidance, 7.5.1): made anew for each
use, the same key every time.
"""


class TpmFailed(Unavailable):
    """The TPM answered with an error, or not at all."""


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
    intermediates out of NV.
    """

    handle: int
    public: Public
    certificates: tuple[bytes, ...]


def _iak_spki(raw: bytes) -> bytes:
    """The key in an IAK certificate, DER; empty where the bytes are none."""
    try:
        certificate = load_maker_certificate(raw).certificate
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (FramegateError, ValueError, x509.ExtensionNotFound):
        return b""
    return key if IAK_USAGE in list(usages) else b""


@dataclass(frozen=True, slots=True)
class TpmFacts:
    """Fixed and variable properties of the TPM (TPM 2.0 Part 2, 6.13)."""

    manufacturer: int
    firmware_version: int
    lockout_counter: int
    max_auth_fail: int
    in_lockout: bool

    @property
    def maker(self) -> str:
        """The four letters of the maker's id."""
        return self.manufacturer.to_bytes(4, "big").decode("ascii", "replace").strip("\0 ")


class Tpm:
    """An open TPM with its AK and TLS key. `tcti` is a TCTI string such as `device:/dev/tpmrm0` or
    `swtpm:path=tpm.sock`.
    """

    def __init__(self, tcti: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tpm")
        self._closed = threading.Event()
        self._tls: Any = None
        self._tls_selection = PcrSelection(Alg.SHA256, TLS_KEY_PCRS)
        try:
            self._esys: Any = self._on_owner(lambda: tss.ESAPI(tcti))
        except Exception as error:
            self._pool.shutdown()
            raise Unavailable.of(
                Reason.UNAVAILABLE, f"a TPM 2.0 at {tcti}", error, "run framegate-agent doctor"
            ) from error

    def flush_leftovers(self) -> None:
        """Flush what a killed agent left in a TPM that has no resource manager, before anything of
        one's own is loaded.

        Through /dev/tpmrm0 nothing is listed but one's own; a TPM without a resource manager has a
        single user, which is now this process.
        """

        def flush() -> None:
            for first in (_TRANSIENT_FIRST, _SESSION_FIRST):
                found = self._esys.get_capability(TPM2_CAP.HANDLES, first, 16)
                data = found[1]
                for handle in [int(h) for h in data.data.handles]:
                    self._esys.flush_context(self._esys.tr_from_tpmpublic(handle))

        self._on_owner(flush)

    def close(self) -> None:
        """Flush the TLS key and let go of the TPM. The platform, not the agent, sends
        TPM2_Shutdown: others use the TPM too.
        """
        if self._closed.is_set():
            return
        self._closed.set()

        def leave() -> None:
            if self._tls is not None:
                self._esys.flush_context(self._tls)
            self._esys.close()

        try:
            self._pool.submit(leave).result()
        except tss.TSS2_Exception:
            pass  # the TPM went away before us: nothing of ours is left in it
        finally:
            self._pool.shutdown()

    def facts(self) -> TpmFacts:
        """The TPM's properties."""

        def read() -> TpmFacts:
            def prop(tag: int) -> int:
                # keep the parent alive while reading: chained access reads freed memory in
                # tpm2-pytss
                found = self._esys.get_capability(TPM2_CAP.TPM_PROPERTIES, tag, 1)
                data = found[1]
                listed = data.data.tpmProperties
                return int(listed[0].value) if len(listed) and int(listed[0].property) == tag else 0

            high, low = prop(_PT_FIRMWARE_VERSION_1), prop(_PT_FIRMWARE_VERSION_2)
            permanent = prop(TPM2_PT.PERMANENT)
            return TpmFacts(
                prop(TPM2_PT.MANUFACTURER),
                high << 32 | low,
                prop(TPM2_PT.LOCKOUT_COUNTER),
                prop(TPM2_PT.MAX_AUTH_FAIL),
                bool(permanent & 1 << 9),
            )

        return self._on_owner(read)

    def transient_handles(self) -> tuple[int, ...]:
        """Handles of transient objects loaded now; through a resource manager only our own."""

        def read() -> tuple[int, ...]:
            found = self._esys.get_capability(TPM2_CAP.HANDLES, 0x80000000, 16)
            data = found[1]
            return tuple(int(h) for h in data.data.handles)

        return self._on_owner(read)

    def endorsement(self) -> Endorsement:
        """The preferred EK that has a certificate, or a P-256 one without. Raises Unavailable where
        no template works.
        """
        return self._on_owner(self._endorsement)

    def initial_attestation_key(self) -> InitialKey | None:
        """The maker's IAK with its certificates out of NV, where there is one whose persistent key
        is found; else None.
        """

        def find() -> InitialKey | None:
            certificates = [
                self._nv_read(i)
                for i in self._handles(_IDENTITY_NV_FIRST)
                if _IDENTITY_NV_FIRST <= i <= _IDENTITY_NV_LAST
            ]
            for number, raw in enumerate(certificates):
                key = _iak_spki(raw)
                for handle in self._handles(_IDENTITY_KEY_FIRST) if key else ():
                    if (
                        _IDENTITY_KEY_FIRST <= handle <= _IDENTITY_KEY_LAST
                        and self._public(self._esys.tr_from_tpmpublic(handle)).spki() == key
                    ):
                        others = certificates[:number] + certificates[number + 1 :]
                        return InitialKey(
                            handle,
                            self._public(self._esys.tr_from_tpmpublic(handle)),
                            (raw, *(c for c in others if not _iak_spki(c)))[:6],
                        )
            return None

        return self._on_owner(find)

    def certify_ak(self, initial: InitialKey, data: bytes) -> tuple[bytes, bytes]:
        """(TPMS_ATTEST, TPMT_SIGNATURE): the IAK certifies the AK, so that whoever trusts the one
        may trust the other.
        """

        def run() -> tuple[bytes, bytes]:
            iak = self._esys.tr_from_tpmpublic(initial.handle)
            with self._ak() as ak:
                scheme = tss.TPMT_SIG_SCHEME(scheme=tss.TPM2_ALG.NULL)
                attest, signature = self._esys.certify(
                    ak,
                    iak,
                    data,
                    scheme,
                    session1=tss.ESYS_TR.PASSWORD,
                    session2=tss.ESYS_TR.PASSWORD,
                )
                return bytes(attest), bytes(signature.marshal())

        return self._on_owner(run)

    def attestation_key(self) -> Public:
        """The AK's public area; made and persisted on first use. Raises Refused where the handle
        holds another key.
        """

        def read() -> Public:
            with self._ak() as handle:
                return self._public(handle)

        return self._on_owner(read)

    def tls_key(self) -> Public:
        """The TLS key's public area; made in the NULL hierarchy, bound to the present PCR 0 to 7,
        and held until `close`.
        """

        def make() -> Public:
            if self._tls is None:
                policy = policy_pcr(self._tls_selection, self._pcrs(self._tls_selection))
                template = marshal_public(
                    attributes=TLS_ATTRS,
                    curve=Curve.NIST_P256,
                    x=b"",
                    y=b"",
                    auth_policy=policy,
                    scheme=(Alg.ECDSA, Alg.SHA256),
                )
                self._tls = self._primary(tss.ESYS_TR.NULL, template)
            return self._public(self._tls)

        return self._on_owner(make)

    def pcrs(self, selection: PcrSelection) -> dict[int, bytes]:
        """The present values of the selected PCRs."""
        return self._on_owner(lambda: self._pcrs(selection))

    def activate(
        self, endorsement: Endorsement, credential: bytes, encrypted_secret: bytes
    ) -> bytes:
        """The secret inside a credential made for this EK and AK. Raises Refused where it was made
        for another.
        """

        def run() -> bytes:
            blob = tss.TPM2B_ID_OBJECT(credential)
            secret = tss.TPM2B_ENCRYPTED_SECRET(encrypted_secret)
            with (
                self._ak() as ak,
                self._flushed(self._primary(tss.ESYS_TR.ENDORSEMENT, endorsement.template)) as ek,
            ):
                if endorsement.public.attributes & Attr.USER_WITH_AUTH:
                    return bytes(
                        self._esys.activate_credential(
                            ak,
                            ek,
                            blob,
                            secret,
                            session1=tss.ESYS_TR.PASSWORD,
                            session2=tss.ESYS_TR.PASSWORD,
                        )
                    )
                with self._policy_session() as session:
                    self._esys.policy_secret(tss.ESYS_TR.ENDORSEMENT, session, b"", b"", b"", 0)
                    return bytes(
                        self._esys.activate_credential(
                            ak, ek, blob, secret, session1=tss.ESYS_TR.PASSWORD, session2=session
                        )
                    )

        try:
            return self._on_owner(run)
        except TpmFailed as error:
            raise Refused.of(Reason.MAC, "a credential for this TPM's EK and AK", error) from error

    def quote(self, selection: PcrSelection, data: bytes) -> tuple[bytes, bytes]:
        """(TPMS_ATTEST, TPMT_SIGNATURE) of a quote by the AK with `data` as qualifyingData."""

        def run() -> tuple[bytes, bytes]:
            with self._ak() as ak:
                attest, signature = self._esys.quote(
                    ak, _selection(selection), data, tss.TPMT_SIG_SCHEME(scheme=tss.TPM2_ALG.NULL)
                )
                return bytes(attest), bytes(signature.marshal())

        return self._on_owner(run)

    def certify_tls_key(self, data: bytes) -> tuple[bytes, bytes]:
        """(TPMS_ATTEST, TPMT_SIGNATURE): the AK certifies the TLS key. The TLS key's use is
        authorised by its PCR policy.
        """

        def run() -> tuple[bytes, bytes]:
            with self._ak() as ak:
                # certifying asks for ADMIN role: with adminWithPolicy clear that is the key's
                # (empty) authValue
                attest, signature = self._esys.certify(
                    self._tls,
                    ak,
                    data,
                    tss.TPMT_SIG_SCHEME(scheme=tss.TPM2_ALG.NULL),
                    session1=tss.ESYS_TR.PASSWORD,
                    session2=tss.ESYS_TR.PASSWORD,
                )
                return bytes(attest), bytes(signature.marshal())

        return self._on_owner(run)

    def sign_with_tls_key(self, message: bytes) -> bytes:
        """DER ECDSA-SHA256 signature over `message`, made only while PCR 0 to 7 are as they were
        when the key was made.

        The caller MUST have decided that this message may be signed (signing.py). Raises Refused
        where the boot state differs.
        """

        def run() -> bytes:
            digest = hashlib.sha256(message).digest()
            with self._policy_session() as session:
                self._esys.policy_pcr(session, b"", _selection(self._tls_selection))
                hierarchy = tss.TPMT_TK_HASHCHECK(
                    tag=tss.TPM2_ST.HASHCHECK, hierarchy=tss.TPM2_RH.NULL
                )
                signature = self._esys.sign(
                    self._tls,
                    digest,
                    tss.TPMT_SIG_SCHEME(scheme=tss.TPM2_ALG.NULL),
                    hierarchy,
                    session1=session,
                )
                ecdsa = signature.signature.ecdsa
                return encode_dss_signature(
                    int.from_bytes(bytes(ecdsa.signatureR), "big"),
                    int.from_bytes(bytes(ecdsa.signatureS), "big"),
                )

        try:
            return self._on_owner(run)
        except TpmFailed as error:
            raise Refused.of(
                Reason.TLS_KEY_POLICY,
                "the boot state the TLS key was made in",
                error,
                "the agent makes a new key when it starts again",
            ) from error

    def seal(self, secret: bytes) -> bytes:
        """`secret` (at most 64 bytes) as a blob that only this TPM opens, and only while PCR 0 to 7
        are as they are now (TPM 2.0 Part 1, 26).
        """

        def run() -> bytes:
            policy = policy_pcr(self._tls_selection, self._pcrs(self._tls_selection))
            public = tss.TPM2B_PUBLIC.parse(
                "keyedhash", objectAttributes="fixedtpm|fixedparent|noda", authPolicy=policy
            )
            sensitive = tss.TPM2B_SENSITIVE_CREATE(tss.TPMS_SENSITIVE_CREATE(data=secret))
            with self._flushed(self._primary(tss.ESYS_TR.OWNER, STORAGE_TEMPLATE)) as parent:
                private, made, _, _, _ = self._esys.create(parent, sensitive, public)
            return bytes(made.marshal()) + bytes(private.marshal())

        return self._on_owner(run)

    def unseal(self, blob: bytes) -> bytes:
        """The secret in a blob of `seal`. Raises Refused (VAULT) where another TPM made it or the
        boot state differs, Malformed for other bytes.
        """

        def run() -> bytes:
            try:
                public, used = tss.TPM2B_PUBLIC.unmarshal(blob)
                private, _ = tss.TPM2B_PRIVATE.unmarshal(blob[used:])
            except (tss.TSS2_Exception, ValueError) as error:
                raise Malformed.of(
                    Reason.VAULT, "a sealed blob", f"{len(blob)} other bytes"
                ) from error
            with (
                self._flushed(self._primary(tss.ESYS_TR.OWNER, STORAGE_TEMPLATE)) as parent,
                self._flushed(self._esys.load(parent, private, public)) as handle,
                self._policy_session() as session,
            ):
                self._esys.policy_pcr(session, b"", _selection(self._tls_selection))
                return bytes(self._esys.unseal(handle, session1=session))

        try:
            return self._on_owner(run)
        except TpmFailed as error:
            raise Refused.of(
                Reason.VAULT,
                "a secret sealed by this TPM in this boot state",
                error,
                "after a firmware update: framegate-gateway vault recover --recovery-key FILE",
            ) from error

    def _on_owner(self, work: Callable[[], T]) -> T:
        if self._closed.is_set():
            raise Unavailable.of(Reason.UNAVAILABLE, "an open TPM", "closed")
        try:
            return self._pool.submit(work).result()
        except tss.TSS2_Exception as error:
            raise TpmFailed.of(
                Reason.UNAVAILABLE, "an answer of the TPM", error, "framegate-agent doctor"
            ) from error

    def _endorsement(self) -> Endorsement:
        present = self._nv_indices()
        intermediates = tuple(self._nv_read(i) for i in present if 0x01C00100 <= i <= 0x01C001FF)
        problems: list[str] = []
        for index, (label, template) in EK_TEMPLATES.items():
            if index not in present:
                continue
            try:
                with self._flushed(self._primary(tss.ESYS_TR.ENDORSEMENT, template)) as handle:
                    return Endorsement(
                        self._public(handle),
                        template,
                        label,
                        (self._nv_read(index), *intermediates)[:6],
                    )
            except tss.TSS2_Exception as error:
                problems.append(f"{label}: {error}")
        label, template = EK_TEMPLATES[0x01C0000A]
        try:
            with self._flushed(self._primary(tss.ESYS_TR.ENDORSEMENT, template)) as handle:
                return Endorsement(self._public(handle), template, label + ", no certificate", ())
        except tss.TSS2_Exception as error:
            raise Unavailable.of(
                Reason.UNAVAILABLE, "an endorsement key", "; ".join([*problems, str(error)])
            ) from error

    def _nv_indices(self) -> list[int]:
        return [h for h in self._handles(_NV_FIRST) if _NV_FIRST <= h <= _NV_LAST]

    def _handles(self, first: int) -> list[int]:
        found = self._esys.get_capability(TPM2_CAP.HANDLES, first, 254)
        data = found[1]
        return [int(h) for h in data.data.handles]

    def _nv_read(self, index: int) -> bytes:
        handle = self._esys.tr_from_tpmpublic(index)
        public, _ = self._esys.nv_read_public(handle)
        size, out = int(public.nvPublic.dataSize), b""
        while len(out) < size:
            out += bytes(
                self._esys.nv_read(handle, min(512, size - len(out)), len(out), auth_handle=handle)
            )
        return out

    @contextmanager
    def _ak(self) -> Iterator[Any]:
        template = marshal_public(
            attributes=AK_ATTRS, curve=Curve.NIST_P256, x=b"", y=b"", scheme=(Alg.ECDSA, Alg.SHA256)
        )
        try:
            handle = self._esys.tr_from_tpmpublic(AK_HANDLE)
        except tss.TSS2_Exception:
            with self._flushed(self._primary(tss.ESYS_TR.ENDORSEMENT, template)) as made:
                handle = self._esys.evict_control(tss.ESYS_TR.OWNER, made, AK_HANDLE)
        if self._public(handle).attributes != AK_ATTRS:
            raise Refused.of(
                Reason.AK_TEMPLATE,
                f"Framegate's AK at 0x{AK_HANDLE:08x}",
                "another key",
                f"free it: tpm2_evictcontrol -c 0x{AK_HANDLE:08x}",
            )
        yield handle

    def _primary(self, hierarchy: Any, template: bytes) -> Any:
        public = tss.TPM2B_PUBLIC(publicArea=tss.TPMT_PUBLIC.unmarshal(template)[0])
        return self._esys.create_primary(tss.TPM2B_SENSITIVE_CREATE(), public, hierarchy)[0]

    def _public(self, handle: Any) -> Public:
        public, _, _ = self._esys.read_public(handle)
        return parse_public(bytes(public.publicArea.marshal()))

    def _pcrs(self, selection: PcrSelection) -> dict[int, bytes]:
        values: dict[int, bytes] = {}
        for start in range(
            0, len(selection.pcrs), 8
        ):  # TPM2_PCR_Read gives at most eight digests at once
            part = PcrSelection(selection.bank, selection.pcrs[start : start + 8])
            _, _, digests = self._esys.pcr_read(_selection(part))
            values.update({p: bytes(d) for p, d in zip(part.pcrs, digests, strict=True)})
        return values

    @contextmanager
    def _flushed(self, handle: Any) -> Iterator[Any]:
        try:
            yield handle
        finally:
            self._esys.flush_context(handle)

    @contextmanager
    def _policy_session(self) -> Iterator[Any]:
        none = tss.TPMT_SYM_DEF(algorithm=tss.TPM2_ALG.NULL)
        session = self._esys.start_auth_session(
            tss.ESYS_TR.NONE, tss.ESYS_TR.NONE, tss.TPM2_SE.POLICY, none, tss.TPM2_ALG.SHA256
        )
        with self._flushed(session):  # ESYS keeps sessions alive, and swtpm has three
            yield session


def _selection(selection: PcrSelection) -> Any:
    return tss.TPML_PCR_SELECTION.parse(
        f"{selection.bank.name.lower()}:{','.join(map(str, selection.pcrs))}"
    )
