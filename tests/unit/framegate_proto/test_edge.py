"""What the other end of a connection showed, before anything is made of it."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Refused
from framegate_proto.edge import presented_certificate
from support.refusals import refused_with


class Context:
    def __init__(self, *versions: bytes | str, certificates: int = 1) -> None:
        self._versions, self._pems = list(versions), [_pem() for _ in range(certificates)]

    def auth_context(self):
        return {"ssl_tls_version": self._versions, "x509_pem_cert": self._pems}


def _pem() -> bytes:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize("version", [b"TLSv1.3", "TLSv1.3"])
def test_one_certificate_over_tls_13_is_read(version):
    assert presented_certificate(Context(version)).serial_number == 1


@pytest.mark.parametrize(
    "versions", [(b"TLSv1.2",), ("TLSv1.2",), (), (b"TLSv1.3", b"TLSv1.2"), (b"TLSv1.3 ",)]
)
def test_whoever_comes_with_an_older_tls_is_refused_in_words(versions):
    with pytest.raises(Refused) as caught:
        presented_certificate(Context(*versions))
    (failure,) = caught.value.failures
    assert (failure.reason, failure.expected) == (Reason.UNAUTHENTICATED, "TLS 1.3")


@pytest.mark.parametrize("certificates", [0, 2])
def test_whoever_shows_no_certificate_or_several_is_refused(certificates):
    with refused_with(Refused, Reason.UNAUTHENTICATED):
        presented_certificate(Context(b"TLSv1.3", certificates=certificates))
