"""CA keys in the controller's own TPM: children of its storage root key.

The folder keeps them as blobs that no other TPM can load.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key
from tpm2_pytss import ESAPI, TSS2_Exception
from tpm2_pytss.constants import ESYS_TR, TPM2_ALG, TPM2_RH, TPM2_ST
from tpm2_pytss.types import (
    TPM2B_DIGEST,
    TPM2B_PRIVATE,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE_CREATE,
    TPMT_SIG_SCHEME,
    TPMT_TK_HASHCHECK,
)

from framegate.errors import Reason, Refused, Unavailable
from framegate.identity.foreign_key import ForeignKey
from framegate_host.private_files import write_private

_SRK: Final = "ecc256:aes128cfb"
_SRK_ATTRIBUTES: Final = (
    "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"
)
_KEY: Final = "ecc256:ecdsa-sha256"
_KEY_ATTRIBUTES: Final = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign"


class TpmKeys:
    """Keys of one TPM.

    Every use loads the blob, signs, and flushes it: a TPM without a resource manager has three
    places.
    """

    def __init__(self, tcti: str, folder: Path) -> None:
        self.place = "TPM"
        self._folder, self._lock = folder, threading.Lock()
        try:
            self._tpm = ESAPI(tcti)
            with self._srk():
                pass
        except TSS2_Exception as error:
            hint = "is it there, and may this user open it?"
            raise Unavailable.of(Reason.UNAVAILABLE, f"the TPM {tcti}", str(error), hint) from error

    def make(self, label: str) -> ec.EllipticCurvePrivateKey:
        """See `KeyStore`."""
        path = self._folder / f"{label}.tpm"
        if path.exists():
            raise Refused.of(
                Reason.CONFLICT, f"no key {label}", "one", "keys are never overwritten"
            )
        with self._srk() as srk:
            template = TPM2B_PUBLIC.parse(_KEY, _KEY_ATTRIBUTES)
            private, public, *_ = self._tpm.create(srk, TPM2B_SENSITIVE_CREATE(), template)
        blobs = {"public": public.marshal().hex(), "private": private.marshal().hex()}
        write_private(path, json.dumps(blobs).encode())
        return self.load(label)

    def load(self, label: str) -> ec.EllipticCurvePrivateKey:
        """See `KeyStore`."""
        try:
            body = json.loads((self._folder / f"{label}.tpm").read_text())
            public, _ = TPM2B_PUBLIC.unmarshal(bytes.fromhex(body["public"]))
            private, _ = TPM2B_PRIVATE.unmarshal(bytes.fromhex(body["private"]))
        except (OSError, ValueError, KeyError) as error:
            wanted, problem = f"the key {label} of this TPM in {self._folder}", type(error).__name__
            raise Unavailable.of(
                Reason.UNAVAILABLE, wanted, problem, "restore the folder"
            ) from error
        key = load_der_public_key(public.to_der())
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise Unavailable.of(Reason.UNAVAILABLE, f"a P-256 key {label}", type(key).__name__)

        return ForeignKey(key, lambda message: self._sign(private, public, message))

    def rename(self, label: str, new: str) -> None:
        """See `KeyStore`."""
        (self._folder / f"{label}.tpm").replace(self._folder / f"{new}.tpm")

    def _sign(self, private: Any, public: Any, message: bytes) -> bytes:
        digest = TPM2B_DIGEST(sha256(message).digest())
        by_key = TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL)  # the key's own scheme
        of_anybody = TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.NULL)
        try:
            with self._srk() as srk:
                handle = self._tpm.load(srk, private, public)
                try:
                    signed = self._tpm.sign(handle, digest, by_key, of_anybody)
                finally:
                    self._tpm.flush_context(handle)
        except TSS2_Exception as error:
            hint = "certificates are issued again when it is back"
            raise Unavailable.of(
                Reason.UNAVAILABLE, "the controller's TPM", str(error), hint
            ) from error
        signature = signed.signature.ecdsa
        r, s = bytes(signature.signatureR), bytes(signature.signatureS)
        return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))

    @contextmanager
    def _srk(self) -> Iterator[Any]:
        template = TPM2B_PUBLIC.parse(_SRK, _SRK_ATTRIBUTES)
        with self._lock:
            handle, *_ = self._tpm.create_primary(TPM2B_SENSITIVE_CREATE(), template, ESYS_TR.OWNER)
            try:
                yield handle
            finally:
                self._tpm.flush_context(handle)
