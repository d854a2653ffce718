"""An attested model server on a port of its own, without a host: its keys have the certificates
that an attested host would earn them.
"""

import secrets
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import grpc
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.certificates import Purpose
from framegate.identity.evidence_form import EvidenceForm
from framegate.identity.names import DeviceId
from framegate.signed.inference import InferenceResult
from framegate.wire import GatewayPublics, Warrant
from framegate_controller.ca.issue import issue_backend
from framegate_gateway.backend.process import SERVER_OPTIONS
from framegate_gateway.backend.serving import BackendService, ServedModel
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.session import new_session
from framegate_gateway.trust.keys import GatewayKeys
from framegate_proto.server_tls import ChangingTls, ServerTls
from framegate_proto.v1 import open_inference_pb2_grpc as oip_rpc

BACKEND = DeviceId("backend.line-1.models1")
LIFE = timedelta(minutes=10)


class AttestedServer:
    """One of `fleet`, as if its host had joined by `form`."""

    def __init__(self, fleet, form=EvidenceForm.AZURE_SNP, sites=(), name=BACKEND) -> None:
        self.bundle = load_bundle(DEFAULT_BUNDLE)
        self.fleet, self.name, self.sites = fleet, name, sites
        digest = self.bundle.digest.hex()
        self.keys = GatewayKeys(
            "127.0.0.1:0",
            "",
            self.bundle.digest,
            purposes=(Purpose.BACKEND, Purpose.INFERENCE),
        )
        self.form = form
        self.earn()
        session = new_session(self.bundle.model, 1)
        self.service = BackendService(self.keys, {digest: ServedModel(digest, session)}, sites)

    def earn(self, life: timedelta = LIFE) -> None:
        """The next certificates, as its host's agent brings them."""
        raw = self.keys.newest.publics
        parsed = GatewayPublics.parse(raw)
        tls, signing = issue_backend(
            self.fleet, self.name, parsed, self.form, life, datetime.now(UTC)
        )
        warrant = Warrant(
            device=self.name,
            zone="line-1",
            tls_certificate=tls.public_bytes(Encoding.DER),
            verdict_certificate=signing.public_bytes(Encoding.DER),
            root=self.fleet.root.der,
            authorities=tuple(self.fleet.authorities),
            result_id="r1",
            fleet_address="",
            server_name="",
            reason="",
        )
        self.keys.accept(warrant, raw)

    @asynccontextmanager
    async def serving(self):
        """Its address."""
        server = grpc.aio.server(options=SERVER_OPTIONS)
        oip_rpc.add_GRPCInferenceServiceServicer_to_server(self.service, server)
        roots = [c.public_bytes(Encoding.PEM) for s in self.sites for c in s.certificates]
        clients = b"".join((self.keys.credentials.authority("gateway-ca"), *roots))
        tls = ChangingTls(lambda: ServerTls(*self.keys.chain_pem(), clients))
        port = server.add_secure_port("127.0.0.1:0", tls.credentials())
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(0)

    def signed(self, **members) -> bytes:
        """A result of this server, with other members than a true one."""
        body = {
            "backend": self.name,
            "result_id": "r1",
            "model_sha256": self.bundle.digest.hex(),
            "frame_sha256": "",
            "request": secrets.token_hex(16),
            "input_sha256": "00" * 32,
            "output_sha256": "00" * 32,
            "issued_at_ms": int(datetime.now(UTC).timestamp() * 1000),
        }
        der = self.keys.credentials.verdict.public_bytes(Encoding.DER)
        return InferenceResult(**(body | members)).seal(der, self.keys.sign_verdict)

    @property
    def issuer(self) -> bytes:
        """The issuing CA of its certificates, DER."""
        return self.keys.issuer_of(self.keys.credentials.verdict).public_bytes(Encoding.DER)
