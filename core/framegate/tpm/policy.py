"""TPM policies computed in software (TPM 2.0 Library Part 3, 23): what an authPolicy must be for
given PCR values.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import Final

from framegate.tpm.attest import PcrSelection, marshal_selections
from framegate.tpm.constants import HASH_NAME, TPM_CC_POLICY_PCR

TLS_KEY_PCRS: Final = tuple(range(8))
"""The TLS key signs only while PCR 0 to 7 have the values of the attested boot."""


def pcr_digest(selection: PcrSelection, values: Mapping[int, bytes]) -> bytes:
    """SHA-256 over the selected PCR values in ascending order: a quote's pcrDigest under a SHA-256
    key. KeyError where one is absent.
    """
    return hashlib.sha256(b"".join(values[p] for p in selection.pcrs)).digest()


def policy_pcr(selection: PcrSelection, values: Mapping[int, bytes]) -> bytes:
    """authPolicy (SHA-256) of a key usable only while `selection` has `values` (Part 3, 23.7
    TPM2_PolicyPCR).
    """
    if selection.bank not in HASH_NAME:
        raise KeyError(selection.bank)
    command = struct.pack(">I", TPM_CC_POLICY_PCR)
    return hashlib.sha256(
        b"\0" * 32 + command + marshal_selections((selection,)) + pcr_digest(selection, values)
    ).digest()
