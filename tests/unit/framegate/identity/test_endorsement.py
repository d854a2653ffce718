"""EK certificates and their chains."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Malformed, Reason
from framegate.identity.endorsement import MAX_CHAIN, load_chain
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
