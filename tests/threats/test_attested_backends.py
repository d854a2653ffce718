"""N214: what an attested model server answers counts as its own, at its gateway and in receipts
anywhere, and nothing else does.
"""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.federation.receipts import SiteReceipts, SiteStanding
from framegate.identity.evidence_form import EvidenceForm
from framegate.identity.names import DeviceId
from framegate.receipt_verifier import (
    MAX_RESULT_AGE_MS,
    ReceiptPending,
    ReceiptRefused,
    _backend,
    verify_receipt,
)
from framegate.signed.dsse import parse_envelope
from framegate.signed.inference import (
    AskedInference,
    InferenceResult,
    NamedTensor,
    tensors_digest,
    verify_inference,
)
from framegate.signed.receipt import BackendResult
from framegate_gateway.backend import serving
from framegate_gateway.backend.standing import BackendName, PinnedBackend
from framegate_gateway.inference.attested_model import AttestedBackend, AttestedModel
from framegate_gateway.inference.inspection import Inspection
from framegate_gateway.trust.access import _site
from framegate_operator import one_receipt
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import open_inference_pb2 as oip
from framegate_simulators.fixtures.frames import captured
from framegate_simulators.fixtures.gateway import HOST, warrant_for
from support.attested_backend import BACKEND, AttestedServer
from support.other_sites import bundle, known, pinned

SHAPE = [1, 2, 64, 64]
TENSOR = bytes(4 * 2 * 64 * 64)


class Shown:
    """A call's context: TLS 1.3 with this certificate."""

    def __init__(self, certificate) -> None:
        self._pem = certificate.public_bytes(Encoding.PEM)

    def auth_context(self):
        return {"ssl_tls_version": [b"TLSv1.3"], "x509_pem_cert": [self._pem]}


def told(view, *, state="trusted") -> None:
    """The feed says this of the backend."""
    update = pb.TrustUpdate(revision=view.revision + 1)
    update.devices.add(device=BACKEND, state=state, remaining_ms=600_000)
    view.apply(update)


def site_told(view, keys, *, trusted=True) -> None:
    """The feed names another site."""
    row = pb.SiteTrust(name="north", bundle=bundle(keys), trusted=trusted)
    view.access.sites = {"north": _site(row)}


def client(desk, address, site=""):
    standing = PinnedBackend(BackendName(BACKEND, site), desk.keys, desk.view)
    return AttestedModel(AttestedBackend(address, standing))


async def computed(desk, address, frame=b"", site=""):
    """What a gateway gets of one frame's tensor."""
    model = client(desk, address, site)
    try:
        await model.open(desk.models.bundle)
        return await model.infer(desk.models.bundle.recipe, SHAPE, TENSOR, frame)
    finally:
        await model.close()


async def why(desk, address, site="") -> Reason:
    with pytest.raises((Unavailable, Refused)) as caught:
        await computed(desk, address, site=site)
    assert str(caught.value).isprintable()
    return caught.value.reason


async def receipt_of(desk, address, site=""):
    """The receipt of a frame that the server computed."""
    image = b"image of the backend"
    said = await computed(desk, address, image, site)
    head = captured(60, 9)
    sealed = desk.session.seal(head, image)
    admitted = desk.link.admit(desk.link.open_frame(sealed.metadata, sealed.sealed))
    inspection = replace(Inspection((), "aa", 100), backend=said.proof)
    await desk.maker.inspected(admitted, inspection, 1.0)
    desk.session.owed.answered(admitted.counter)
    desk.sign()
    await desk.head()
    desk.log()
    return desk.receipts()[0]


async def test_n214_a_backend_computes_and_the_receipt_names_it(receipts_desk, keys):
    server = AttestedServer(keys)
    told(receipts_desk.view)
    async with server.serving() as address:
        receipt = await receipt_of(receipts_desk, address)
    proof = receipts_desk.check(receipt).backend
    assert (proof.backend, proof.fleet, proof.evidence) == (BACKEND, "plant", "azure-snp-vtpm")
    for plain in receipts_desk.receipts()[1:]:
        assert receipts_desk.check(plain).backend is None


async def test_n214_a_result_of_another_time_model_or_frame_is_no_proof(receipts_desk, keys):
    """Truly signed by a server of the fleet, and put into a leaf that it was not made for."""
    server = AttestedServer(keys)
    told(receipts_desk.view)
    async with server.serving() as address:
        receipt = await receipt_of(receipts_desk, address)
    claims = json.loads(base64.b64decode(receipt["leaf"]))
    root, at_ms = receipts_desk.fleet.root.pem, claims["iat_ms"]
    assert _backend(claims, root, (), []).backend == BACKEND
    for other in (
        {"iat_ms": at_ms + 2 * MAX_RESULT_AGE_MS},
        {"iat_ms": at_ms - 2 * MAX_RESULT_AGE_MS},
        {"model_hash": "00" * 32},
        {"request_hash": "00" * 32},
    ):
        with pytest.raises(ReceiptRefused) as caught:
            _backend({**claims, **other}, root, (), [])
        assert caught.value.check == "backend"


@pytest.mark.parametrize("name", [HOST, "camera.line-1.cam1"])
async def test_n214_a_result_by_the_certificate_of_no_model_server_is_no_proof(
    receipts_desk, keys, name
):
    """Everything else of it holds: purpose, fleet, signature, and the name that it says itself."""
    server = AttestedServer(keys)
    told(receipts_desk.view)
    async with server.serving() as address:
        receipt = await receipt_of(receipts_desk, address)
    claims, root = json.loads(base64.b64decode(receipt["leaf"])), receipts_desk.fleet.root.pem
    genuine = base64.b64decode(claims["fg"]["backend"]["envelope"])
    said = InferenceResult.parse_payload(parse_envelope(genuine, InferenceResult.TYPE).payload)
    for whose in (BACKEND, DeviceId(name)):
        other = AttestedServer(keys, name=whose).keys
        der = other.credentials.verdict.public_bytes(Encoding.DER)
        envelope = replace(said, backend=whose).seal(der, other.sign_verdict)
        claims["fg"]["backend"]["envelope"] = base64.b64encode(envelope).decode()
        if whose == BACKEND:
            assert _backend(claims, root, (), []).backend == BACKEND
            continue
        with pytest.raises(ReceiptRefused) as caught:
            _backend(claims, root, (), [])
        assert caught.value.check == "backend" and f"signed by '{name}'" in str(caught.value)


@pytest.mark.parametrize("state", ["quarantined", "stale", "retired"])
async def test_n214_a_backend_that_lost_its_standing_computes_nothing(receipts_desk, keys, state):
    server = AttestedServer(keys)
    told(receipts_desk.view)
    async with server.serving() as address:
        assert (await computed(receipts_desk, address)).proof is not None
        told(receipts_desk.view, state=state)
        assert await why(receipts_desk, address) == Reason.BACKEND


async def test_n214_an_open_connection_is_worth_what_the_server_is_now(receipts_desk, keys):
    """Each answer is asked for and signed anew: none outlives what the connection was made with."""
    server, desk = AttestedServer(keys), receipts_desk
    told(desk.view)
    async with server.serving() as address:
        model = client(desk, address)
        recipe = desk.models.bundle.recipe
        await model.open(desk.models.bundle)
        first = (await model.infer(recipe, SHAPE, TENSOR)).proof
        told(desk.view, state="quarantined")
        with pytest.raises(Unavailable) as caught:
            await model.infer(recipe, SHAPE, TENSOR)
        assert caught.value.reason == Reason.BACKEND
        told(desk.view)
        server.earn()
        second = (await model.infer(recipe, SHAPE, TENSOR)).proof
        assert first.envelope != second.envelope, "by the certificate that it has now"
        assert parse_envelope(second.envelope, InferenceResult.TYPE).certificate == (
            server.keys.credentials.verdict.public_bytes(Encoding.DER)
        )
        server.keys.credentials = None  # as its host link does where the agent has no warrant
        with pytest.raises(Unavailable):
            await model.infer(recipe, SHAPE, TENSOR)
        await model.close()


async def test_n214_a_backend_that_the_feed_does_not_name(receipts_desk, keys):
    async with AttestedServer(keys).serving() as address:
        assert await why(receipts_desk, address) == Reason.BACKEND


async def test_n214_a_result_of_another_site_counts_where_people_pinned_it(
    receipts_desk, keys, north
):
    server = AttestedServer(north, EvidenceForm.GOOGLE, sites=(pinned(keys),))
    async with server.serving() as address:
        assert await why(receipts_desk, address, "north") == Reason.BACKEND  # nobody pinned it
        site_told(receipts_desk.view, north)
        receipt = await receipt_of(receipts_desk, address, "north")
        told(receipts_desk.view)
        assert await why(receipts_desk, address) == Reason.INFERENCE  # as one of this fleet: TLS
        site_told(receipts_desk.view, north, trusted=False)
        assert await why(receipts_desk, address, "north") == Reason.BACKEND
    with pytest.raises(ReceiptPending) as caught:  # without that site's root
        receipts_desk.check(receipt)
    assert caught.value.check == "backend" and caught.value.so_far.backend is None
    proof = receipts_desk.check(receipt, site_roots=[north.root.pem]).backend
    assert (proof.fleet, proof.evidence) == ("north", "google-vtpm")
    raw, root = json.dumps(receipt).encode(), receipts_desk.fleet.root.pem
    asked = json.loads(base64.b64decode(receipt["leaf"]))["cti"]
    shown = one_receipt.receipt_of(
        raw, asked, root
    ).verified  # who looks at it here is told what it rests on
    assert shown.verdict and "another fleet: that is the gateway's word" in "; ".join(shown.notes)
    here, there = known(keys, "plant"), known(north)
    assert SiteReceipts(known=(here, there)).verify(receipt).receipt.backend == proof
    gone = replace(there, standing=SiteStanding.WITHDRAWN)
    with pytest.raises(ReceiptPending, match="--any-site"):  # nobody here ever pinned it
        SiteReceipts(known=(here,)).verify(receipt)
    with pytest.raises(ReceiptRefused, match="north, a site that was withdrawn") as refused:
        SiteReceipts(known=(here, gone)).verify(receipt)  # nor what it computed before that
    assert refused.value.check == "site" and not isinstance(refused.value, ReceiptPending)


async def test_n214_gateways_of_a_site_that_the_host_did_not_name_may_not_ask(receipts_desk, north):
    site_told(receipts_desk.view, north)
    async with AttestedServer(north).serving() as address:
        assert await why(receipts_desk, address, "north") == Reason.INFERENCE


def answered(server, **members):
    """What was asked of a server, and its answer to that."""
    asked = AskedInference(
        backend=server.name,
        fleet=server.fleet.fleet,
        model_sha256=server.bundle.digest.hex(),
        frame_sha256="ab" * 32,
        request="cd" * 16,
        input_sha256="01" * 32,
        output_sha256="02" * 32,
    )
    names = ("model_sha256", "frame_sha256", "request", "input_sha256", "output_sha256")
    body = {name: getattr(asked, name) for name in names}
    return asked, server.signed(**(body | members))


def judged(server, asked, data, root=None, now=None):
    issuing = [server.fleet.issuing["gateway-ca"].certificate]
    root = server.fleet.root.certificate if root is None else root
    return verify_inference(data, asked, issuing, root, now or datetime.now(UTC))


@pytest.mark.parametrize(
    "members",
    [
        {"backend": "backend.line-1.other"},
        {"model_sha256": "ff" * 32},
        {"frame_sha256": "ff" * 32},
        {"request": "ff" * 16},
        {"input_sha256": "ff" * 32},
        {"output_sha256": "ff" * 32},
        {"issued_at_ms": 1},
    ],
    ids=lambda m: next(iter(m)),
)
def test_n214_an_answer_to_something_else_is_replayed_or_altered(keys, members):
    server = AttestedServer(keys)
    asked, good = answered(server)
    assert judged(server, asked, good).form is EvidenceForm.AZURE_SNP
    _, other = answered(server, **members)
    with pytest.raises(Refused) as caught:
        judged(server, asked, other)
    assert caught.value.reason == Reason.BACKEND


def test_n214_a_result_by_a_key_for_something_else(keys, north):
    server = AttestedServer(keys)
    asked, good = answered(server)
    for wrong in (
        replace(asked, fleet="north"),
        replace(asked, backend="backend.line-1.models2"),
    ):
        with pytest.raises(Refused) as caught:
            judged(server, wrong, good)
        assert caught.value.reason == Reason.BACKEND
    with pytest.raises(Refused):
        judged(server, asked, good, root=north.root.certificate)
    with pytest.raises(Refused):
        judged(server, asked, good, now=datetime.now(UTC) + timedelta(minutes=11))
    body = json.loads(good)
    flipped = bytearray(base64.b64decode(body["payload"]))
    flipped[20] ^= 1
    body["payload"] = base64.b64encode(flipped).decode()
    with pytest.raises(FramegateError):
        judged(server, asked, json.dumps(body).encode())


def test_n214_certificates_of_cameras_gateways_and_servers_sign_no_result(receipts_desk, keys):
    server = AttestedServer(keys)
    asked, good = answered(server)
    tls = server.keys.credentials.tls
    shown = {
        "camera": receipts_desk.camera.certificate,
        "gateway": receipts_desk.keys.credentials.tls,
        "verdict": receipts_desk.keys.credentials.verdict,
        "the server's own TLS": tls,
    }
    for certificate in shown.values():
        body = json.loads(good)
        der = certificate.public_bytes(Encoding.DER)
        body["signatures"][0]["cert"] = base64.b64encode(der).decode()
        with pytest.raises(Refused) as caught:
            judged(server, asked, json.dumps(body).encode())
        assert caught.value.reason == Reason.CERTIFICATE
    gateway = receipts_desk.keys
    with pytest.raises(Refused):  # and a gateway's warrant makes no backend
        AttestedServer(keys).keys.accept(
            warrant_for(keys, gateway.newest.publics), gateway.newest.publics
        )


async def test_n214_a_camera_and_a_stranger_may_not_ask(receipts_desk, keys, north):
    told(receipts_desk.view)
    other = AttestedServer(north, name=BACKEND)
    async with AttestedServer(keys).serving() as address:
        model = client(receipts_desk, address)
        stranger = other.keys.chain_pem()
        standing = model._standing
        tls = standing.tls()
        standing.tls = lambda: tls._replace(key=stranger[0], chain=stranger[1])
        with pytest.raises(Unavailable) as caught:
            await model.open(receipts_desk.models.bundle)
        assert caught.value.reason == Reason.INFERENCE
        await model.close()


@pytest.mark.parametrize(
    ("call", "request_"),
    [
        ("ServerReady", oip.ServerReadyRequest()),
        ("ServerMetadata", oip.ServerMetadataRequest()),
        ("ModelReady", oip.ModelReadyRequest(name="framegate")),
        ("ModelMetadata", oip.ModelMetadataRequest(name="framegate")),
    ],
)
async def test_n214_a_camera_is_told_nothing(receipts_desk, keys, monkeypatch, call, request_):
    async def abort(context, error):
        raise error

    monkeypatch.setattr(serving, "abort", abort)
    method = getattr(AttestedServer(keys).service, call)
    gateway, camera = receipts_desk.keys.credentials.tls, receipts_desk.camera.certificate
    assert await method(request_, Shown(gateway))
    with pytest.raises(FramegateError) as caught:
        await method(request_, Shown(camera))
    assert caught.value.reason == Reason.CERTIFICATE


async def test_n214_no_byte_of_a_result_in_a_receipt_may_be_another(receipts_desk, keys, north):
    server = AttestedServer(keys)
    told(receipts_desk.view)
    frame = "ab" * 32
    before = int(datetime.now(UTC).timestamp() * 1000) - 90_000
    signed = {
        "another frame": server.signed(frame_sha256=frame),
        "another model": server.signed(model_sha256="ff" * 32),
        "another time": server.signed(issued_at_ms=before),
        "another name": server.signed(backend="backend.line-1.x"),
        "nobody": b"{}",
    }
    for name, envelope in signed.items():
        image = f"image {name}".encode()
        sealed = receipts_desk.session.seal(captured(70 + len(name), 9), image)
        link = receipts_desk.link
        admitted = link.admit(link.open_frame(sealed.metadata, sealed.sealed))
        result = BackendResult(envelope, (server.issuer,))
        inspection = replace(Inspection((), "aa", 100), backend=result)
        await receipts_desk.maker.inspected(admitted, inspection, 1.0)
        receipts_desk.session.owed.answered(admitted.counter)
    receipts_desk.sign()
    await receipts_desk.head()
    receipts_desk.log()
    lying = receipts_desk.receipts()[: len(signed)]
    for receipt in lying:
        with pytest.raises(ReceiptRefused) as caught:
            verify_receipt(receipt, keys.root.pem, site_roots=[north.root.pem])
        assert caught.value.check == "backend"


def test_two_lists_of_tensors_have_two_digests():
    one = NamedTensor("a", "FP32", (1, 2), b"12345678")
    others = [
        replace(one, name="b"),
        replace(one, datatype="INT32"),
        replace(one, shape=(2, 1)),
        replace(one, body=b"12345679"),
    ]
    digests = {tensors_digest([one]), *(tensors_digest([o]) for o in others)}
    digests |= {tensors_digest([one, one]), tensors_digest([])}
    assert len(digests) == 7
