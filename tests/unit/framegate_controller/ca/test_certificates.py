"""Every certificate that the fleet's CAs make, as strict verifiers read it."""

import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose
from framegate.identity.pem import private_pem
from framegate_controller.ca.check import check_leaf
from framegate_controller.ca.keys import ISSUING
from framegate_controller.ca.template import BACKDATE, LIVES, issuing_template, leaf_template
from support.issued import CALLS, KINDS, LEAVES, LIFE, SERVES, Issued


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


@pytest.mark.parametrize("kind", ["root", *KINDS])
def test_a_certificate_says_what_rfc_5280_asks(keys, every, kind):
    certificate = keys.root.certificate if kind == "root" else every[kind].certificate
    is_ca = kind in ("root", *ISSUING)
    assert (
        extension(certificate, x509.BasicConstraints).critical
        and extension(certificate, x509.BasicConstraints).value.ca == is_ca
    )
    usage = extension(certificate, x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and usage.value.key_cert_sign == is_ca
    subject = extension(certificate, x509.SubjectKeyIdentifier)
    assert not subject.critical and subject.value == x509.SubjectKeyIdentifier.from_public_key(
        certificate.public_key()
    )
    if kind != "root":
        above = every[kind].above or keys.root.certificate
        named = extension(certificate, x509.AuthorityKeyIdentifier)
        assert (
            not named.critical
            and named.value.key_identifier
            == extension(above, x509.SubjectKeyIdentifier).value.digest
        )
    assert 0 < certificate.serial_number < 1 << 159  # at most twenty octets, and positive


@pytest.mark.parametrize("kind", ["root", *KINDS])
def test_openssl_verifies_it_strictly(keys, every, tmp_path, kind):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    one = Issued(keys.root.certificate) if kind == "root" else every[kind]
    for name, certificate in (
        ("leaf", one.certificate),
        ("root", keys.root.certificate),
        ("above", one.above or keys.root.certificate),
    ):
        (tmp_path / name).write_bytes(certificate.public_bytes(Encoding.PEM))
    command = [
        "openssl",
        "verify",
        "-x509_strict",
        "-check_ss_sig",
        "-CAfile",
        tmp_path / "root",
        "-untrusted",
        tmp_path / "above",
        tmp_path / "leaf",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def anything(*_: object) -> None:
    """What is asked of the extension besides being there."""


@pytest.mark.parametrize("kind", LEAVES)
def test_the_web_pkis_rules_for_cas_and_for_what_they_sign_hold(keys, every, kind):
    """But for alternative names and usages, which a key that only signs statements has no use
    for.
    """
    one = every[kind]
    leaf = ExtensionPolicy.webpki_defaults_ee()
    if kind not in (*SERVES, "device", "operator"):
        leaf = leaf.may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, anything)
    if kind not in (*CALLS, "server"):
        leaf = leaf.require_present(x509.ExtendedKeyUsage, Criticality.NON_CRITICAL, anything)
    builder = PolicyBuilder().store(Store([keys.root.certificate])).time(datetime.now(UTC))
    builder = builder.extension_policies(
        ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=leaf
    )
    above = [one.above] if one.above else []
    if kind != "server":
        assert len(
            builder.build_client_verifier().verify(one.certificate, above).chain
        ) == 2 + bool(one.above)
    if kind in SERVES:
        assert (
            len(
                builder.build_server_verifier(x509.DNSName(SERVES[kind])).verify(
                    one.certificate, above
                )
            )
            == 3
        )


@pytest.mark.parametrize("server", SERVES)
@pytest.mark.parametrize("client", CALLS)
def test_two_python_programs_that_are_strict_shake_hands(keys, every, tmp_path, server, client):
    """Python 3.13 is strict unless told otherwise."""
    sides = []
    for name, purpose in ((server, ssl.Purpose.CLIENT_AUTH), (client, ssl.Purpose.SERVER_AUTH)):
        one, path = every[name], tmp_path / f"{name}-{purpose.name}"
        path.write_bytes(
            private_pem(one.key)
            + one.certificate.public_bytes(Encoding.PEM)
            + one.above.public_bytes(Encoding.PEM)
        )
        context = ssl.create_default_context(purpose, cadata=keys.root.pem.decode())
        context.verify_flags |= (
            ssl.VERIFY_X509_STRICT | 0x80000
        )  # and X509_V_FLAG_PARTIAL_CHAIN, as 3.13 has it
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(path)
        sides.append(context)
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        sides[0].wrap_bio(a, b, server_side=True),
        sides[1].wrap_bio(b, a, server_hostname=SERVES[server]),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert all(end.getpeercert() for end in ends)


@pytest.mark.parametrize("label", ISSUING)
@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_ca_signs_for_its_own_purposes_and_no_longer_than_they_allow(label, purpose):
    key, now = ec.generate_private_key(ec.SECP256R1()).public_key(), datetime.now(UTC)
    if purpose not in ISSUING[label]:
        with pytest.raises(Refused) as caught:
            check_leaf(label, purpose, leaf_template(purpose, "x", key, timedelta(seconds=1), now))
        assert caught.value.reason == Reason.CERTIFICATE
        return
    check_leaf(label, purpose, leaf_template(purpose, "x", key, LIVES[purpose], now))
    longer = leaf_template(purpose, "x", key, LIVES[purpose] + timedelta(seconds=1), now)
    none = leaf_template(purpose, "x", key, timedelta(0), now)
    other = leaf_template(
        purpose, "x", ec.generate_private_key(ec.SECP384R1()).public_key(), LIFE, now
    )
    for wrong in (longer, none, other, issuing_template("plant", label, key, now)):
        with pytest.raises(Refused):
            check_leaf(label, purpose, wrong)


def test_whatever_is_made_counts_from_the_same_little_while_before(keys, every):
    certificates = [every[kind].certificate for kind in ("device", "gateway", "verdict", "broker")]
    assert {c.not_valid_after_utc - c.not_valid_before_utc for c in certificates} == {
        LIFE + BACKDATE
    }
    assert every["server"].certificate.not_valid_before_utc > every[
        "server-ca"
    ].certificate.not_valid_before_utc - timedelta(seconds=1)
    assert list(extension(every["device"].certificate, x509.ExtendedKeyUsage).value)[1:] == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
