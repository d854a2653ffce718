"""gRPC channels of the agent: to the join port without, to the fleet port and gateways with the
TPM's key. TLS 1.3 either way.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from grpc import experimental  # the one use of gRPC's experimental API

from framegate.identity.certificates import issuer_of
from framegate.wire import MAX_EVIDENCE_BYTES, MAX_FRAME_BYTES
from framegate_agent.signing import KeyInTpm, TlsSigner
from framegate_proto.targets import secured_target

warnings.filterwarnings(
    "ignore", category=experimental.ExperimentalApiWarning
)  # known, and pinned for

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_EVIDENCE_BYTES),
    ("grpc.max_send_message_length", max(MAX_EVIDENCE_BYTES, MAX_FRAME_BYTES) + 64 * 1024),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.bdp_probe", 0),  # answers are small: a ping after each would measure nothing
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


def server_authenticated(
    address: str, server_name: str, anchors: Sequence[x509.Certificate]
) -> grpc.aio.Channel:
    """A channel that proves nothing of ours, to any controller of `address`; the server must chain
    to `anchors` and be `server_name`.
    """
    credentials = grpc.ssl_channel_credentials(_pem(anchors))
    return _channel(address, server_name, credentials)


def with_tpm_key(
    address: str,
    server_name: str,
    anchors: Sequence[x509.Certificate],
    key: KeyInTpm,
    chain: Sequence[x509.Certificate],
    now_s: Callable[[], float],
) -> grpc.aio.Channel:
    """A mutual TLS channel whose client key stays in the TPM; `chain[0]` is the certificate of that
    key, and behind it stand authorities, of which the peer is shown the one that signed it: it
    keeps what it is shown, some 4 KiB for each certificate, for as long as the connection lives.
    """
    certificate, issuer = chain[0], issuer_of(chain[0], chain[1:])
    shown = [certificate] if issuer is None else [certificate, issuer]
    signer = TlsSigner(key, certificate, now_s)
    credentials = experimental.ssl_channel_credentials_with_custom_signer(
        private_key_sign_fn=signer.for_grpc,
        root_certificates=_pem(anchors),
        certificate_chain=_pem(shown),
    )
    return _channel(address, server_name, credentials)


def _channel(
    address: str, server_name: str, credentials: grpc.ChannelCredentials
) -> grpc.aio.Channel:
    target = secured_target(address, server_name, *_OPTIONS)
    return grpc.aio.secure_channel(target.name, credentials, options=target.options)


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(c.public_bytes(Encoding.PEM) for c in certificates)
