"""Certificates as they come out of a TPM's NV, a mail, a settings file or a web page: read, or
refused with what became of them.
"""

import base64
import warnings
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from framegate.errors import Malformed, Reason
from framegate.identity.certificate_file import MAX_IN_FILE, load_certificate_file
from framegate_operator.evidence_kinds import Kind, likely


def certificate(name: str) -> x509.Certificate:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(0x1122334455667788)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=9))
        .sign(key, hashes.SHA256())
    )


FIRST, SECOND = certificate("one"), certificate("two")
DER, OTHER = FIRST.public_bytes(Encoding.DER), SECOND.public_bytes(Encoding.DER)
PEM = FIRST.public_bytes(Encoding.PEM)
ESCAPED = PEM.replace(b"\n", b"\\n")
P7B = pkcs7.serialize_certificates([FIRST, SECOND], Encoding.DER)
SIZED = len(DER).to_bytes(2, "big") + DER
READ = {
    "one behind another": (DER + OTHER, [DER, OTHER]),
    "one behind another, padded": (DER + OTHER + b"\xff" * 700, [DER, OTHER]),
    "a TPM's size in front": (SIZED, [DER]),
    "a TPM's size in front, padded": (SIZED + b"\xff" * 90, [DER]),
    "line ends escaped": (ESCAPED, [DER]),
    "within JSON": (b'{"ek_cert": "' + ESCAPED + b'"}', [DER]),
    "UTF-16 without a mark": (PEM.decode().encode("utf-16-le"), [DER]),
    "a bundle with padding": (P7B + b"\0" * 40, sorted([DER, OTHER])),
}
REFUSED = {
    "no end": (PEM.split(b"-----END")[0], "no END CERTIFICATE", "copy it whole"),
    "no begin": (PEM.split(b"CERTIFICATE-----\n", 1)[1], "its end alone", "copy it whole"),
    "quoted in a mail": (PEM.replace(b"\n", b"\n> "), "other signs", "not a copy of its text"),
    "another PEM": (b"-----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----", "else", ""),
    "cut": (DER[:-9], "it is cut off", "copy it whole"),
    "second cut": (DER + OTHER[:-9], "it is cut off", "copy it whole"),
    "words behind it": (DER + b"hello", "no padding", ""),
    "a size that is not its own": (b"\0\1" + DER, "0001", ""),
}


@pytest.mark.parametrize("name", READ)
def test_forms_of_the_field_are_read(name):
    raw, wanted = READ[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = [c.der for c in load_certificate_file(raw)]
    # a bundle is a set: its encoding says in which order, by bytes that differ each time
    assert (sorted(read) if name.startswith("a bundle") else read) == wanted
    assert likely(raw).kind is Kind.CERTIFICATE


@pytest.mark.parametrize("name", REFUSED)
def test_what_became_of_a_certificate_is_told(name):
    raw, seen, hint = REFUSED[name]
    with pytest.raises(Malformed) as refused:
        load_certificate_file(raw)
    first = refused.value.failures[0]
    assert seen in first.actual and hint in first.hint


def test_no_file_holds_more_certificates_than_the_limit():
    with pytest.raises(Malformed) as refused:
        load_certificate_file(DER * (MAX_IN_FILE + 2))
    assert refused.value.reason == Reason.TOO_LARGE


def test_base64_of_something_else_is_no_certificate():
    archive = b"\x30\x82\x01\x03\x02\x01\x03\x30\x82\0\xfc" + b"\x02\x01\0" * 84
    for raw in (archive, base64.b64encode(archive)):
        assert likely(raw).kind is Kind.OTHER and "PKCS #12" in likely(raw).told
