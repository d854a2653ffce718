"""Anchors of model bundles: a key or a root."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from framegate.errors import Malformed, Reason
from framegate.signed.pin import anchor_of, key_anchor, root_anchor
from support.refusals import refused

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
OTHER = rsa.generate_private_key(65537, 2048).public_key()


def test_anchors_are_read_as_they_were_written(keys):
    assert anchor_of(key_anchor(KEY)) == ((KEY,), ())
    root = keys.root.certificate
    assert anchor_of(root_anchor(root)) == ((), (root,))


@pytest.mark.parametrize(
    "anchor",
    [
        "",
        "key:",
        "key:!!",
        "root:AAAA",
        key_anchor(KEY).replace("key:", "other:"),
        "key:"
        + base64.b64encode(
            OTHER.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ).decode(),
    ],
    ids=["nothing", "no key", "no base64", "no certificate", "another kind", "RSA"],
)
def test_anchors_that_are_none(anchor):
    assert refused(lambda: anchor_of(anchor), Malformed) == Reason.MODEL
