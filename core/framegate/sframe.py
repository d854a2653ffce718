"""SFrame (RFC 9605) with the AES-GCM suites: one encryptor a key, a counter that never repeats, a
window that forgets nothing.

The header is RFC 9605 4.3, key derivation 4.4.2, encryption 4.4.3 and 4.4.4; `metadata` is
authenticated beside the header.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from framegate.errors import Malformed, Reason, Refused

MAX_COUNTER: Final = 2**32 - 1
"""Frames one secret may seal: far below AES-GCM's limit; a new grant brings a new secret within
minutes.
"""


_ANOTHER_SESSION: Final = "open a new frame session"


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher suite of RFC 9605 table 1."""

    number: int
    key_bytes: int
    hash: hashes.HashAlgorithm


AES_128_GCM_SHA256_128: Final = Suite(0x0004, 16, hashes.SHA256())
AES_256_GCM_SHA512_128: Final = Suite(0x0005, 32, hashes.SHA512())
"""Framegate's suite on the wire."""


class Header(NamedTuple):
    """Key id and counter, and how many bytes they took."""

    kid: int
    counter: int
    size: int


class OpenedFrame(NamedTuple):
    """A frame that authenticated; `missing` counters were skipped before it."""

    counter: int
    missing: int
    plaintext: bytes


def encode_header(kid: int, counter: int) -> bytes:
    """The header of key id and counter: config byte, then each number in as few bytes as it needs
    where it exceeds 7.
    """
    config, tail = 0, b""
    for shift, value in ((4, kid), (0, counter)):
        if value < 8:
            config |= value << shift
        else:
            raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
            if len(raw) > 8:
                raise ValueError("SFrame numbers have at most 64 bits")
            config |= (8 | len(raw) - 1) << shift
            tail += raw
    return bytes([config]) + tail


def parse_header(data: bytes) -> Header:
    """The header that `data` begins with. Raises Malformed on short input and on numbers not in
    their shortest form.
    """
    if not data:
        raise Malformed.of(Reason.MALFORMED, "an SFrame header", "nothing")
    numbers, at = [], 1
    for shift in (4, 0):
        part = data[0] >> shift & 15
        if part < 8:
            numbers.append(part)
            continue
        size = part - 8 + 1
        raw = data[at : at + size]
        at += size
        if len(raw) != size or raw[0] == 0 or (size == 1 and raw[0] < 8):
            raise Malformed.of(
                Reason.MALFORMED,
                f"{size} bytes of SFrame number in shortest form",
                raw.hex() or "nothing",
            )
        numbers.append(int.from_bytes(raw, "big"))
    return Header(numbers[0], numbers[1], at)


def derive(suite: Suite, base_key: bytes, kid: int) -> tuple[bytes, bytes]:
    """(sframe_key, sframe_salt) of RFC 9605 4.4.2."""
    secret = HKDF.extract(suite.hash, b"", base_key)
    tail = kid.to_bytes(8, "big") + suite.number.to_bytes(2, "big")
    key = HKDFExpand(suite.hash, suite.key_bytes, b"SFrame 1.0 Secret key " + tail).derive(secret)
    return key, HKDFExpand(suite.hash, 12, b"SFrame 1.0 Secret salt " + tail).derive(secret)


class _Keyed:
    def __init__(self, base_key: bytes, kid: int, suite: Suite) -> None:
        key, salt = derive(suite, base_key, kid)
        self.kid = kid
        self._aead, self._salt = AESGCM(key), int.from_bytes(salt, "big")

    def _nonce(self, counter: int) -> bytes:
        return (self._salt ^ counter).to_bytes(12, "big")


class Sealer(_Keyed):
    """Encrypts under one secret with counters from 0; there must be only one for each secret."""

    def __init__(self, base_key: bytes, kid: int, suite: Suite = AES_256_GCM_SHA512_128) -> None:
        super().__init__(base_key, kid, suite)
        self.counter = 0

    def seal(self, plaintext: bytes | memoryview, metadata: bytes) -> bytes:
        """Header and ciphertext of the next frame. Raises Refused when the secret is used up."""
        if self.counter > MAX_COUNTER:
            raise Refused.of(
                Reason.FRAME_SESSION,
                f"at most {MAX_COUNTER + 1} frames a secret",
                "one more",
                _ANOTHER_SESSION,
            )
        header = encode_header(self.kid, self.counter)
        sealed = header + self._aead.encrypt(
            self._nonce(self.counter), plaintext, header + metadata
        )
        self.counter += 1
        return sealed


class Opener(_Keyed):
    """Decrypts one sender's frames, each counter once and in ascending order; gaps are reported,
    not filled.

    gRPC and MQTT with one publisher keep order, so the reordering window is zero and a lower
    counter is always a replay.
    """

    def __init__(self, base_key: bytes, kid: int, suite: Suite = AES_256_GCM_SHA512_128) -> None:
        super().__init__(base_key, kid, suite)
        self.next = 0

    def open(self, sealed: bytes | memoryview, metadata: bytes) -> OpenedFrame:
        """The frame in `sealed`.

        1. the header parses and names this key;
        2. the counter has not been reached before, and is one that a secret may seal under;
        3. the tag holds over header, metadata and ciphertext; only then does the counter advance,
           so that a forged frame cannot push real ones out.

        Raises Malformed or Refused (FRAME_SESSION, FRAME_REPLAYED, FRAME_AUTHENTICATION).
        """
        kid, counter, size = parse_header(bytes(sealed[:17]))
        if kid != self.kid:
            raise Refused.of(Reason.FRAME_SESSION, f"key id {self.kid}", kid)
        if counter < self.next:
            raise Refused.of(Reason.FRAME_REPLAYED, f"counter {self.next} or later", counter)
        if counter > MAX_COUNTER:
            raise Refused.of(
                Reason.FRAME_SESSION, f"counter {MAX_COUNTER} at most", counter, _ANOTHER_SESSION
            )
        try:
            plaintext = self._aead.decrypt(
                self._nonce(counter), sealed[size:], bytes(sealed[:size]) + metadata
            )
        except InvalidTag as error:
            raise Refused.of(
                Reason.FRAME_AUTHENTICATION,
                "a frame sealed in this session with this metadata",
                "another",
            ) from error
        missing, self.next = counter - self.next, counter + 1
        return OpenedFrame(counter, missing, plaintext)
