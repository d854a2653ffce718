"""Every certificate that the fleet's CAs make, with its key and the CA above it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.certificates import spki_of
from framegate.identity.names import DeviceId
from framegate.wire import GatewayPublics
from framegate_controller.ca.issue import (
    issue_broker_client,
    issue_device,
    issue_gateway,
    issue_line,
    issue_operator,
    issue_profile_signer,
    issue_server,
)
from framegate_controller.ca.keys import ISSUING, SIGNING

HOST, CAMERA = DeviceId("gateway.line-1.gw1"), DeviceId("camera.line-1.cam1")


LIFE = timedelta(minutes=3)


SERVES = {"server": "controller.plant.framegate", "gateway": "gw1.line-1.gateway.framegate"}


CALLS = ("device", "gateway", "operator", "broker", "line")


@dataclass
class Issued:
    """A certificate, its key where it is ours, and the CA above it, None for what the root
    signs itself.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | None = None
    above: x509.Certificate | None = None


def request(key) -> bytes:
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


@pytest.fixture(scope="session")
def every(keys) -> dict[str, Issued]:
    now, ca = datetime.now(UTC), {label: k.certificate for label, k in keys.issuing.items()}
    own = {
        n: ec.generate_private_key(ec.SECP256R1())
        for n in (
            "device",
            "gateway",
            "verdict",
            "server",
            "operator",
            "broker",
            "line",
            "profile signer",
        )
    }
    public = {n: k.public_key() for n, k in own.items()}
    affirming = SimpleNamespace(affirming=True, failures=(), tls_spki=spki_of(public["device"]))
    csrs = request(own["gateway"]), request(own["verdict"])
    publics = GatewayPublics(
        process_nonce=bytes(16),
        tls_csr=csrs[0],
        verdict_csr=csrs[1],
        hpke_kem="k",
        hpke_public=b"",
        address="h:1",
        operator_address="h:2",
        model_digest=bytes(32),
        code_digest=bytes(32),
    )
    tls, verdict = issue_gateway(keys, HOST, publics, LIFE, now)
    leaves = {
        "device": (issue_device(keys, CAMERA, affirming, LIFE, now), ca["device-ca"]),
        "gateway": (tls, ca["gateway-ca"]),
        "verdict": (verdict, ca["gateway-ca"]),
        "server": (issue_server(keys, "controller", public["server"]), ca["server-ca"]),
        "operator": (issue_operator(keys, "anna", public["operator"]), ca["operator-ca"]),
        "broker": (
            issue_broker_client(keys, CAMERA, request(own["broker"]), LIFE, now),
            ca["broker-ca"],
        ),
        "line": (issue_line(keys, "press-7", public["line"]), ca["broker-ca"]),
        "profile signer": (
            issue_profile_signer(keys, "vera", public["profile signer"], timedelta(days=365)),
            None,
        ),
    }
    issued = {n: Issued(c, own[n], above) for n, (c, above) in leaves.items()}
    issued |= {label: Issued(c) for label, c in ca.items()}
    return issued | {f"{label} key": Issued(k.certificate) for label, k in keys.signing.items()}


KINDS = (
    "device",
    "gateway",
    "verdict",
    "server",
    "operator",
    "broker",
    "line",
    "profile signer",
    *ISSUING,
    *(f"{label} key" for label in SIGNING),
)


LEAVES = tuple(kind for kind in KINDS if kind not in ISSUING)
