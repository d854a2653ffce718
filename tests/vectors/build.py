"""Rebuild tests/vectors/protocol/: one worked example of every record and derivation of
docs/reference/protocol.md, from fixed inputs.
"""

import json
from pathlib import Path

from framegate.access.approvals import content_digest
from framegate.access.policy import policy_digest
from framegate.evidence.activation import EvidencePromise, activation_mac
from framegate.evidence.challenge import ChallengeState, seal_state, state_key
from framegate.identity.device_identity import iak_certify_data
from framegate.receipt_verifier import leaf_hash
from framegate.record.entry import entry_bytes
from framegate.record.merkle import Tree
from framegate.signed.decision import Decision
from framegate.signed.inspected import inspected_share
from framegate.signed.model import bundle_digest
from framegate.signed.part import PartStatement
from framegate.signed.pin import ModelPin
from framegate.signed.receipt import Provenance, TriggerGap, gap_leaf, verdict_leaf
from framegate.signed.statement import Verdict
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import Alg
from framegate.tpm.policy import policy_pcr
from framegate.wire import (
    AttestHello,
    Captured,
    Challenge,
    FrameHead,
    FrameMetadata,
    Hello,
    Opening,
    SessionOffer,
    certify_data,
    frame_leaf,
    opening_info,
    publics_sha256,
    quote_data,
    sha256,
    transcript,
)


def fill(name: str, size: int) -> bytes:
    """`size` bytes out of a name."""
    import hashlib

    return hashlib.shake_256(name.encode()).digest(size)


def vectors() -> dict[str, object]:
    """All vectors, bytes in hexadecimal."""
    hello = Hello(
        client_nonce=fill("client nonce", 32),
        ticket_code=fill("code", 16),
        ek_certificates=(fill("ek cert", 40), fill("intermediate", 30)),
        ek_public=fill("ek", 90),
        ak_public=fill("ak", 90),
        tls_public=fill("tls", 90),
        manufacturer=0x46474154,
        firmware_version=0x2019102300163636,
        boot_log_size=4096,
        ima_log_size=0,
        iak_public=b"",
        iak_certificates=(),
    )
    challenge = Challenge(
        hello_sha256=sha256(hello.marshal()),
        session=fill("session", 16),
        nonce=fill("nonce", 32),
        credential=fill("credential", 68),
        encrypted_secret=fill("secret", 68),
        bank=Alg.SHA256,
        pcrs=tuple(range(8)),
        ima_offset=0,
        want_boot_log=1,
        controller="controller-1",
        issued_at_ms=1790000000000,
        deadline_ms=60000,
        attest_interval_ms=60000,
    )
    fleet, spki, log, posture = (
        fill("fleet", 32),
        fill("spki", 91),
        fill("log", 32),
        b'{"agent_version":"0.1.0"}',
    )
    t = transcript(fleet, hello.marshal(), challenge.marshal())
    publics = (fill("publics one", 200), fill("publics two", 200))
    offer = SessionOffer(
        session=fill("frame session", 16),
        nonce=fill("offer nonce", 32),
        kid=0x1234,
        publics_sha256=fill("publics", 32),
    )
    opening = Opening(
        session=offer.session,
        grant=b'{"payloadType":"x"}',
        source="source-1",
        sealed_secret=fill("sealed", 1168),
    )
    metadata = FrameMetadata(
        session=offer.session,
        device="camera.line-1.cam1",
        part="board-1-00001",
        part_type="drawn-1",
        trigger_sequence=1,
        captured_at_ms=1790000000000,
        uncertainty_ms=50,
        encoding=1,
        width=640,
        height=640,
        mask_version=3,
        mask_sha256=fill("masks", 32),
    )
    captured = Captured(
        part="board-1-00001",
        part_type="drawn-1",
        trigger_sequence=1,
        captured_at_ms=1790000000000,
        uncertainty_ms=50,
        encoding=1,
        width=640,
        height=640,
        mask_version=3,
        mask_sha256=fill("masks", 32),
        size=100000,
    )
    leaves = [frame_leaf(metadata.marshal(), fill(f"image {n}", 32)) for n in range(3)]
    head = FrameHead(
        session=offer.session,
        device="camera.line-1.cam1",
        opening_info=opening_info(offer.marshal(), b'{"grant_id":"g"}', spki, "source-1"),
        count=3,
        root=Tree(leaves).root,
        unanswered=b"\0\0\0\2",
        signed_at_ms=1790000060000,
    )
    values = {p: fill(f"pcr {p}", 32) for p in range(8)}
    signed_in = {
        "event": "signed-in",
        "actor": "operator.anna",
        "source": "192.0.2.7",
        "detail": "password from 192.0.2.7",
    }
    first = entry_bytes(0, None, {"kind": "event", "at_ms": 1790000000000, **signed_in})
    body = {
        "kind": "event",
        "at_ms": 1790000001000,
        "event": "release",
        "actor": "operator.sara",
        "device": "camera.line-1.cam1",
        "from": "quarantined",
        "to": "stale",
        "source": "192.0.2.8",
        "approved_by": ["sven"],
        "reason": "lens replaced",
        "verb": "device.lift",
        "policies": ["security"],
        "policy": "access-policy 1 a43558e81533d1ad",
        "request": "0a1b2c3d",
    }
    second = entry_bytes(1, leaf_hash(first), body)
    bundle = bundle_digest(
        {
            "model.onnx": fill("network", 32),
            "recipe.json": fill("recipe", 32),
            "known/00_test.png": fill("known", 32),
            "model.sig": fill("not counted", 32),
        }
    )
    pin = ModelPin(
        zone="line-1",
        sequence=2,
        model_sha256=bundle.hex(),
        name="board-defects",
        version=2,
        signer="key 0123456789abcdef",
        anchor="key:AAAA",
        rollback=0,
        approved=(bundle.hex(),),
        issued_at_ms=1790000000000,
    )
    part = PartStatement(
        part_type="board-7",
        version=3,
        goldens=(fill("golden", 32).hex(),),
        thresholds=({"kind": "open", "at_least": 0.4},),
        min_size_px=12.0,
        ignore=({"points": [[0, 0], [0.5, 0], [0.5, 0.5]]},),
        source="lot 12",
        approved_by=("operator.anna", "erik"),
        removed=0,
        issued_at_ms=1790000000000,
    )
    state = ChallengeState(
        session=challenge.session,
        transcript=t,
        join=1,
        device="camera.line-1.cam1",
        bank=Alg.SHA256,
        pcrs=tuple(range(8)),
        ima_offset=0,
        expires_ms=1790000060000,
        secret=fill("activation secret", 32),
        ticket=sha256(fill("code", 16)),
        ek_public=fill("ek", 90),
        ak_public=fill("ak", 90),
        tls_public=fill("tls", 90),
        iak_public=b"",
        ek_certified=1,
        manufacturer=0x46474154,
        endorsement="EK hash pinned by an operator",
    )
    sealing = state_key(fill("controllers' secret", 32))
    attest_hello = AttestHello(
        client_nonce=fill("client nonce", 32), reset_count=3, restart_count=1, boot_log_sha256=log
    )
    skipped = TriggerGap(
        "camera.line-1.cam1", "source-1", 7, 29, 20, fill("frame session", 16).hex()
    )
    gap = gap_leaf(
        42, fill("gap", 16).hex(), "gateway.line-1.gw1", "line-1", 1790000000000, skipped
    )
    corner = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5))
    crossed = ((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0))
    verdict = Verdict(
        verdict_id=fill("verdict", 16).hex(),
        gateway="gateway.line-1.gw1",
        device="camera.line-1.cam1",
        zone="line-1",
        part="board-1-00001",
        part_type="drawn-1",
        trigger_sequence=1,
        outcome="PASS",
        reason="",
        defects=(),
        model_sha256=fill("model", 32).hex(),
        golden_sha256=fill("golden", 32).hex(),
        inspected_percent=inspected_share([corner]),
        input_sha256=fill("image", 32).hex(),
        result_id=fill("result", 16).hex(),
        session=fill("frame session", 16).hex(),
        counter=4,
        issued_at_ms=1790000000000,
        valid_until_ms=1790000030000,
    )
    decision = Decision(
        decision_id=fill("decision", 16).hex(),
        line="press-7",
        part="board-1-00001",
        part_type="drawn-1",
        trigger_sequence=1,
        triggered_at_ms=1790000000000,
        outcome="PASS",
        reason="",
        verdicts=(fill("verdict", 16).hex(),),
        issued_at_ms=1790000000500,
        valid_until_ms=1790000012000,
    )
    return {
        "challenge_state": state.marshal().hex(),
        "challenge_state_key": sealing.hex(),
        "challenge_state_sealed": seal_state(sealing, state, fill("seal nonce", 12)).hex(),
        "hello": hello.marshal().hex(),
        "attest_hello": attest_hello.marshal().hex(),
        "challenge": challenge.marshal().hex(),
        "offer": offer.marshal().hex(),
        "opening": opening.marshal().hex(),
        "frame_metadata": metadata.marshal().hex(),
        "captured": captured.marshal().hex(),
        "frame_leaf": leaves[0].hex(),
        "frame_head": head.marshal().hex(),
        "fleet": fleet.hex(),
        "transcript": t.hex(),
        "publics_sha256_none": publics_sha256(()).hex(),
        "publics_sha256_two": publics_sha256(publics).hex(),
        "quote_data": quote_data(t, spki, log, posture, publics).hex(),
        "certify_data": certify_data(t, spki).hex(),
        "iak_certify_data": iak_certify_data(t, fill("ak name", 34)).hex(),
        "activation_mac": activation_mac(
            fill("activation secret", 32), t, EvidencePromise.of(b"proof bytes")
        ).hex(),
        "opening_info": opening_info(offer.marshal(), b'{"grant_id":"g"}', spki, "source-1").hex(),
        "log_entry_0": first.hex(),
        "log_entry_1": second.hex(),
        "log_leaf_1": leaf_hash(second).hex(),
        "log_root_2": Tree([leaf_hash(first), leaf_hash(second)]).root.hex(),
        "approval_content": content_digest(
            "frame.export", "ExportRequest", b"\x0a\x02v1\x2a\x05claim\x32\x07quality"
        ).hex(),
        "access_policy_sha256": policy_digest(
            {"schema.cedarschema": "entity Role;\n", "a.cedar": "// nothing\n"}
        ).hex(),
        "bundle_digest": bundle.hex(),
        "model_pin": pin.payload().hex(),
        "part": part.payload().hex(),
        "verdict": verdict.payload().hex(),
        "verdict_leaf": verdict_leaf(
            7, verdict, verdict.payload(), metadata.marshal(), Provenance(), 12.5
        ).hex(),
        "inspected_shares": bytes(
            [inspected_share([corner]), inspected_share([crossed]), inspected_share([])]
        ).hex(),
        "gap_leaf": gap.hex(),
        "line_decision": decision.payload().hex(),
        "policy_pcr": policy_pcr(PcrSelection(Alg.SHA256, tuple(range(8))), values).hex(),
    }


if __name__ == "__main__":
    out = Path(__file__).parent / "protocol" / "v1.json"
    out.write_text(json.dumps(vectors(), indent=1) + "\n")
    print(out)
