"""Masks of cameras count up."""

from framegate_controller.fleet.masks import set_masks
from support.machine_changes import CAM

SQUARE = {"points": [[0, 0], [1, 0], [1, 1]]}


def test_masks_count_up_and_never_fall(trusted_camera):
    for version, regions in ((1, (SQUARE,)), (2, ())):
        with trusted_camera.store.writing() as tx:
            masks = set_masks(tx, trusted_camera.keys, tx.devices.get(CAM), regions)
            assert masks.version == version and tx.masks.get(CAM) == masks
    assert [e["detail"] for e in trusted_camera.events("masks-set")] == [
        "version 1, 1 regions",
        "version 2, 0 regions",
    ]
