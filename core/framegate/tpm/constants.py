"""TPM 2.0 constants under their specification names (TPM 2.0 Library Part 2, sections 6 and 8)."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

TPM_GENERATED: Final = 0xFF544347
"""Part 2, 6.2: starts every structure a TPM made itself; a TPM never signs outside data that starts
so with a restricted key.
"""
TPM_RH_OWNER: Final = 0x40000001
TPM_RH_NULL: Final = 0x40000007
TPM_RH_ENDORSEMENT: Final = 0x4000000B
TPM_CC_POLICY_PCR: Final = 0x0000017F


class Alg(IntEnum):
    """TPM_ALG_ID, those Framegate knows; any other is refused where it appears."""

    RSA = 0x0001
    SHA1 = 0x0004
    AES = 0x0006
    KEYEDHASH = 0x0008
    SHA256 = 0x000B
    SHA384 = 0x000C
    SHA512 = 0x000D
    NULL = 0x0010
    SM3_256 = 0x0012
    RSASSA = 0x0014
    RSAES = 0x0015
    RSAPSS = 0x0016
    OAEP = 0x0017
    ECDSA = 0x0018
    ECC = 0x0023
    SYMCIPHER = 0x0025
    CFB = 0x0043


class Curve(IntEnum):
    """TPM_ECC_CURVE: the curves whose keys are accepted."""

    NIST_P256 = 0x0003
    NIST_P384 = 0x0004


class St(IntEnum):
    """TPM_ST tags of attestation structures."""

    ATTEST_CERTIFY = 0x8017
    ATTEST_QUOTE = 0x8018
    ATTEST_CREATION = 0x801A
    ATTEST_TIME = 0x8019
    ATTEST_SESSION_AUDIT = 0x8016
    ATTEST_COMMAND_AUDIT = 0x8015
    ATTEST_NV = 0x8014


class Attr(IntFlag):
    """TPMA_OBJECT (Part 2, 8.3.2)."""

    FIXED_TPM = 1 << 1
    ST_CLEAR = 1 << 2
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    USER_WITH_AUTH = 1 << 6
    ADMIN_WITH_POLICY = 1 << 7
    NO_DA = 1 << 10
    ENCRYPTED_DUPLICATION = 1 << 11
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN = 1 << 18


DIGEST_SIZE: Final = {Alg.SHA1: 20, Alg.SHA256: 32, Alg.SHA384: 48, Alg.SHA512: 64, Alg.SM3_256: 32}
HASH_NAME: Final = {
    Alg.SHA1: "sha1",
    Alg.SHA256: "sha256",
    Alg.SHA384: "sha384",
    Alg.SHA512: "sha512",
}
"""Hashes that Python can compute everywhere; SM3 logs parse but do not replay."""
BANK_BY_NAME: Final = {name: alg for alg, name in HASH_NAME.items()}
