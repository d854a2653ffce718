"""TPM2_MakeCredential in software: a secret that only the TPM holding both the EK and the named AK
can open.

Source: TPM 2.0 Library Part 1, 24 (credential protection), B.10 (RSA secret sharing), C.6 (ECC
secret sharing), 11.4.10 (KDFa, KDFe). The primitives (HMAC, AES-CFB, ECDH, OAEP, the SP 800-108 and
SP 800-56A derivations) are `cryptography`'s.
"""

from __future__ import annotations

import hmac
import struct

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from framegate.errors import EvidenceRejected, Failure, Reason
from framegate.tpm.buffer import tpm2b
from framegate.tpm.constants import DIGEST_SIZE, HASH_NAME, Alg
from framegate.tpm.public import Public

_HASH = {Alg.SHA256: hashes.SHA256, Alg.SHA384: hashes.SHA384}


def make_credential(
    ek: Public,
    object_name: bytes,
    secret: bytes,
    *,
    seed: bytes,
    ephemeral: ec.EllipticCurvePrivateKey | None,
) -> tuple[bytes, bytes]:
    """(TPM2B_ID_OBJECT content, TPM2B_ENCRYPTED_SECRET content) that release `secret` to the TPM
    with `ek` and an object named `object_name`.

    `seed`: fresh random bytes of the EK's name hash's size (used for RSA EKs); `ephemeral`: a fresh
    key on the EK's curve (used for ECC EKs). Both come from the caller because this module draws no
    randomness. Raises EvidenceRejected for an EK that cannot do this.
    """
    if ek.symmetric is None or ek.name_alg not in _HASH:
        raise EvidenceRejected(
            [
                Failure(
                    Reason.EK_TEMPLATE, "a storage key with SHA-256 or SHA-384 names", "another key"
                )
            ]
        )
    hasher, size = _HASH[ek.name_alg](), DIGEST_SIZE[ek.name_alg]
    key = ek.key()
    if isinstance(key, rsa.RSAPublicKey):
        if len(seed) != size:
            raise ValueError(f"seed must have {size} bytes")
        oaep = padding.OAEP(padding.MGF1(hasher), hasher, b"IDENTITY\0")
        encrypted = key.encrypt(seed, oaep)
    else:
        if ephemeral is None or not isinstance(key.curve, type(ephemeral.curve)):
            raise ValueError("an ECC EK needs an ephemeral key on its curve")
        width = (key.curve.key_size + 7) // 8
        point = ephemeral.public_key().public_numbers()
        mine = point.x.to_bytes(width, "big")
        shared = ephemeral.exchange(ec.ECDH(), key)
        seed = ConcatKDFHash(hasher, size, b"IDENTITY\0" + mine + ek.x).derive(shared)
        encrypted = tpm2b(mine) + tpm2b(point.y.to_bytes(width, "big"))
    aes_key = _kdfa(hasher, seed, b"STORAGE", object_name, ek.symmetric.key_bits // 8)
    encryptor = Cipher(algorithms.AES(aes_key), CFB(b"\0" * 16)).encryptor()
    identity = encryptor.update(tpm2b(secret)) + encryptor.finalize()
    mac_key = _kdfa(hasher, seed, b"INTEGRITY", b"", size)
    outer = hmac.digest(mac_key, identity + object_name, HASH_NAME[ek.name_alg])
    return tpm2b(outer) + identity, encrypted


def _kdfa(
    hasher: hashes.HashAlgorithm, key: bytes, label: bytes, context: bytes, size: int
) -> bytes:
    """KDFa (Part 1, 11.4.10.2): SP 800-108 counter mode, 32-bit counter in front, label with its
    zero byte, 32-bit bit length behind.
    """
    fixed = label + b"\0" + context + struct.pack(">I", size * 8)
    return KBKDFHMAC(
        hasher, Mode.CounterMode, size, 4, None, CounterLocation.BeforeFixed, None, None, fixed
    ).derive(key)
