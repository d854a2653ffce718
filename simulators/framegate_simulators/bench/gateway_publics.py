"""What a gateway's process has its host quote, where no such process runs."""

from __future__ import annotations

import secrets

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.wire import GatewayPublics


def gateway_publics(process: ec.EllipticCurvePrivateKey) -> bytes:
    """Publics whose TLS key is `process`; their other keys are nobody's."""
    return GatewayPublics(
        process_nonce=secrets.token_bytes(16),
        tls_csr=_csr(process),
        verdict_csr=_csr(ec.generate_private_key(ec.SECP256R1())),
        hpke_kem="MLKEM768-X25519",
        hpke_public=bytes(1216),
        address="127.0.0.1:1",
        operator_address="127.0.0.1:2",
        model_digest=bytes(32),
        code_digest=bytes(32),
    ).marshal()


def _csr(key: ec.EllipticCurvePrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
