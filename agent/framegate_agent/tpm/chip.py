"""The TPM as the agent uses it: endorsement key, attestation key, TLS key, quote, certify, sign,
seal.

All public methods may be called from any thread; they run on the owner thread and block. A
hardware TPM takes 200 to 600 ms a signature.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import tpm2_pytss as tss
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from framegate.errors import Malformed, Reason, Refused
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import Alg, Attr, Curve
from framegate.tpm.policy import TLS_KEY_PCRS, policy_pcr
from framegate.tpm.public import AK_ATTRS, TLS_ATTRS, Public, marshal_public
from framegate_agent.tpm.endorsement import (
    Endorsement,
    InitialKey,
    find_initial_key,
    read_endorsement,
)
from framegate_agent.tpm.esapi import (
    SESSION_FIRST,
    TRANSIENT_FIRST,
    Esapi,
    TpmFailed,
    TpmLost,
    is_gone,
    is_lost,
    pcr_selection,
)
from framegate_agent.tpm.facts import TpmFacts, read_facts
from framegate_agent.tpm.templates import STORAGE_TEMPLATE

T = TypeVar("T")
log = logging.getLogger(__name__)
AK_HANDLE: Final = 0x81010FA6
"""Where the AK persists: in the owner's range, away from the handles TCG reserves for EK and SRK.
"""


class Tpm:
    """An open TPM with its AK and TLS key. `tcti` is a TCTI string such as `device:/dev/tpmrm0` or
    `swtpm:path=tpm.sock`.
    """

    def __init__(self, tcti: str) -> None:
        self._tls: Any = None
        self._tls_last: Public | None = None
        self._tls_policy: bytes | None = None
        self._tls_selection = PcrSelection(Alg.SHA256, TLS_KEY_PCRS)
        self._esapi = Esapi(tcti)

    def flush_leftovers(self) -> None:
        """Flush what a killed agent left in a TPM that has no resource manager, before anything of
        one's own is loaded.

        Through /dev/tpmrm0 nothing is listed but one's own; a TPM without a resource manager has a
        single user, which is now this process.
        """
        esapi = self._esapi

        def flush() -> None:
            for first in (TRANSIENT_FIRST, SESSION_FIRST):
                for handle in esapi.handles(first, 16):
                    esapi.esys.flush_context(esapi.esys.tr_from_tpmpublic(handle))

        esapi.on_owner(flush)

    def close(self) -> None:
        """Flush the TLS key and let go of the TPM."""

        def flush() -> None:
            if self._tls is not None:
                self._esapi.esys.flush_context(self._tls)

        self._esapi.close(flush)

    def facts(self) -> TpmFacts:
        """The TPM's properties."""
        return self._esapi.on_owner(lambda: read_facts(self._esapi))

    def clock_ms(self) -> int:
        """The TPM's clock: ms that it had power since it was cleared (TPM 2.0 Part 1, 36.3). Raises
        TpmFailed.
        """
        return self._esapi.on_owner(self._esapi.clock_ms)

    def transient_handles(self) -> tuple[int, ...]:
        """Handles of transient objects loaded now; through a resource manager only our own."""
        return self._esapi.on_owner(lambda: tuple(self._esapi.handles(TRANSIENT_FIRST, 16)))

    def endorsement(self) -> Endorsement:
        """The preferred EK that has a certificate, or a P-256 one without. Raises Unavailable where
        no template works.
        """
        return self._esapi.on_owner(lambda: read_endorsement(self._esapi))

    def initial_attestation_key(self) -> InitialKey | None:
        """The maker's IAK with its certificates out of NV, where there is one whose persistent key
        is found; else None.
        """
        return self._esapi.on_owner(lambda: find_initial_key(self._esapi))

    def certify_ak(self, initial: InitialKey, data: bytes) -> tuple[bytes, bytes]:
        """(TPMS_ATTEST, TPMT_SIGNATURE): the IAK certifies the AK, so that whoever trusts the one
        may trust the other.
        """

        def run() -> tuple[bytes, bytes]:
            with self._initial(initial) as iak, self._ak() as ak:
                scheme = tss.TPMT_SIG_SCHEME(scheme=tss.TPM2_ALG.NULL)
                attest, signature = self._esapi.esys.certify(
                    ak,
                    iak,
                    data,
                    scheme,
                    session1=tss.ESYS_TR.PASSWORD,
                    session2=tss.ESYS_TR.PASSWORD,
                )
                return bytes(attest), bytes(signature.marshal())

        return self._esapi.on_owner(run)

    @contextmanager
    def _initial(self, initial: InitialKey) -> Iterator[Any]:
        """The key's handle; one that is made anew is flushed at the end."""
        if not initial.template:
            yield self._esapi.esys.tr_from_tpmpublic(initial.handle)
            return
        primary = self._esapi.primary(tss.ESYS_TR.ENDORSEMENT, initial.template)
        with self._esapi.flushed(primary) as handle:
            yield handle

    def attestation_key(self) -> Public:
        """The AK's public area; made and persisted on first use. Raises Refused where the handle
        holds another key.
        """

        def read() -> Public:
            with self._ak() as handle:
                return self._esapi.public(handle)

        return self._esapi.on_owner(read)

    def tls_key(self) -> Public:
        """The TLS key's public area; made in the NULL hierarchy, bound to the present PCR 0 to 7,
        and held until `close`.
        """

        self._tls_last = self._esapi.on_owner(lambda: self._with_tls(self._esapi.public))
        return self._tls_last

    @property
    def last_tls_key(self) -> Public:
        """What `tls_key` last said, for whoever must not wait for a TPM that is at work; asks where
        nobody has so far.
        """
        return self._tls_last or self.tls_key()

    def _with_tls(self, use: Callable[[Any], T]) -> T:
        """What `use` makes of the TLS key's handle. Where somebody else flushed it, the key is made
        again, once: until the TPM is reset it is the same one (TPM 2.0 Part 1, 24), while PCR 0 to
        7 are as they were.
        """
        if self._tls is not None:
            try:
                return use(self._tls)
            except tss.TSS2_Exception as error:
                if not is_gone(error):
                    raise
                log.warning("the TLS key is no longer loaded in the TPM: loading it again")
        if self._tls_policy is None:
            self._tls_policy = policy_pcr(
                self._tls_selection, self._esapi.pcrs(self._tls_selection)
            )
        template = marshal_public(
            attributes=TLS_ATTRS,
            curve=Curve.NIST_P256,
            x=b"",
            y=b"",
            auth_policy=self._tls_policy,
            scheme=(Alg.ECDSA, Alg.SHA256),
        )
        self._tls = self._esapi.primary(tss.ESYS_TR.NULL, template)
        return use(self._tls)

    def pcrs(self, selection: PcrSelection) -> dict[int, bytes]:
        """The present values of the selected PCRs."""
        return self._esapi.on_owner(lambda: self._esapi.pcrs(selection))

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
                self._esapi.flushed(
                    self._esapi.primary(tss.ESYS_TR.ENDORSEMENT, endorsement.template)
                ) as ek,
            ):
                if endorsement.public.attributes & Attr.USER_WITH_AUTH:
                    return bytes(
                        self._esapi.esys.activate_credential(
                            ak,
                            ek,
                            blob,
                            secret,
                            session1=tss.ESYS_TR.PASSWORD,
                            session2=tss.ESYS_TR.PASSWORD,
                        )
                    )
                with self._esapi.policy_session() as session:
                    self._esapi.esys.policy_secret(
                        tss.ESYS_TR.ENDORSEMENT, session, b"", b"", b"", 0
                    )
                    return bytes(
                        self._esapi.esys.activate_credential(
                            ak, ek, blob, secret, session1=tss.ESYS_TR.PASSWORD, session2=session
                        )
                    )

        try:
            return self._esapi.on_owner(run)
        except TpmLost:
            raise
        except TpmFailed as error:
            raise Refused.of(Reason.MAC, "a credential for this TPM's EK and AK", error) from error

    def quote(self, selection: PcrSelection, data: bytes) -> tuple[bytes, bytes]:
        """(TPMS_ATTEST, TPMT_SIGNATURE) of a quote by the AK with `data` as qualifyingData."""

        def run() -> tuple[bytes, bytes]:
            with self._ak() as ak:
                attest, signature = self._esapi.esys.quote(
                    ak,
                    pcr_selection(selection),
                    data,
                    tss.TPMT_SIG_SCHEME(scheme=tss.TPM2_ALG.NULL),
                )
                return bytes(attest), bytes(signature.marshal())

        return self._esapi.on_owner(run)

    def certify_tls_key(self, data: bytes) -> tuple[bytes, bytes]:
        """(TPMS_ATTEST, TPMT_SIGNATURE): the AK certifies the TLS key. The TLS key's use is
        authorised by its PCR policy.
        """

        def run() -> tuple[bytes, bytes]:
            with self._ak() as ak:
                # certifying asks for ADMIN role: with adminWithPolicy clear that is the key's
                # (empty) authValue
                attest, signature = self._with_tls(
                    lambda tls: self._esapi.esys.certify(
                        tls,
                        ak,
                        data,
                        tss.TPMT_SIG_SCHEME(scheme=tss.TPM2_ALG.NULL),
                        session1=tss.ESYS_TR.PASSWORD,
                        session2=tss.ESYS_TR.PASSWORD,
                    )
                )
                return bytes(attest), bytes(signature.marshal())

        return self._esapi.on_owner(run)

    def sign_with_tls_key(self, message: bytes) -> bytes:
        """DER ECDSA-SHA256 signature over `message`, made only while PCR 0 to 7 are as they were
        when the key was made.

        The caller MUST have decided that this message may be signed (signing.py). Raises Refused
        where the boot state differs.
        """

        digest = hashlib.sha256(message).digest()

        def sign(tls: Any) -> bytes:
            with self._esapi.policy_session() as session:
                self._esapi.esys.policy_pcr(session, b"", pcr_selection(self._tls_selection))
                hierarchy = tss.TPMT_TK_HASHCHECK(
                    tag=tss.TPM2_ST.HASHCHECK, hierarchy=tss.TPM2_RH.NULL
                )
                signature = self._esapi.esys.sign(
                    tls,
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
            return self._esapi.on_owner(lambda: self._with_tls(sign))
        except TpmLost:
            raise
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
            policy = policy_pcr(self._tls_selection, self._esapi.pcrs(self._tls_selection))
            template = tss.TPM2B_PUBLIC.parse(
                "keyedhash", objectAttributes="fixedtpm|fixedparent|noda", authPolicy=policy
            )
            sensitive = tss.TPM2B_SENSITIVE_CREATE(tss.TPMS_SENSITIVE_CREATE(data=secret))
            with self._esapi.flushed(
                self._esapi.primary(tss.ESYS_TR.OWNER, STORAGE_TEMPLATE)
            ) as parent:
                private, public, _, _, _ = self._esapi.esys.create(parent, sensitive, template)
            return bytes(public.marshal()) + bytes(private.marshal())

        return self._esapi.on_owner(run)

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
                self._esapi.flushed(
                    self._esapi.primary(tss.ESYS_TR.OWNER, STORAGE_TEMPLATE)
                ) as parent,
                self._esapi.flushed(self._esapi.esys.load(parent, private, public)) as handle,
                self._esapi.policy_session() as session,
            ):
                self._esapi.esys.policy_pcr(session, b"", pcr_selection(self._tls_selection))
                return bytes(self._esapi.esys.unseal(handle, session1=session))

        try:
            return self._esapi.on_owner(run)
        except TpmLost:
            raise
        except TpmFailed as error:
            raise Refused.of(
                Reason.VAULT,
                "a secret sealed by this TPM in this boot state",
                error,
                "after a firmware update: framegate-gateway vault recover --recovery-key FILE",
            ) from error

    @contextmanager
    def _ak(self) -> Iterator[Any]:
        template = marshal_public(
            attributes=AK_ATTRS, curve=Curve.NIST_P256, x=b"", y=b"", scheme=(Alg.ECDSA, Alg.SHA256)
        )
        try:
            handle = self._esapi.esys.tr_from_tpmpublic(AK_HANDLE)
        except tss.TSS2_Exception as error:
            if is_lost(error):
                raise
            with self._esapi.flushed(
                self._esapi.primary(tss.ESYS_TR.ENDORSEMENT, template)
            ) as transient:
                handle = self._esapi.esys.evict_control(tss.ESYS_TR.OWNER, transient, AK_HANDLE)
        if self._esapi.public(handle).attributes != AK_ATTRS:
            raise Refused.of(
                Reason.AK_TEMPLATE,
                f"Framegate's AK at 0x{AK_HANDLE:08x}",
                "another key",
                f"free it: tpm2_evictcontrol -c 0x{AK_HANDLE:08x}",
            )
        yield handle
