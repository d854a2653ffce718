"""Azure's report of a confidential guest: of real machines where they are, and forged."""

import base64
import json
import struct
import warnings
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.cloud.hcl_report import verify_hcl_report
from framegate.cloud.initial_key import verify_initial_key
from framegate.errors import EvidenceRejected, FramegateError, Malformed, Reason
from framegate.identity.evidence_form import EvidenceForm
from framegate.tpm.constants import Alg, Attr
from framegate.tpm.public import AK_ATTRS, marshal_public_rsa, parse_public
from framegate.wire import sha256
from framegate_simulators.machine.cloud import (
    CHIP,
    TCB,
    ChipWorks,
    RsaKey,
    runtime_data,
    wrapped,
)

NOW = datetime.now(UTC)
REAL_NOW = datetime(2025, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def works() -> ChipWorks:
    return ChipWorks()


@pytest.fixture(scope="module")
def key() -> RsaKey:
    return RsaKey.make()


@pytest.fixture(scope="module")
def report(works, key) -> bytes:
    return works.hcl_report(key.private.public_key())


def checked(works, key, report, *, chain=None, roots=None, now=NOW):
    chain = works.chain() if chain is None else chain
    return verify_hcl_report(report, key.public, chain, roots or [works.root], now)


def reason_of(*arguments, **named) -> Reason:
    with pytest.raises((EvidenceRejected, Malformed)) as caught:
        checked(*arguments, **named)
    assert str(caught.value).isprintable()
    return caught.value.reason


def test_a_chip_vouches_for_the_key_of_a_virtual_tpm(works, key, report):
    guest = checked(works, key, report)
    assert guest.vm == "SIMULATED-1" and guest.report.chip == CHIP and guest.report.tcb == TCB
    documents = (report, *works.chain())
    vouched = verify_initial_key(key.public, documents, [works.root], NOW)
    assert vouched.form is EvidenceForm.AZURE_SNP and "SIMULATED-1" in vouched.words


def test_n213_no_byte_of_a_report_may_be_another(works, key, report):
    places = list(range(5, 2346, 19))
    places += [0, 4, 8, 12, 32 + 0x50, 32 + 0x2A0, 1216, 1236, len(report) - 1]
    for at in places:
        if 16 <= at < 32 or at in range(32 + 0x2A0 + 144, 1216):
            continue  # reserved: signed by nobody, read by nobody
        other = bytearray(report)
        other[at] ^= 1
        assert reason_of(works, key, bytes(other)) == Reason.CLOUD_EVIDENCE, at


def test_n213_a_report_binds_one_key(works, key, report):
    other = RsaKey.make()
    assert reason_of(works, other, report) == Reason.CLOUD_EVIDENCE
    numbers = other.private.public_key()
    data = runtime_data(numbers)
    swapped = wrapped(report[32 : 32 + 1184], data)
    assert reason_of(works, other, swapped) == Reason.CLOUD_EVIDENCE
    twice = json.loads(runtime_data(key.private.public_key()))["keys"] * 2
    assert reason_of(works, key, works.hcl_report(numbers, keys=twice)) == Reason.CLOUD_EVIDENCE
    assert reason_of(works, key, works.hcl_report(numbers, keys=[])) == Reason.CLOUD_EVIDENCE
    assert reason_of(works, key, works.hcl_report(numbers, keys=1)) == Reason.CLOUD_EVIDENCE


@pytest.mark.parametrize("changed", [{"policy": 0x3001F | 1 << 19}, {"vmpl": 1}], ids=str)
def test_n213_a_guest_that_others_read_is_none(works, key, changed):
    data = runtime_data(key.private.public_key())
    hardware = works.report(sha256(data) + bytes(32), **changed)
    assert reason_of(works, key, wrapped(hardware, data)) == Reason.CLOUD_EVIDENCE


def test_n213_what_the_report_binds_besides_is_nobodys(works, key):
    data = runtime_data(key.private.public_key())
    hardware = works.report(sha256(data) + b"x" * 32)
    assert reason_of(works, key, wrapped(hardware, data)) == Reason.CLOUD_EVIDENCE


def test_n213_the_certificate_is_of_this_chip_and_this_firmware(works, key, report):
    other = ChipWorks()
    cases = [
        (works.chain(chip=bytes(64)), None, Reason.CLOUD_EVIDENCE),
        (works.chain(tcb=bytes.fromhex("04000000000018da")), None, Reason.CLOUD_EVIDENCE),
        (works.chain()[:1], None, Reason.EK_CHAIN),
        ((), None, Reason.CLOUD_EVIDENCE),
        (other.chain(), [works.root], Reason.EK_CHAIN),
        (other.chain(), [other.root], Reason.CLOUD_EVIDENCE),
        (works.chain()[::-1], None, Reason.CLOUD_EVIDENCE),
        (works.chain() * 3, None, Reason.CLOUD_EVIDENCE),
    ]
    for chain, roots, reason in cases:
        assert reason_of(works, key, report, chain=chain, roots=roots) == reason
    late = datetime(2055, 1, 1, tzinfo=UTC)
    assert reason_of(works, key, report, now=late) == Reason.CLOUD_EVIDENCE


def test_n213_a_root_that_only_came_along_counts_for_nothing(works, key):
    other = ChipWorks()
    documents = (*other.chain(), other.root.public_bytes(Encoding.DER))
    report = other.hcl_report(key.private.public_key())
    assert reason_of(works, key, report, chain=documents) == Reason.EK_CHAIN


@pytest.mark.parametrize(
    "raw",
    [b"HCLA", b"HCLA" + bytes(2596), b"HCLA" + bytes(9000), b""],
    ids=["cut", "zeros", "large", "empty"],
)
def test_what_is_no_report_is_said_to_be_none(works, key, raw):
    assert reason_of(works, key, raw) == Reason.CLOUD_EVIDENCE


def test_a_guest_of_another_makers_chip_is_refused_by_its_name(works, key):
    data = runtime_data(key.private.public_key())
    raw = wrapped(works.report(sha256(data) + bytes(32)), data, kind=4)
    with pytest.raises(EvidenceRejected, match="Intel TDX"):
        checked(works, key, raw)


def test_n213_a_key_that_signs_what_it_is_given_vouches_for_nothing(works, report):
    loose = RsaKey.make(AK_ATTRS & ~Attr.RESTRICTED)
    documents = (works.hcl_report(loose.private.public_key()), *works.chain())
    with pytest.raises(EvidenceRejected) as caught:
        verify_initial_key(loose.public, documents, [works.root], NOW)
    assert caught.value.reason == Reason.AK_TEMPLATE


REAL = {
    "milan": "attestation/trustee/az-snp-vtpm/evidence-v1.json",
    "milan-2": "attestation-2/trustee/az-snp-vtpm/evidence-v2.json",
}


def _url64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _real(real_data, name):
    """(report, its key as the quote's signer is named, chain, root) of a machine of Azure's."""
    body = json.loads((real_data / REAL[name]).read_bytes())
    report = _url64(body["hcl_report"])
    end = 1236 + struct.unpack_from("<I", report, 1232)[0]
    keys = json.loads(report[1236:end])["keys"]
    modulus = next(_url64(k["n"]) for k in keys if k["kid"] == "HCLAkPub")
    attributes = Attr(0x50472)
    raw = marshal_public_rsa(
        attributes=attributes, modulus=modulus, scheme=(Alg.RSASSA, Alg.SHA256)
    )
    quote = bytes.fromhex(body["tpm_quote"]["message"])
    pems = (real_data / "attestation/trustee/az-snp-vtpm/vcek.pem").read_bytes()
    with warnings.catch_warnings(action="ignore"):  # AMD's serial number is 0
        _, signing, root = x509.load_pem_x509_certificates(pems)
    chain = (_url64(body["vcek"]), signing.public_bytes(Encoding.DER))
    return report, parse_public(raw), chain, root, quote


@pytest.mark.parametrize("name", REAL)
def test_real_guests_of_azure(real_data, name):
    report, key, chain, root, quote = _real(real_data, name)
    assert quote[8:42] == key.qualified_name(), "the key is a primary of the endorsement hierarchy"
    vouched = verify_initial_key(key, (report, *chain), [root], REAL_NOW)
    assert vouched.form is EvidenceForm.AZURE_SNP
    for at in (40, 32 + 0x50, 32 + 0x1A0, 32 + 0x2A0, 1240, 2000):
        other = bytearray(report)
        other[at] ^= 1
        with pytest.raises((EvidenceRejected, Malformed)) as caught:
            verify_hcl_report(bytes(other), key, chain, [root], REAL_NOW)
        assert caught.value.reason == Reason.CLOUD_EVIDENCE
    other_report, *_ = _real(real_data, next(n for n in REAL if n != name))
    with pytest.raises(FramegateError):
        verify_hcl_report(other_report, key, chain, [root], REAL_NOW)


def test_a_real_guest_of_another_chips_root_and_a_tdx_guest(real_data, works):
    body = json.loads(
        (real_data / "attestation-2/trustee/az-snp-vtpm/evidence-genoa.json").read_bytes()
    )
    _, key, chain, root, _ = _real(real_data, "milan")
    vcek = base64.b64decode("".join(body["vcek"].split("-----")[2].split()))
    with pytest.raises(EvidenceRejected) as caught:  # the root of Genoa is not there
        verify_hcl_report(bytes(body["report"]), key, (vcek, chain[1]), [root], REAL_NOW)
    assert caught.value.reason == Reason.EK_CHAIN
    raw = (real_data / "attestation-2/trustee/az-tdx-vtpm/hcl-report.bin").read_bytes()
    with pytest.raises(EvidenceRejected, match="Intel TDX"):
        verify_hcl_report(raw, key, chain, [root], REAL_NOW)
