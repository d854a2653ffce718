"""N21: certificates that strict readers refuse are read, put right, flagged, and never believed
without their signature.
"""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import EvidenceRejected, FramegateError, Malformed, Reason
from framegate.identity.ber import elements
from framegate.identity.endorsement import EK_USAGE, load_ek_certificate, verify_endorsement
from framegate.identity.key_usage import key_usage
from framegate.identity.lenient import load_leniently, verify_leniently

NOW = datetime.now(UTC)


OAEP = bytes.fromhex("300d06092a864886f70d0101070500")


PLAIN = bytes.fromhex("300d06092a864886f70d0101010500")


PAIR = x509.Name(
    [
        x509.RelativeDistinguishedName(
            [
                x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "TW"),
                x509.NameAttribute(x509.NameOID.COMMON_NAME, "Swapped Works"),
            ]
        )
    ]
)


def build(
    subject: x509.Name,
    issuer: x509.Name,
    key,
    signer,
    *,
    ca: bool = False,
    usage=EK_USAGE,
    days: int = 10,
    critical_extra: bool = False,
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(5)
    )
    builder = builder.not_valid_before(
        NOW - timedelta(days=1) if days > 0 else NOW - timedelta(days=9)
    ).not_valid_after(NOW + timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    if usage is not None and not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if critical_extra:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), critical=True
        )
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)


def resigned(der: bytes, change, signer) -> bytes:
    """The certificate with its to-be-signed bytes changed (to the same length) and signed
    again, as a maker with other tools would have.
    """
    ((to_sign, algorithm, _),) = [e.children for e in elements(der)]
    tbs = change(to_sign.raw)
    signature = signer.sign(tbs, ec.ECDSA(hashes.SHA256()))
    body = tbs + algorithm.raw + b"\x03" + bytes([len(signature) + 1]) + b"\0" + signature
    return b"\x30\x82" + len(body).to_bytes(2, "big") + body


def swap(tbs: bytes) -> bytes:
    """The two members of every SET in a name of PAIR, the other way round."""
    good = PAIR.public_bytes()
    inner = good[4:]
    first = 2 + inner[1]
    return tbs.replace(good, good[:4] + inner[first:] + inner[:first])


@pytest.fixture(scope="module")
def works():
    """A maker whose names are written in the wrong order: root key, root certificate in
    readable form.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    raw = resigned(build(PAIR, PAIR, key.public_key(), key, ca=True), swap, key)
    with pytest.raises(Malformed):
        load_ek_certificate(raw)
    lenient = load_leniently(raw)
    assert lenient.notes == ("order of a SET",)
    return key, lenient.readable


def leaf(works, **changes) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return resigned(
        build(x509.Name([]), PAIR, changes.pop("key", key), works[0], **changes),
        swap,
        changes.get("signer", works[0]),
    )


def check(raw: bytes, works, usage=EK_USAGE) -> x509.Certificate:
    return verify_leniently([load_leniently(raw)], [works[1]], NOW, usage, signing=False)


def test_a_leaf_with_names_in_the_wrong_order_is_verified_over_what_was_signed(works):
    raw = leaf(works)
    assert check(raw, works).issuer == works[1].subject


def test_every_flipped_bit_of_it_is_refused(works):
    raw = leaf(works)
    for at in range(0, len(raw), 3):
        spoiled = bytearray(raw)
        spoiled[at] ^= 1
        with pytest.raises(FramegateError):
            check(bytes(spoiled), works)


@pytest.mark.parametrize(
    "change",
    [
        {"ca": True},
        {"usage": None},
        {"usage": x509.ObjectIdentifier("1.2.3")},
        {"days": -2},
        {"critical_extra": True},
    ],
)
def test_leaves_that_are_none(works, change):
    with pytest.raises(EvidenceRejected):
        check(leaf(works, **change), works)


def test_a_leaf_by_somebody_of_the_same_name(works):
    stranger = ec.generate_private_key(ec.SECP256R1())
    raw = resigned(build(x509.Name([]), PAIR, stranger.public_key(), stranger), swap, stranger)
    with pytest.raises(EvidenceRejected):
        check(raw, works)
    with pytest.raises(EvidenceRejected):
        verify_leniently([load_leniently(leaf(works))], [], NOW, EK_USAGE, signing=False)


def test_an_oaep_key_is_read_as_the_rsa_key_it_is(works):
    key = rsa.generate_private_key(65537, 2048).public_key()
    raw = resigned(
        build(x509.Name([]), PAIR, key, works[0]), lambda tbs: tbs.replace(PLAIN, OAEP), works[0]
    )
    lenient = load_leniently(raw)
    assert (
        "RSAES-OAEP key" in lenient.notes
        and lenient.readable.public_key().public_numbers() == key.public_numbers()
    )


def test_an_ek_is_endorsed_through_such_a_chain_and_flagged(works, bench):
    forge = bench.forge()
    raw = leaf(works, key=forge.ek.private.public_key())
    assert verify_endorsement(forge.ek.public, [raw], [works[1]], NOW).issuer == works[1].subject
    with pytest.raises(EvidenceRejected):
        verify_endorsement(bench.forge().ek.public, [raw], [works[1]], NOW)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x30\x82\x00\x00",
        b"\x30\x03\x02\x01\x01",
        b"\xff" * 300,
        b"\x30\x82\x10\x00" + bytes(4096),
        bytes(20_000),
    ],
)
def test_what_is_no_certificate(raw):
    with pytest.raises(Malformed):
        load_leniently(raw)


def test_real_certificates_that_strict_readers_refuse(real_data):
    folder = real_data / "attestation"
    nuvoton = load_leniently((folder / "keylime" / "ek" / "nuvoton_root_2110.der").read_bytes())
    assert (
        nuvoton.notes == ("order of a SET",)
        and "Nuvoton" in nuvoton.readable.subject.rfc4514_string()
    )
    raw = (folder / "HIRS" / "certs" / "nuc1_ek_nv_7_byte_header.bin").read_bytes()
    roots = [
        x509.load_der_x509_certificate(
            (folder / "HIRS" / "certs" / "stmtpmekint02.der").read_bytes()
        )
    ]
    from framegate.identity.endorsement import load_maker_certificate

    lenient = load_maker_certificate(raw)
    assert set(lenient.notes) == {"wrapper", "RSAES-OAEP key", "order of a SET"}
    with pytest.raises(
        EvidenceRejected, match="sha1"
    ):  # its maker signed it with SHA-1, which never counts
        verify_leniently(
            [lenient.lenient], roots, datetime(2020, 1, 1, tzinfo=UTC), EK_USAGE, signing=False
        )
    with pytest.raises(
        EvidenceRejected, match="alive"
    ):  # and its validity ended in 2024: the two facts are told apart
        verify_leniently([lenient.lenient], roots, NOW, EK_USAGE, signing=False)


NAMED = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Middle Works")])


def intermediate(works, key, *, ca: bool = True, below: int | None = None, sign: bool = True):
    """A CA between the maker's root and a leaf, whose names are in the root's wrong order."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(NAMED)
        .issuer_name(PAIR)
        .public_key(key)
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=10))
        .add_extension(x509.BasicConstraints(ca, below if ca else None), critical=True)
    )
    if sign:
        builder = builder.add_extension(key_usage("key_cert_sign"), critical=True)
    raw = builder.sign(works[0], hashes.SHA256()).public_bytes(Encoding.DER)
    return load_leniently(resigned(raw, swap, works[0]))


def below(signer, issuer: x509.Name = NAMED, usage: x509.KeyUsage | None = None):
    """A leaf under `issuer`, for a key that agrees on keys."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(8)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=10))
        .add_extension(x509.ExtendedKeyUsage([EK_USAGE]), critical=False)
        .add_extension(usage or key_usage("key_agreement"), critical=True)
    )
    return load_leniently(builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER))


def verified(chain, works) -> x509.Certificate:
    return verify_leniently(chain, [works[1]], NOW, EK_USAGE, signing=False)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_chain_through_an_intermediate(works, kind):
    key = (
        ec.generate_private_key(ec.SECP256R1())
        if kind == "ec"
        else rsa.generate_private_key(65537, 2048)
    )
    chain = [below(key), intermediate(works, key.public_key(), below=0)]
    assert verified(chain, works) == chain[0].readable


def test_intermediates_that_may_not_be_one(works):
    key = ec.generate_private_key(ec.SECP256R1())
    for how in ({"ca": False}, {"sign": False, "ca": False}):
        with pytest.raises(EvidenceRejected, match="a CA that may sign certificates") as caught:
            verified([below(key), intermediate(works, key.public_key(), **how)], works)
        assert caught.value.reason == Reason.EK_CHAIN
    first, second = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    lower = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Lower Works")])
    under = (
        x509.CertificateBuilder()
        .subject_name(lower)
        .issuer_name(NAMED)
        .public_key(second.public_key())
        .serial_number(9)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=10))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(first, hashes.SHA256())
    )
    chain = [
        below(second, lower),
        load_leniently(under.public_bytes(Encoding.DER)),
        intermediate(works, first.public_key(), below=0),
    ]
    with pytest.raises(EvidenceRejected, match="at most 0 CAs below CN=Middle Works"):
        verified(chain, works)


def test_a_key_that_signs_nothing_here_vouches_for_nobody(works):
    key = ed25519.Ed25519PrivateKey.generate()
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(EvidenceRejected, match="a chain to a trusted TPM maker"):
        verified([below(leaf_key), intermediate(works, key.public_key())], works)


@pytest.mark.parametrize("named", ["digital_signature", "key_cert_sign"])
def test_a_leaf_whose_key_usage_is_for_something_else(works, named):
    key = ec.generate_private_key(ec.SECP256R1())
    chain = [below(key, usage=key_usage(named)), intermediate(works, key.public_key())]
    with pytest.raises(EvidenceRejected, match="a key usage for what the key does"):
        verified(chain, works)
