"""IAK endorsement, replacement machines, chains out of NV."""

from dataclasses import replace as changed

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import EvidenceRejected, FramegateError, Malformed, Reason, Refused
from framegate.identity.endorsement import EK_USAGE, MAX_CHAIN, load_chain
from framegate.tpm.constants import Attr, St
from framegate.tpm.public import AK_ATTRS, TLS_ATTRS
from framegate_simulators.forge.forge import Forge, Key
from framegate_simulators.machine.tpm import TpmMaker

CAM = "camera.line-1.cam1"


def replacement(bench, ek: bytes | None, name: str = "cam1") -> bytes:
    return bench.invite(name, ek=ek, code=b"replacement.....".ljust(16, b"."), replaces=True)


def row(bench):
    return bench.device(CAM)


def test_an_iak_vouches_where_no_ek_certificate_does(bench):
    forge = bench.forge().with_iak()
    answer = bench.join(forge, bench.invite())
    assert answer.state == "pending", "by a maker's certificate alone: an operator approves"
    assert row(bench).tpm.endorsement.startswith("IAK certificate")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"magic": 0x12345678}, Reason.MAGIC), ({"type": St.ATTEST_QUOTE}, None), ({"extra_data": b"\0" * 32}, Reason.EXTRA_DATA), ({"qualified_signer": b"\0\x0b" + b"\0" * 32}, Reason.QUALIFIED_SIGNER),
        ({"name": b"\0\x0b" + b"\0" * 32}, Reason.CERTIFIED_NAME), ({"certified_qualified_name": b"\0\x0b" + b"\0" * 32}, Reason.CERTIFIED_NAME),
    ],
)  # fmt: skip
def test_an_iak_that_vouches_for_something_else(bench, change, reason):
    forge = bench.forge().with_iak()
    forge.change_iak = lambda a: changed(a, **change)
    code = bench.invite()
    with pytest.raises(FramegateError) as caught:
        bench.join(forge, code)
    assert reason is None or caught.value.reason == reason
    assert row(bench).state == "invited"
    forge.change_iak = lambda a: a
    assert bench.join(forge, code).state == "pending", "the ticket is not lost"


def test_iaks_that_are_none(bench):
    code = bench.invite()

    def refused(forge: Forge) -> Reason:
        with pytest.raises((EvidenceRejected, Malformed, Refused)) as caught:
            bench.join(forge, code, peer=f"ipv4:10.0.0.{len(forge.ek_certificates)}")
        bench.clock.pass_s(61)
        return caught.value.reason

    plain = bench.forge().with_iak()
    plain.iak = Key.make(TLS_ATTRS)
    plain.iak_certificates = (bench.maker.issue_iak(plain.iak.private.public_key()),)
    assert refused(plain) == Reason.AK_TEMPLATE
    other = bench.forge().with_iak()
    other.iak_certificates = (TpmMaker.found("Other Works").issue_iak(other.iak.private.public_key()),)
    assert refused(other) == Reason.EK_CHAIN
    wrong = bench.forge().with_iak()
    wrong.iak_certificates = (bench.maker.issue_iak(wrong.iak.private.public_key(), usage=EK_USAGE),)
    assert refused(wrong) == Reason.EK_CHAIN
    key = bench.forge().with_iak()
    key.iak = Key.make(AK_ATTRS)
    assert refused(key) == Reason.EK_CERTIFICATE_KEY
    silent = bench.forge().with_iak().with_proof(iak_attest=b"", iak_signature=b"")
    assert refused(silent) in {Reason.MALFORMED, Reason.TOO_LARGE}
    decrypting = bench.forge().with_iak()
    decrypting.iak = Key.make(AK_ATTRS & ~Attr.FIXED_TPM)
    assert refused(decrypting) == Reason.AK_TEMPLATE


def test_n13_an_iak_cannot_vouch_for_one_ak_while_another_quotes(bench):
    """The AK that the IAK certified must be the AK of the Hello."""
    forge = bench.forge().with_iak()
    stranger = Key.make(AK_ATTRS)
    forge.change_iak = lambda a: changed(a, name=stranger.public.name, certified_qualified_name=stranger.public.qualified_name())
    with pytest.raises(EvidenceRejected) as caught:
        bench.join(forge, bench.invite())
    assert caught.value.reason == Reason.CERTIFIED_NAME


def test_a_replacement_ends_the_old_identity_in_the_same_transaction(bench):
    old = bench.enrol()
    before = row(bench)
    new = bench.forge()
    code = replacement(bench, new.ek_sha256)
    assert bench.attest(old).state == "trusted", "until the new machine is there the old one works"
    assert bench.join(new, code).state == "trusted"
    after = row(bench)
    assert after.tpm.ek_sha256 == new.ek_sha256 != before.tpm.ek_sha256 and after.tls.spki_sha256 != before.tls.spki_sha256
    with pytest.raises(Refused) as caught:
        bench.join(old)
    assert caught.value.reason == Reason.EK_UNKNOWN
    answer = bench.attest(old)
    assert answer.certificate is None and row(bench).state == "trusted", "the old AK signs in vain, and cannot harm the new machine"
    assert bench.join(new).state == "trusted"


def test_a_replacement_that_fails_leaves_the_old_identity(bench):
    old = bench.enrol()
    new = bench.forge()
    code = replacement(bench, new.ek_sha256)
    hello = new.hello(code)
    made = bench.verifier.begin_join(hello, "p")
    mac, proof = new.answer(bench.fleet.digest, hello, made.challenge)
    with pytest.raises(FramegateError):
        bench.verifier.complete_join(made.state, bytes([mac[0] ^ 1]) + mac[1:], proof)
    assert bench.attest(old).state == "trusted"


def test_a_replacement_with_an_unknown_system_is_suspect_and_the_old_one_is_gone(bench):
    old = bench.enrol()
    new = bench.forge()
    new.firmware = new.firmware.tampered()
    new.boot()
    assert bench.join(new, replacement(bench, new.ek_sha256)).state == "suspect"
    with pytest.raises(Refused):
        bench.join(old)


def test_a_quarantine_is_not_lifted_by_new_hardware(bench):
    from framegate.machines.lifecycle import Event

    bench.enrol()
    bench.move(Event.QUARANTINE)
    new = bench.forge()
    assert bench.join(new, replacement(bench, new.ek_sha256)).state == "quarantined"


def test_another_mainboard_without_a_ticket_is_refused_and_told_what_to_do(bench):
    bench.enrol()
    new = bench.forge()
    with pytest.raises(Refused) as caught:
        bench.join(new)
    assert caught.value.reason == Reason.EK_UNKNOWN
    with pytest.raises(Refused):
        replacement(bench, None, "nobody")


def test_chains_of_several_certificates_in_one_index(maker):
    from cryptography.hazmat.primitives.asymmetric import ec

    leaf = maker.issue(ec.generate_private_key(ec.SECP256R1()).public_key())
    ca = maker.certificate.public_bytes(Encoding.DER)
    if ca[1] != 0x82:
        pytest.skip("a certificate of less than 256 bytes")
    assert len(load_chain([leaf, ca + ca, ca])) == 4
    assert len(load_chain([leaf, ca + b"\xff" * 20])) == 2
    with pytest.raises(Malformed) as caught:
        load_chain([leaf, ca * MAX_CHAIN])
    assert caught.value.reason == Reason.TOO_LARGE
    with pytest.raises(Malformed):
        load_chain([leaf, ca + b"\x30\x82\xff\xff"])
