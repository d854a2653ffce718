"""The records that cross the wire and are bound into signatures. docs/reference/protocol.md sets
out every byte.

Each is `Record.marshal`ed once by its sender; the receiver verifies over the bytes it got and
parses from those same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from framegate.codec import Record, blob, blobs, numbers, text, u8, u32, u64
from framegate.errors import Malformed, Reason
from framegate.eventlog.parse import MAX_LOG_BYTES
from framegate.receipt_verifier import SIGN_HEAD, leaf_hash

NONCE_BYTES: Final = 32
TICKET_CODE_BYTES: Final = 16
"""128 bits: beyond guessing even without the rate limit."""
MAX_EK_CERTIFICATES: Final = 6
MAX_CERTIFICATE_BYTES: Final = 64 * 1024
MAX_IMA_BYTES: Final = 4 * 1024 * 1024
MAX_POSTURE_BYTES: Final = 256 * 1024
MAX_PUBLICS: Final = 4
"""Gateway processes one host may vouch for."""
MAX_PUBLICS_BYTES: Final = 16 * 1024
MAX_EVIDENCE_BYTES: Final = MAX_LOG_BYTES + MAX_IMA_BYTES + MAX_POSTURE_BYTES + 128 * 1024
MAX_HELLO_BYTES: Final = 16 * 1024
"""A Hello is read before anybody is known. Makers' certificates have 1 to 2 KiB each, and six with
the public areas stay below this.
"""
MAX_TEXT: Final = 256


class Hello(Record):
    """Who wants to join: the ticket's code (enrol) or nothing (rejoin), and the TPM's public keys.
    Names are not part of it.
    """

    LABEL = "framegate/v1/hello"
    client_nonce: bytes = blob(NONCE_BYTES, exactly=True)
    ticket_code: bytes = blob(TICKET_CODE_BYTES)
    ek_certificates: tuple[bytes, ...] = blobs(MAX_EK_CERTIFICATES, MAX_CERTIFICATE_BYTES)
    ek_public: bytes = blob(1024)
    ak_public: bytes = blob(1024)
    tls_public: bytes = blob(1024)
    manufacturer: int = u32()
    firmware_version: int = u64()
    boot_log_size: int = u32()
    ima_log_size: int = u32()
    iak_public: bytes = blob(1024)
    iak_certificates: tuple[bytes, ...] = blobs(MAX_EK_CERTIFICATES, MAX_CERTIFICATE_BYTES)


class AttestHello(Record):
    """An enrolled device asks to be attested; who it is comes from its TLS connection. Counters are
    a hint that nothing is decided on.
    """

    LABEL = "framegate/v1/attest-hello"
    client_nonce: bytes = blob(NONCE_BYTES, exactly=True)
    reset_count: int = u32()
    restart_count: int = u32()
    boot_log_sha256: bytes = blob(32, exactly=True)


class Challenge(Record):
    """What the controller asks for. `credential` and `encrypted_secret` are empty on the fleet
    port.
    """

    LABEL = "framegate/v1/challenge"
    hello_sha256: bytes = blob(32, exactly=True)
    session: bytes = blob(16, exactly=True)
    nonce: bytes = blob(NONCE_BYTES, exactly=True)
    credential: bytes = blob(256)
    encrypted_secret: bytes = blob(1024)
    bank: int = u32()
    pcrs: tuple[int, ...] = numbers(24)
    ima_offset: int = u64()
    want_boot_log: int = u8()
    controller: str = text(MAX_TEXT)
    issued_at_ms: int = u64()
    deadline_ms: int = u32()
    attest_interval_ms: int = u32()


class Evidence(Record):
    """The evidence. `csr`, `certify_attest` and `certify_signature` are empty on the fleet port,
    where the key is the connection's.

    `iak_attest` and `iak_signature` are there where an IAK vouches for the AK, which is where a
    maker certified no EK.
    """

    LABEL = "framegate/v1/proof"
    certify_attest: bytes = blob(1024)
    certify_signature: bytes = blob(1024)
    quote_attest: bytes = blob(1024)
    quote_signature: bytes = blob(1024)
    boot_log: bytes = blob(MAX_LOG_BYTES)
    boot_log_sha256: bytes = blob(32, exactly=True)
    ima_log: bytes = blob(MAX_IMA_BYTES)
    posture: bytes = blob(MAX_POSTURE_BYTES)
    gateway_publics: tuple[bytes, ...] = blobs(MAX_PUBLICS, MAX_PUBLICS_BYTES)
    csr: bytes = blob(4096)
    iak_attest: bytes = blob(1024)
    iak_signature: bytes = blob(1024)


NO_MODEL: Final = bytes(32)
"""What a gateway process says that runs no model which may inspect in its zone: under a grant for
it a camera is told UNINSPECTED and why, and no other outcome counts.
"""


class GatewayPublics(Record):
    """The public halves of one gateway process, handed to the agent of its host; `digest` of these
    bytes names the process.
    """

    LABEL = "framegate/v1/gateway-publics"
    process_nonce: bytes = blob(16, exactly=True)
    tls_csr: bytes = blob(4096)
    verdict_csr: bytes = blob(4096)
    hpke_kem: str = text(64)
    hpke_public: bytes = blob(4096)
    address: str = text(MAX_TEXT)
    operator_address: str = text(MAX_TEXT)
    model_digest: bytes = blob(32, exactly=True)
    code_digest: bytes = blob(32, exactly=True)


class SessionOffer(Record):
    """The gateway opens a frame session: a fresh nonce and the key id the camera must use."""

    LABEL = "framegate/v1/session-offer"
    session: bytes = blob(16, exactly=True)
    nonce: bytes = blob(NONCE_BYTES, exactly=True)
    kid: int = u64()
    publics_sha256: bytes = blob(32, exactly=True)


class Opening(Record):
    """The camera's answer: its grant, its source and the HPKE-sealed frame secret."""

    LABEL = "framegate/v1/opening"
    session: bytes = blob(16, exactly=True)
    grant: bytes = blob(64 * 1024)
    source: str = text(64)
    sealed_secret: bytes = blob(4096)


class FrameMetadata(Record):
    """What a frame claims about itself; these exact bytes are the AEAD's associated data."""

    LABEL = "framegate/v1/frame"
    session: bytes = blob(16, exactly=True)
    device: str = text(MAX_TEXT)
    part: str = text(MAX_TEXT)
    part_type: str = text(64)
    trigger_sequence: int = u64()
    captured_at_ms: int = u64()
    uncertainty_ms: int = u32()
    encoding: int = u8()
    width: int = u32()
    height: int = u32()
    mask_version: int = u32()
    mask_sha256: bytes = blob(32)


class FrameHead(Record):
    """The camera's word on all frames it sealed in a session: how many, the root of their tree, and
    which of them got no answer.

    `unanswered` holds counters as 32-bit numbers, ascending. The root is over `frame_leaf` of each
    frame, in the order of counters.
    """

    LABEL = "framegate/v1/frame-head"
    session: bytes = blob(16, exactly=True)
    device: str = text(MAX_TEXT)
    opening_info: bytes = blob(32, exactly=True)
    count: int = u64()
    root: bytes = blob(32, exactly=True)
    unanswered: bytes = blob(4 * 1024)
    signed_at_ms: int = u64()


class _Transcript(Record):
    LABEL = "framegate/v1/transcript"
    fleet: bytes = blob(32, exactly=True)
    hello: bytes = blob(512 * 1024)
    challenge: bytes = blob(16 * 1024)


class _QuoteData(Record):
    LABEL = "framegate/v1/quote-data"
    transcript: bytes = blob(32, exactly=True)
    tls_spki: bytes = blob(1024)
    boot_log_sha256: bytes = blob(32, exactly=True)
    posture_sha256: bytes = blob(32, exactly=True)
    publics_sha256: bytes = blob(32, exactly=True)


class _CertifyData(Record):
    LABEL = "framegate/v1/certify-data"
    transcript: bytes = blob(32, exactly=True)
    tls_spki: bytes = blob(1024)


class IakCertifyData(Record):
    """What an IAK's certification of the AK is bound to."""

    LABEL = "framegate/v1/iak-certify"
    transcript: bytes = blob(32, exactly=True)
    ak_name: bytes = blob(66)


class _OpeningInfo(Record):
    LABEL = "framegate/v1/opening-info"
    offer: bytes = blob(1024)
    grant_sha256: bytes = blob(32, exactly=True)
    camera_spki_sha256: bytes = blob(32, exactly=True)
    source: str = text(64)


def sha256(data: bytes) -> bytes:
    """SHA-256 of `data`."""
    return hashlib.sha256(data).digest()


def transcript(fleet: bytes, hello: bytes, challenge: bytes) -> bytes:
    """T: 32 bytes that bind fleet (SHA-256 of the root certificate), hello and challenge bytes."""
    return sha256(_Transcript(fleet=fleet, hello=hello, challenge=challenge).marshal())


def publics_sha256(publics: tuple[bytes, ...]) -> bytes:
    """Digest of the gateway publics in their order, over their digests."""
    return sha256(b"framegate/v1/publics" + b"".join(sha256(p) for p in publics))


def quote_data(
    t: bytes, tls_spki: bytes, boot_log_sha256: bytes, posture: bytes, publics: tuple[bytes, ...]
) -> bytes:
    """The quote's qualifyingData, 32 bytes."""
    record = _QuoteData(
        transcript=t,
        tls_spki=tls_spki,
        boot_log_sha256=boot_log_sha256,
        posture_sha256=sha256(posture),
        publics_sha256=publics_sha256(publics),
    )
    return sha256(record.marshal())


def certify_data(t: bytes, tls_spki: bytes) -> bytes:
    """The certification's qualifyingData, 32 bytes."""
    return sha256(_CertifyData(transcript=t, tls_spki=tls_spki).marshal())


def frame_leaf(metadata: bytes, image_sha256: bytes) -> bytes:
    """Hash of a frame as a leaf of its session's tree: over the digests of its exact metadata and
    of the encoded image.
    """
    return leaf_hash(sha256(metadata) + image_sha256)


def opening_info(offer: bytes, grant_payload: bytes, camera_spki: bytes, source: str) -> bytes:
    """HPKE info of an opening, 32 bytes: what the frame secret is bound to."""
    record = _OpeningInfo(
        offer=offer,
        grant_sha256=sha256(grant_payload),
        camera_spki_sha256=sha256(camera_spki),
        source=source,
    )
    return sha256(record.marshal())


LABEL_OPENING: Final = b"framegate/v1/sign-opening\0"
LABEL_CHALLENGE: Final = b"framegate/v1/sign-challenge\0"
LABEL_HEAD: Final = SIGN_HEAD
"""In front of what is signed, so that no signature means anything elsewhere."""


class Ticket(Record):
    """All a machine needs to join: where, whom to trust, and a code that works once. Handed over as
    text or file; treat it like a password.
    """

    LABEL = "framegate/v1/ticket"
    join_address: str = text(MAX_TEXT)
    fleet_address: str = text(MAX_TEXT)
    server_name: str = text(MAX_TEXT)
    root: bytes = blob(MAX_CERTIFICATE_BYTES)
    code: bytes = blob(TICKET_CODE_BYTES, exactly=True)
    issued_at_ms: int = u64()


class Warrant(Record):
    """Agent to gateway process on its host's socket: certificates for its keys, or empty ones and
    why not.
    """

    LABEL = "framegate/v1/warrant"
    device: str = text(MAX_TEXT)
    zone: str = text(64)
    tls_certificate: bytes = blob(MAX_CERTIFICATE_BYTES)
    verdict_certificate: bytes = blob(MAX_CERTIFICATE_BYTES)
    root: bytes = blob(MAX_CERTIFICATE_BYTES)
    authorities: tuple[bytes, ...] = blobs(16, MAX_CERTIFICATE_BYTES)
    result_id: str = text(64)
    fleet_address: str = text(MAX_TEXT)
    server_name: str = text(MAX_TEXT)
    reason: str = text(1024)


class VaultSecret(Record):
    """On a host's socket: gateway to agent, seal this to the TPM; agent to gateway, this is what a
    blob held.
    """

    LABEL = "framegate/v1/vault-secret"
    secret: bytes = blob(64)


class VaultBlob(Record):
    """On a host's socket: agent to gateway, the sealed secret; gateway to agent, unseal this.
    `reason` says why there is none.
    """

    LABEL = "framegate/v1/vault-blob"
    sealed: bytes = blob(4096)
    reason: str = text(1024)


class Captured(Record):
    """Capture child to agent, followed by `size` bytes of encoded image: one frame and the part it
    shows.
    """

    LABEL = "framegate/v1/captured"
    part: str = text(MAX_TEXT)
    part_type: str = text(64)
    trigger_sequence: int = u64()
    captured_at_ms: int = u64()
    uncertainty_ms: int = u32()
    encoding: int = u8()
    width: int = u32()
    height: int = u32()
    mask_version: int = u32()
    mask_sha256: bytes = blob(32)
    size: int = u32()


ENCODING_JPEG: Final = 1
ENCODING_PNG: Final = 2
RECENT_FRAMES: Final = 64
"""A gateway remembers so many of a session's latest frames, and takes one that comes again for a
camera that stands still: a stuck driver repeats its last buffers, a replayed loop is longer than
any line's memory should be.
"""
MAX_FRAME_BYTES: Final = 32 * 1024 * 1024
"""Sealed frame; a 64-megapixel JPEG at high quality stays below it."""
MAX_FRAME_PIXELS: Final = 64 * 1024 * 1024
"""Read from the image's header before decoding: a kilobyte of PNG can claim 40 GB."""

TICKET_PREFIX: Final = "framegate-ticket-1."


def ticket_text(ticket: Ticket) -> str:
    """The ticket as one line of text."""
    return TICKET_PREFIX + base64.urlsafe_b64encode(ticket.marshal()).decode().rstrip("=")


def parse_ticket(line: str) -> Ticket:
    """The ticket in a line of text. Raises Malformed."""
    line = line.strip()
    if not line.startswith(TICKET_PREFIX):
        raise Malformed.of(
            Reason.USAGE,
            f"a ticket that begins with {TICKET_PREFIX}",
            ascii(line[:24]),
            "paste the whole line that framegate camera invite printed",
        )
    body = line.removeprefix(TICKET_PREFIX)
    try:
        raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except ValueError as error:
        raise Malformed.of(
            Reason.USAGE, "a whole ticket", "a damaged one", "copy it again"
        ) from error
    return Ticket.parse(raw)
