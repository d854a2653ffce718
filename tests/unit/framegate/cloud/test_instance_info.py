"""Google's certificate of a virtual machine's attestation key: a real one where it is, and
forged.
"""

from datetime import UTC, datetime

import pytest
from cryptography import x509

from framegate.cloud.initial_key import verify_initial_key
from framegate.cloud.instance_info import is_google_certificate, verify_google_key
from framegate.errors import EvidenceRejected, Malformed, Reason
from framegate.identity.evidence_form import EvidenceForm
from framegate.tpm.public import parse_public
from framegate_simulators.machine.cloud import InstanceWorks, RsaKey, instance_info
from framegate_simulators.machine.tpm import TpmMaker

NOW = datetime.now(UTC)
REAL_NOW = datetime(2025, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def works() -> InstanceWorks:
    return InstanceWorks()


@pytest.fixture(scope="module")
def key() -> RsaKey:
    return RsaKey.make()


def reason_of(key, chain, roots, now=NOW) -> Reason:
    with pytest.raises((EvidenceRejected, Malformed)) as caught:
        verify_google_key(key.public, chain, roots, now)
    assert str(caught.value).isprintable()
    return caught.value.reason


def test_google_vouches_for_the_key_of_an_instance(works, key):
    chain = (works.issue(key.private.public_key()),)
    instance = verify_google_key(key.public, chain, [works.root], NOW)
    assert str(instance) == "plant-models/europe-west3-a/models-1 (12)"
    vouched = verify_initial_key(key.public, chain, [works.root], NOW)
    assert vouched.form is EvidenceForm.GOOGLE


def test_n213_a_certificate_of_another_key_another_maker_or_altered(works, key):
    public = key.private.public_key()
    good = works.issue(public)
    other = InstanceWorks()
    assert reason_of(RsaKey.make(), (good,), [works.root]) == Reason.EK_CERTIFICATE_KEY
    assert reason_of(key, (other.issue(public),), [works.root]) == Reason.EK_CHAIN
    assert reason_of(key, (good,), []) == Reason.EK_CHAIN
    assert reason_of(key, (good,), [works.root], datetime(2055, 1, 1, tzinfo=UTC)) == (
        Reason.EK_CHAIN
    )
    at = good.index(b"models-1")
    altered = good[:at] + b"models-2" + good[at + 8 :]
    assert reason_of(key, (altered,), [works.root]) == Reason.EK_CHAIN


INFO = instance_info()
BAD = {
    "empty": b"",
    "no sequence": b"\x04\x02ab",
    "cut": INFO[:-1],
    "trailing": INFO + b"\0",
    "a long form": INFO.replace(b"\x0c\x08models-1", b"\x0c\x81\x08models-1"),
    "a name that cannot be printed": INFO.replace(b"models-1", b"models\x1b["),
    "no name": INFO.replace(b"\x0c\x08models-1", b"\x04\x08models-1"),
    "no security properties": INFO.replace(b"\xa0\x0c\x30", b"\xa9\x0c\x30"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_instance_that_is_none(works, key, case):
    chain = (works.issue(key.private.public_key(), info=BAD[case]),)
    assert reason_of(key, chain, [works.root]) == Reason.CLOUD_EVIDENCE


def test_n213_a_machine_that_is_not_production(works, key):
    chain = (works.issue(key.private.public_key(), production=False),)
    assert reason_of(key, chain, [works.root]) == Reason.CLOUD_EVIDENCE


def test_n213_an_ek_certificate_is_no_attestation_keys(key):
    maker = TpmMaker.found()
    ek = maker.issue(key.private.public_key())
    assert not is_google_certificate(ek) and not is_google_certificate(b"\x30\x82")
    with pytest.raises(EvidenceRejected) as caught:
        verify_initial_key(key.public, (ek,), [maker.certificate], NOW)
    assert caught.value.reason == Reason.EK_CHAIN
    assert reason_of(key, (ek,), [maker.certificate]) == Reason.EK_CHAIN


def _members(raw: bytes):
    """(number, value) of the members of a protobuf message that are bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = raw[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(raw):
        tag = varint()
        size = varint()
        if tag & 7 == 2:
            yield tag >> 3, raw[at : at + size]
            at += size


def test_a_real_instance_of_google(real_data):
    folder = real_data / "attestation" / "go-tpm-tools"
    body = dict(_members((folder / "gce-cos-85-no-nonce.pb").read_bytes()))
    key, certificate = parse_public(body[1]), body[6]
    root = x509.load_der_x509_certificate((folder / "roots/tpm_ek_root_1.cer").read_bytes())
    issuers = [(folder / "roots" / f"tpm_ek_intermediate_{n}.crt").read_bytes() for n in (2, 3)]
    vouched = verify_initial_key(key, (certificate, issuers[0]), [root], REAL_NOW)
    assert vouched.form is EvidenceForm.GOOGLE and "us-central1-a" in vouched.words
    anchor = x509.load_der_x509_certificate(issuers[0])
    assert verify_google_key(key, (certificate,), [anchor], REAL_NOW).zone == "us-central1-a"
    for chain, roots in (
        ((certificate,), [root]),
        ((certificate, issuers[1]), [root]),
        ((certificate, issuers[0]), []),
    ):
        with pytest.raises(EvidenceRejected) as caught:
            verify_google_key(key, chain, roots, REAL_NOW)
        assert caught.value.reason == Reason.EK_CHAIN
    for at in (60, 400, 900, len(certificate) - 5):
        other = bytearray(certificate)
        other[at] ^= 1
        with pytest.raises((EvidenceRejected, Malformed)):
            verify_google_key(key, (bytes(other), issuers[0]), [root], REAL_NOW)
