"""Evidence that is verified, and that nothing else counts as verified."""

import dataclasses
import os
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import EvidenceRejected, Reason, Refused
from framegate.evidence import verify as evidence_module
from framegate.evidence.appraise import appraise
from framegate.evidence.verify import VerifiedEvidence
from framegate.identity.names import Kind, device_id
from framegate.profile.model import parse_profile
from framegate.tpm.constants import Attr
from framegate.tpm.public import AES_128_CFB, AK_ATTRS, EK_POLICY_SECRET, require_ek
from framegate.wire import sha256
from framegate_controller.ca.issue import issue_device
from framegate_controller.fleet.profiles import add_profile
from framegate_simulators.forge.forge import EK_ATTRS, Key
from framegate_simulators.machine.boot import Firmware, boot_log, measurements, profile_toml
from support.evidence import captured_evidence
from support.structures import refused_join

pytestmark = pytest.mark.slow

NOW = datetime.now(UTC) + timedelta(hours=1)
"""After the fleet of these tests was founded, however late in a run that is."""


PROFILE = profile_toml(Firmware("simulated-camera"), "simulated-camera")


def test_verified_types_are_made_by_verifying_functions_alone(bench, monkeypatch):
    real = captured_evidence(bench, monkeypatch)
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(real, digest=b"forged")
    content = {f.name: getattr(real, f.name) for f in dataclasses.fields(real)}
    for witness in (None, object(), evidence_module._Witness()):
        with pytest.raises(TypeError, match="verify_evidence"):
            VerifiedEvidence(**content, witness=witness)
    with pytest.raises(TypeError):
        real.pcrs[0] = b"x"
    result = appraise(real, parse_profile(PROFILE.encode()), None)
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(result, failures=())


def test_no_certificate_without_an_affirming_result(bench, monkeypatch, keys):
    real = captured_evidence(bench, monkeypatch)
    other = parse_profile(profile_toml(Firmware("other"), "other").encode())
    with pytest.raises(Refused) as caught:
        issue_device(
            keys,
            device_id(Kind.CAMERA, "z", "n"),
            appraise(real, other, None),
            timedelta(minutes=1),
            NOW,
        )
    assert caught.value.reason == Reason.NOT_TRUSTED


def test_sound_evidence_is_accepted(bench):
    forge = bench.forge()
    assert bench.join(forge, bench.invite(ek=forge.ek_sha256)).state == "trusted"


def test_ek_that_is_a_signing_key_is_refused(bench):
    forge = bench.forge()
    forge.ek = Key.make(AK_ATTRS)
    with pytest.raises(EvidenceRejected) as caught:
        bench.verifier.begin_join(forge.hello(bench.invite(ek=forge.ek_sha256)), "p")
    assert caught.value.reason == Reason.EK_TEMPLATE
    for broken in (EK_ATTRS & ~Attr.RESTRICTED, EK_ATTRS | Attr.SIGN, EK_ATTRS & ~Attr.FIXED_TPM):
        with pytest.raises(EvidenceRejected):
            require_ek(
                Key.make(broken, policy=EK_POLICY_SECRET, scheme=None, symmetric=AES_128_CFB).public
            )


def test_ima_log_without_a_rule_is_refused(bench):
    from framegate_simulators.machine.boot import Firmware, profile_toml

    plain = profile_toml(Firmware("simulated-camera", ima=False), "simulated-camera", 2)
    with bench.store.writing() as tx:
        add_profile(tx, bench.keys, plain.encode())
    assert (
        refused_join(bench, bench.forge().with_evidence(ima_log=b"10 entries"))
        == Reason.IMA_UNEXPECTED
    )


def test_flipping_any_bit_of_the_signed_structures_refuses(bench):
    """N124: every path that verifies, with one bit of a signature or of what it covers flipped."""
    for member in ("quote_attest", "quote_signature", "certify_attest", "certify_signature", "csr"):
        for trial in range(12):
            forge = bench.forge()

            def flip(raw: bytes, trial: int = trial) -> bytes:
                at = trial * 7919 % len(raw)
                return raw[:at] + bytes([raw[at] ^ (1 << trial % 8)]) + raw[at + 1 :]

            name = f"cam-{member.replace('_', '-')}-{trial}"
            code = bench.invite(name, ek=forge.ek_sha256, code=os.urandom(16))
            answer = bench.join(forge.with_evidence(**{member: flip}), code, peer=name)
            assert answer.certificate is None and answer.failures, (member, trial)


def test_boot_log_digest_binds_the_log(bench):
    forge = bench.forge()
    assert (
        refused_join(bench, forge.with_evidence(boot_log_sha256=sha256(b"other")))
        == Reason.EXTRA_DATA
    )


def test_keys_are_real():
    assert isinstance(Key.make(AK_ATTRS).public.key(), ec.EllipticCurvePublicKey)


def test_a_log_that_leads_elsewhere_where_no_list_is_quoted(bench):
    plain = profile_toml(Firmware("simulated-camera", ima=False), "simulated-camera", 2)
    with bench.store.writing() as tx:
        add_profile(tx, bench.keys, plain.encode())
    forge = bench.forge().with_evidence(ima_log=b"")
    forge.log = boot_log(measurements(Firmware("simulated-camera").tampered()))
    answer = bench.join(forge, bench.invite(ek=forge.ek_sha256))
    (failure,) = answer.failures
    assert failure.reason == Reason.PCR_DIGEST and "of the replayed log" in failure.expected


def test_a_list_in_its_ascii_form_is_asked_for_in_the_other(bench):
    forge = bench.forge().with_evidence(ima_log=b"10 " + b"ab" * 20 + b" ima-ng sha256:00 /a\n")
    answer = bench.join(forge, bench.invite(ek=forge.ek_sha256))
    (failure,) = answer.failures
    assert failure.reason == Reason.IMA_MALFORMED
    assert "binary_runtime_measurements" in failure.hint
