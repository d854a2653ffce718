"""EK certificates and their chains."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import EvidenceRejected, Malformed, Reason
from framegate.identity.endorsement import (
    EK_USAGE,
    MAX_CHAIN,
    load_chain,
    verify_endorsement,
    verify_maker_chain,
)
from framegate.identity.key_usage import key_usage
from framegate_simulators.machine.tpm import TpmMaker
from support.enrolment import endorse


def test_chains_of_several_certificates_in_one_index(maker):

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


def test_sound_endorsement_passes(bench, maker):
    forge = bench.forge()
    assert endorse(forge, maker, forge.ek_certificates)


MAKER = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Strict Works")])
MODEL = x509.DirectoryName(MAKER)


def names(*more: x509.GeneralName) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([*more])


def signed(subject: x509.Name, key, signer, *extensions: x509.ExtensionType) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(MAKER)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=9))
    )
    for extension in extensions:
        critical = not isinstance(extension, x509.ExtendedKeyUsage)
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256())


def chain_of(signer, *extensions: x509.ExtensionType):
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    leaf = signed(x509.Name([]), key, signer, *extensions)
    return load_chain([leaf.public_bytes(Encoding.DER)])


@pytest.mark.parametrize(
    ("extensions", "message"),
    [
        ([key_usage("key_agreement"), names(MODEL)], ""),
        ([key_usage("digital_signature"), names(MODEL)], "keyEncipherment or keyAgreement"),
        ([key_usage("key_agreement", "key_cert_sign"), names(MODEL)], "key usage"),
        ([key_usage("key_agreement"), names(x509.DNSName("a"))], "one directory name"),
        ([key_usage("key_agreement"), names(MODEL, MODEL)], "one directory name"),
    ],
)
def test_what_a_makers_leaf_must_say(extensions, message):
    key = ec.generate_private_key(ec.SECP256R1())
    root = signed(MAKER, key.public_key(), key, x509.BasicConstraints(True, None))
    chain = chain_of(key, x509.ExtendedKeyUsage([EK_USAGE]), *extensions)
    now = datetime.now(UTC)
    if not message:
        assert verify_maker_chain(chain, [root], now, EK_USAGE, signing=False)
        return
    with pytest.raises(EvidenceRejected, match=message) as caught:
        verify_maker_chain(chain, [root], now, EK_USAGE, signing=False)
    assert caught.value.reason == Reason.EK_CHAIN


def test_an_intermediate_that_is_no_ca():
    key, middle = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = signed(MAKER, key.public_key(), key, x509.BasicConstraints(True, None))
    between = signed(MAKER, middle.public_key(), key, x509.BasicConstraints(False, None))
    leaf = chain_of(
        middle, x509.ExtendedKeyUsage([EK_USAGE]), key_usage("key_agreement"), names(MODEL)
    )
    with pytest.raises(EvidenceRejected, match="a chain to a trusted TPM maker"):
        verify_maker_chain(
            [*leaf, *load_chain([between.public_bytes(Encoding.DER)])],
            [root],
            datetime.now(UTC),
            EK_USAGE,
            signing=False,
        )


def test_a_certificate_that_was_read_before_is_vouched_for_anew(bench, maker):
    """What one says is kept; that it counts is not."""
    forge, now = bench.forge(), datetime.now(UTC)
    ek, chain = forge.ek.public, forge.ek_certificates
    roots = [maker.certificate]
    leaf = verify_endorsement(ek, chain, roots, now)
    others = [TpmMaker.found("Simulated TPM Works").certificate]
    for trusted, at in (
        (roots, leaf.not_valid_after_utc + timedelta(seconds=1)),
        (roots, leaf.not_valid_before_utc - timedelta(seconds=1)),
        (others, now),
        ([], now),
    ):
        with pytest.raises(EvidenceRejected) as caught:
            verify_endorsement(ek, chain, trusted, at)
        assert caught.value.reason == Reason.EK_CHAIN
    with pytest.raises(EvidenceRejected) as caught:
        verify_endorsement(bench.forge().ek.public, chain, roots, now)
    assert caught.value.reason == Reason.EK_CERTIFICATE_KEY
    forged = chain[0][:-1] + bytes([chain[0][-1] ^ 1])
    with pytest.raises((EvidenceRejected, Malformed)):
        verify_endorsement(ek, [forged], roots, now)
    assert verify_endorsement(ek, chain, roots, now) == leaf
