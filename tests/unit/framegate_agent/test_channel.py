"""What a machine shows of itself when it connects."""

from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from framegate_agent import channel
from framegate_controller.ca.issue import issue_operator


@pytest.fixture
def shown(monkeypatch):
    """The chains that gRPC was given."""
    chains = []

    def credentials(*, certificate_chain, **_):
        chains.append(x509.load_pem_x509_certificates(certificate_chain))

    monkeypatch.setattr(
        channel,
        "experimental",
        SimpleNamespace(ssl_channel_credentials_with_custom_signer=credentials),
    )
    monkeypatch.setattr(channel, "_channel", lambda *_: None)
    return chains


def test_of_all_authorities_a_peer_is_shown_the_one_that_signed(keys, shown):
    """A fleet of many controllers has dozens, and a controller keeps what it is shown."""
    leaf = issue_operator(keys, "x", ec.generate_private_key(ec.SECP256R1()).public_key())
    issuer = keys.issuing["operator-ca"].certificate
    for authorities in (keys.intermediates, tuple(reversed(keys.intermediates)), (issuer,)):
        given = (leaf, *authorities)
        channel.with_tpm_key("127.0.0.1:1", "n", [issuer], SimpleNamespace(), given, float)
    assert shown == [[leaf, issuer]] * 3


def test_a_certificate_that_no_authority_signed_is_shown_alone(keys, shown):
    leaf = issue_operator(keys, "x", ec.generate_private_key(ec.SECP256R1()).public_key())
    others = [k.certificate for label, k in keys.issuing.items() if label != "operator-ca"]
    channel.with_tpm_key("127.0.0.1:1", "n", others, SimpleNamespace(), (leaf, *others), float)
    assert shown == [[leaf]]
