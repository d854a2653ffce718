"""What a certificate of the fleet is worth, and for what."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import EvidenceRejected, Malformed, Reason, Refused
from framegate.identity.certificates import (
    EARLIER_ARC,
    OID_ARC,
    Purpose,
    from_ms,
    issuer_of,
    load_authorities,
    request_key,
    verify_certificate,
)
from framegate.identity.names import Kind, device_id
from framegate.wire import GatewayPublics
from framegate_controller.ca.issue import certify, issue_gateway
from framegate_controller.ca.open import found_fleet
from framegate_controller.ca.template import leaf_template
from framegate_gateway.trust.keys import GatewayKeys
from support.refusals import refused

NOW = datetime.now(UTC) + timedelta(hours=1)
"""After the fleet of these tests was founded, however late in a run that is."""


def certificate(keys, purpose=Purpose.DEVICE, label="device-ca", life=timedelta(minutes=3)):
    return certify(
        keys.issuing[label],
        leaf_template(
            purpose, "camera.z.n", ec.generate_private_key(ec.SECP256R1()).public_key(), life, NOW
        ),
    )


def test_every_purpose_is_worth_nothing_elsewhere(keys):
    for purpose, label in (
        (Purpose.DEVICE, "device-ca"),
        (Purpose.GATEWAY, "gateway-ca"),
        (Purpose.VERDICT, "gateway-ca"),
        (Purpose.OPERATOR, "operator-ca"),
        (Purpose.SERVER, "server-ca"),
    ):
        leaf = certificate(keys, purpose, label)
        assert (
            verify_certificate(
                leaf, purpose, keys.intermediates, keys.root.certificate, NOW
            ).common_name
            == "camera.z.n"
        )
        for other in set(Purpose) - {purpose}:
            with pytest.raises(Refused):
                verify_certificate(leaf, other, keys.intermediates, keys.root.certificate, NOW)


def test_an_issuing_ca_cannot_make_what_another_makes(keys):
    for label in ("device-ca", "gateway-ca", "server-ca"):
        with pytest.raises(Refused):
            verify_certificate(
                certificate(keys, Purpose.OPERATOR, label),
                Purpose.OPERATOR,
                keys.intermediates,
                keys.root.certificate,
                NOW,
            )


def test_certificates_out_of_their_time_or_without_their_chain(keys):
    leaf = certificate(keys)
    for when in (NOW - timedelta(hours=1), NOW + timedelta(hours=1)):
        with pytest.raises(Refused) as caught:
            verify_certificate(
                leaf, Purpose.DEVICE, keys.intermediates, keys.root.certificate, when
            )
        assert caught.value.reason == Reason.CERTIFICATE_EXPIRED
    with pytest.raises(Refused):
        verify_certificate(leaf, Purpose.DEVICE, (), keys.root.certificate, NOW)
    with pytest.raises(Refused):  # a CA is no device
        verify_certificate(
            keys.issuing["device-ca"].certificate, Purpose.DEVICE, (), keys.root.certificate, NOW
        )


def test_gateway_certificates_need_two_keys_and_their_own_signatures(keys):
    publics = GatewayPublics.parse(GatewayKeys("a:1", "a:2", b"m" * 32).newest.publics)
    host = device_id(Kind.GATEWAY, "line-1", "gw1")
    tls, verdict = issue_gateway(keys, host, publics, timedelta(hours=5), NOW)
    assert tls.not_valid_after_utc <= NOW + timedelta(minutes=10)
    assert "gw1.line-1.gateway.framegate" in str(
        tls.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value.get_values_for_type(x509.DNSName)
    )
    assert verdict.public_key() != tls.public_key()
    p384 = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(ec.generate_private_key(ec.SECP384R1()), hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    for change in (
        {"tls_csr": publics.verdict_csr},
        {"tls_csr": b"junk"},
        {"verdict_csr": p384},
        {"verdict_csr": publics.verdict_csr[:-1] + bytes([publics.verdict_csr[-1] ^ 1])},
    ):
        with pytest.raises(EvidenceRejected) as caught:
            issue_gateway(
                keys, host, dataclasses.replace(publics, **change), timedelta(minutes=3), NOW
            )
        assert caught.value.reason == Reason.PUBLICS


def test_request_keys():
    for raw in (b"", b"\x30\x00", b"x" * 500):
        with pytest.raises(Malformed):
            request_key(raw)


def altered(keys, **changes):
    """A certificate of the device CA of which our own code would make no such one."""
    issuer = keys.issuing["device-ca"]
    key = ec.generate_private_key(changes.get("curve", ec.SECP256R1()))
    names = changes.get("names", ("camera.z.n",))
    usages = [getattr(u, "value", u) for u in changes.get("usages", (Purpose.DEVICE,))]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, n) for n in names]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(minutes=1))
        .not_valid_after(NOW + timedelta(minutes=3))
        .add_extension(x509.BasicConstraints(changes.get("ca", False), None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("camera.plant.framegate")]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.certificate.public_key()),
            critical=False,
        )
        .sign(issuer.key, hashes.SHA256())
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"names": ("camera.z.n", "camera.z.m")},
        {"names": ()},
        {"curve": ec.SECP384R1()},
        {"usages": (Purpose.DEVICE, Purpose.GATEWAY)},
        {"ca": True},
        {"usages": (Purpose.DEVICE, x509.ObjectIdentifier(f"{EARLIER_ARC}.1"))},
        {"usages": (x509.ObjectIdentifier(f"{OID_ARC}.1.1"),)},
        {"usages": (x509.ObjectIdentifier(f"{OID_ARC}1.1"),)},
        {"usages": (x509.ObjectIdentifier(OID_ARC),)},
    ],
    ids=[
        "two names",
        "no name",
        "another curve",
        "two purposes",
        "a CA",
        "one purpose in both arcs",
        "below a purpose",
        "another arc that begins alike",
        "the arc alone",
    ],
)
def test_what_our_own_ca_should_not_have_signed(keys, changes):
    def verified(**how):
        return verify_certificate(
            altered(keys, **how), Purpose.DEVICE, keys.intermediates, keys.root.certificate, NOW
        )

    assert verified().common_name == "camera.z.n"
    assert refused(lambda: verified(**changes)) == Reason.CERTIFICATE


def earlier(purpose: Purpose) -> x509.ObjectIdentifier:
    """`purpose` as certificates of before name it."""
    number = purpose.value.dotted_string.removeprefix(f"{OID_ARC}.")
    return x509.ObjectIdentifier(f"{EARLIER_ARC}.{number}")


def test_certificates_of_the_earlier_arc_count_for_the_same_and_nothing_else(keys):
    leaf = altered(keys, usages=(earlier(Purpose.DEVICE),))
    root = keys.root.certificate
    assert verify_certificate(leaf, Purpose.DEVICE, keys.intermediates, root, NOW)
    for other in set(Purpose) - {Purpose.DEVICE}:
        with pytest.raises(Refused):
            verify_certificate(leaf, other, keys.intermediates, root, NOW)


def test_what_an_issuing_ca_of_the_earlier_arc_makes_now_holds(keys):
    """A fleet that was founded before: its CAs stay as they are until they rotate."""
    ca, root, gone = keys.issuing["device-ca"], keys.root, altered(keys)
    old = (
        x509.CertificateBuilder()
        .subject_name(ca.certificate.subject)
        .issuer_name(root.certificate.subject)
        .public_key(ca.certificate.public_key())
        .serial_number(8)
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([earlier(Purpose.DEVICE)]), critical=False)
        .sign(root.key, hashes.SHA256())
    )
    assert verify_certificate(gone, Purpose.DEVICE, (old,), root.certificate, NOW)
    others = altered(keys, usages=(Purpose.GATEWAY,))
    with pytest.raises(Refused):
        verify_certificate(others, Purpose.GATEWAY, (old,), root.certificate, NOW)


def test_times_that_no_clock_shows():
    for ms in (10**15, -(10**18)):
        assert refused(lambda ms=ms: from_ms(ms)) == Reason.MALFORMED


def test_authorities_count_once_the_root_itself_signed_them(keys, tmp_path):
    root = keys.root.certificate
    ders = [keys.issuing[label].der for label in ("device-ca", "gateway-ca")]
    assert [a.public_bytes(Encoding.DER) for a in load_authorities(ders, root)] == ders
    other = found_fleet(tmp_path / "other", "plant").issuing["device-ca"].der
    leaf = certificate(keys).public_bytes(Encoding.DER)
    for wrong in (other, leaf):
        with pytest.raises(Refused, match="signed by the fleet's root") as caught:
            load_authorities([*ders, wrong], root)
        assert caught.value.reason == Reason.CERTIFICATE
    with pytest.raises(Malformed, match="a DER certificate"):
        load_authorities([b"junk"], root)


def test_somebody_with_a_certificate_is_no_ca(keys):
    middle = ec.generate_private_key(ec.SECP256R1())
    device = certify(
        keys.issuing["device-ca"],
        leaf_template(Purpose.DEVICE, "camera.z.n", middle.public_key(), timedelta(minutes=3), NOW),
    )
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "camera.z.m")]))
        .issuer_name(device.subject)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(3)
        .not_valid_before(NOW - timedelta(minutes=1))
        .not_valid_after(NOW + timedelta(minutes=1))
    )
    for extension in certificate(keys).extensions:
        leaf = leaf.add_extension(extension.value, extension.critical)
    with pytest.raises(Refused, match="a device certificate of this fleet"):
        verify_certificate(
            leaf.sign(middle, hashes.SHA256()),
            Purpose.DEVICE,
            (*keys.intermediates, device),
            keys.root.certificate,
            NOW,
        )


def test_the_issuer_is_told_by_its_signature_and_not_by_its_name(keys, tmp_path):
    """Generations of a CA have one name; one of another fleet has it, too, and signed nothing."""
    issuer = keys.issuing["device-ca"].certificate
    others = [k.certificate for label, k in keys.issuing.items() if label != "device-ca"]
    leaf = certificate(keys)
    namesake = found_fleet(tmp_path / "other", keys.fleet).issuing["device-ca"].certificate
    assert issuer_of(leaf, [*others, namesake, issuer]) is issuer
    assert issuer_of(leaf, [*others, namesake]) is None
    assert issuer_of(leaf, []) is None
