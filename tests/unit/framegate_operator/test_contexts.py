"""A context whose issuing CAs follow the controller's."""

import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason
from framegate_controller.ca.open import found_fleet
from framegate_operator.contexts import OperatorContext, read_context


@pytest.fixture
def context(keys, tmp_path) -> OperatorContext:
    """Of somebody who signed in when there was one gateway CA less."""
    kept = OperatorContext(
        tmp_path / "context.json",
        "127.0.0.1:1",
        "127.0.0.1:2",
        "controller.plant.framegate",
        keys.root.pem,
        operator="anna",
        certificate=b"certificate",
        key=b"key",
        authorities=keys.issuing["device-ca"].pem,
        expires_ms=1,
    )
    kept.write()
    return kept


def test_the_controllers_authorities_are_taken_and_kept(context, keys):
    assert context.know(keys.authorities)
    assert not context.know(keys.authorities), "nothing new"
    again = read_context(context.path)
    assert again.authorities == context.authorities and again.key == b"key"
    ders = [c.public_bytes(Encoding.DER) for c in again.authority_certificates]
    assert ders == keys.authorities


def test_authorities_that_the_root_did_not_sign_change_nothing(context, keys, tmp_path):
    before, other = context.authorities, found_fleet(tmp_path / "other", "plant")
    for lie in (other.authorities, [*keys.authorities, other.authorities[0]], [b"no certificate"]):
        with pytest.raises(FramegateError) as refused:
            context.know(lie)
        assert refused.value.reason == Reason.CERTIFICATE
    assert not context.know([]), "none at all is no answer"
    assert context.authorities == before == read_context(context.path).authorities


def test_who_signed_in_meanwhile_stays_signed_in(context, keys):
    body = json.loads(context.path.read_text()) | {"key": "another", "operator": "sara"}
    context.path.write_text(json.dumps(body))
    assert context.know(keys.authorities)
    assert read_context(context.path).operator == "sara"
