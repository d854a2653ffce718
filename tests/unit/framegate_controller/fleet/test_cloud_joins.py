"""Machines whose provider vouches for their virtual TPM join; what is altered does not (N213)."""

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import EvidenceRejected, FramegateError, Malformed, Reason, Refused
from framegate.identity.evidence_form import EvidenceForm, form_of
from framegate_controller.fleet.makers import add_maker
from framegate_simulators.machine.cloud import ChipWorks, InstanceWorks, RsaKey
from support.replacement import row

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chips() -> ChipWorks:
    return ChipWorks()


@pytest.fixture(scope="module")
def instances() -> InstanceWorks:
    return InstanceWorks()


def trusted(bench, root) -> None:
    with bench.store.writing() as tx:
        add_maker(tx, root)


def refused(bench, forge, code, peer) -> Reason:
    with pytest.raises((EvidenceRejected, Malformed, Refused)) as caught:
        bench.join(forge, code, peer=f"ipv4:10.0.0.{peer}")
    bench.clock.pass_s(61)
    return caught.value.reason


def test_a_guest_of_azure_joins_by_the_report_of_its_chip(bench, chips):
    trusted(bench, chips.root)
    forge = bench.forge().with_hcl_report(chips)
    assert bench.join(forge, bench.invite()).state == "pending"
    assert form_of(row(bench).tpm.endorsement) is EvidenceForm.AZURE_SNP


def test_an_instance_of_google_joins_by_its_keys_certificate(bench, instances):
    trusted(bench, instances.root)
    forge = bench.forge().with_instance(instances)
    assert bench.join(forge, bench.invite()).state == "pending"
    assert form_of(row(bench).tpm.endorsement) is EvidenceForm.GOOGLE


def test_n213_what_a_provider_did_not_say_of_this_tpm(bench, chips):
    trusted(bench, chips.root)
    code = bench.invite()
    good = bench.forge().with_hcl_report(chips)
    flipped = bytearray(good.iak_certificates[0])
    flipped[1300] ^= 1
    cases = [
        ((bytes(flipped), *good.iak_certificates[1:]), Reason.CLOUD_EVIDENCE),
        (good.iak_certificates[:1], Reason.CLOUD_EVIDENCE),
        (bench.forge().with_hcl_report(chips).iak_certificates, Reason.CLOUD_EVIDENCE),
        (bench.forge().with_hcl_report(ChipWorks()).iak_certificates, Reason.EK_CHAIN),
    ]
    for number, (documents, reason) in enumerate(cases):
        good.iak_certificates = documents
        assert refused(bench, good, code, number) == reason
    assert row(bench).state == "invited"


def test_n213_a_report_of_a_key_that_does_not_certify_this_machines_ak(bench, chips):
    trusted(bench, chips.root)
    forge = bench.forge().with_hcl_report(chips)
    shown = forge.iak  # stolen: the report is real and its key is elsewhere
    other = RsaKey.make()
    forge.iak = RsaKey(other.private, shown.public)
    with pytest.raises(FramegateError) as caught:
        bench.join(forge, bench.invite())
    assert caught.value.reason == Reason.SIGNATURE
    assert row(bench).state == "invited"


def test_n213_without_the_chip_makers_root_nobody_joins(bench, chips):
    forge = bench.forge().with_hcl_report(chips)
    forge.iak_certificates = (*forge.iak_certificates, chips.root.public_bytes(Encoding.DER))
    assert refused(bench, forge, bench.invite(), 9) == Reason.EK_CHAIN


def test_words_of_before_still_say_their_form():
    for words, form in (
        ("EK hash pinned by an operator", EvidenceForm.PINNED),
        ("certificate 1f by CN=Maker", EvidenceForm.EK),
        ("IAK certificate 1f by CN=Maker", EvidenceForm.IAK),
        ("", EvidenceForm.UNKNOWN),
        ("Azure", EvidenceForm.UNKNOWN),
    ):
        assert form_of(words) is form
