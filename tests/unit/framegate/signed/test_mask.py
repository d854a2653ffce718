"""Signed masks and their regions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from framegate.errors import FramegateError, Malformed, Reason
from framegate.signed.mask import MaskStatement, parse_regions, verify_masks
from support.vault import CAMERA, NOW

REGION = {"points": [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]}


def sealed_masks(keys, **changes) -> bytes:
    masks = MaskStatement(camera=CAMERA, version=2, regions=(REGION,), issued_at_ms=NOW)
    signer = keys.signing["mask"]
    return replace(masks, **changes).seal(signer.der, signer.sign)


def masks_of(keys, data, standing=0, now=None):
    return verify_masks(
        data, CAMERA, standing, keys.intermediates, keys.root.certificate, now or datetime.now(UTC)
    )


def test_masks_that_hold(keys):
    masks = masks_of(keys, sealed_masks(keys), 2)
    assert (
        masks.version == 2
        and masks.polygons == (((0.1, 0.1), (0.5, 0.1), (0.5, 0.5)),)
        and len(masks.sha256) == 32
    )


@pytest.mark.parametrize(
    "change",
    [
        {"camera": "camera.line-1.cam2"},
        {"version": 1},
        {"version": 0},
        {"regions": ({"points": [[0, 0], [1, 1]]},)},
        {"regions": (REGION,) * 33},
    ],
)
def test_masks_that_are_refused(keys, change):
    with pytest.raises(FramegateError) as caught:
        masks_of(keys, sealed_masks(keys, **change), 2)
    assert caught.value.reason == Reason.MASK


def test_masks_signed_by_another_key_or_flipped(keys):
    signer = keys.signing["grant"]
    with pytest.raises(FramegateError):
        masks_of(keys, MaskStatement(CAMERA, 2, (REGION,), NOW).seal(signer.der, signer.sign))
    good = sealed_masks(keys)
    for at in range(0, len(good), 41):
        with pytest.raises(FramegateError):
            masks_of(keys, good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    with pytest.raises(FramegateError):
        masks_of(keys, good, now=datetime.now(UTC) + timedelta(days=4000))


@pytest.mark.parametrize(
    "region",
    [
        {},
        {"points": 3},
        {"points": [[0, 0], [1, 0], [2, 0]]},
        {"points": [[0, 0], [1, 0], ["a", 0]]},
        {"points": [[0, 0], [1, 0], [True, 0]]},
        [],
        7,
        {"points": [[0.1] * 2] * 65},
    ],
)
def test_regions_that_are_no_polygons(region):
    with pytest.raises(Malformed):
        parse_regions([region])
