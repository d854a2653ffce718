"""Makers of TPMs that the fleet trusts."""

import pytest

from framegate.errors import FramegateError, Reason
from framegate_controller.fleet.makers import add_maker


def test_a_makers_ca_is_trusted_once_and_an_ek_certificate_never(trusted_camera, maker):
    with trusted_camera.store.writing() as tx:
        assert add_maker(tx, maker.certificate) == add_maker(tx, maker.certificate)
        assert len(tx.makers.all()) == 1
        with pytest.raises(FramegateError) as caught:
            add_maker(tx, trusted_camera.keys.signing["log"].certificate)
    assert (
        caught.value.reason == Reason.CERTIFICATE
        and len(trusted_camera.events("tpm-ca-added")) == 1
    )
