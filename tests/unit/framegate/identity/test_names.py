"""Names of machines and the identities made of them."""

import pytest

from framegate.errors import Malformed
from framegate.identity.names import Kind, device_id, spiffe_id, split_device_id


def test_names_and_ids():
    assert split_device_id("camera.line-1.cam1") == ("camera", "line-1", "cam1")
    assert (
        spiffe_id(device_id(Kind.CAMERA, "line-1", "cam1"), "plant")
        == "spiffe://plant.framegate/camera/line-1/cam1"
    )
    for bad in ("", "camera", "camera.a", "toaster.a.b", "camera.a.b.c", "camera.a.B"):
        with pytest.raises(Malformed):
            split_device_id(bad)
