"""Exports, quotas, data sets and erasure."""

import asyncio
import contextlib
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from framegate.errors import FramegateError, Reason, Refused
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.vault.archive import Archive
from framegate_gateway.vault.egress import Egress, EgressRules, ExportedFrame, ExportRequest
from framegate_gateway.verdicts.journal import Journal
from support.vault import CAMERA, IMAGE, NOW, verdict, written

pytestmark = pytest.mark.slow  # each test starts the child that decodes

ANNA = ExportRequest("operator.anna", "", CAMERA, 0, 10, "claim 17", "quality")


class Recorded:
    """A verdict maker that only remembers events."""

    def __init__(self) -> None:
        self.events = []

    async def event(self, identifier, event, actor, detail):
        self.events.append((event, actor, dict(detail)))


class OpenDoor(Egress):
    """Egress whose receipts are taken for granted: the rules are under test."""

    def _receipt(self, identifier):
        return {"id": identifier}

    def _proved(self, identifier):
        if identifier.startswith("b"):
            raise Refused.of(Reason.RECEIPT, "a receipt", "none")
        return {"id": identifier}


@pytest.fixture
async def door(vault, tmp_path, monkeypatch):
    told: list = []
    models = Models(load_bundle(DEFAULT_BUNDLE), GoldenImages(()))
    await models.start()
    open_door = OpenDoor(
        Archive(Journal(), None, vault),
        Recorded(),
        models,
        None,
        EgressRules(frozenset({"quality"}), 3),
        lambda: NOW,
        lambda request, frames: told.append((request.actor, frames)),
    )
    open_door.seen = told
    monkeypatch.setattr(
        "framegate_gateway.vault.egress.find",
        lambda _store, identifier: SimpleNamespace(id=identifier),
    )
    for name in "abc":
        vault.keep(verdict(name * 32, IMAGE + name.encode()), IMAGE + name.encode(), 1, 0)
    written(vault)
    yield open_door
    await models.stop()


async def test_an_export_is_marked_counted_and_recorded(door):
    exported = await door.frame(replace(ANNA, identifier="a" * 32))
    image = cv2.imdecode(np.frombuffer(exported.image, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image.shape[1] == 640 and image.shape[0] > 700 and (image[650:] < 100).any(), (
        "the mark stands below, on no pixel of the part"
    )
    assert exported.quota_left == 2
    event, actor, detail = door._maker.events[0]
    assert (event, actor, detail["reason"], detail["destination"], detail["verdict"]) == (
        "frame-export",
        "operator.anna",
        "claim 17",
        "quality",
        "a" * 32,
    )


async def test_what_nobody_had_to_approve_is_told_and_nothing_else_is(door):
    await door.frame(replace(ANNA, identifier="a" * 32))
    await door.frame(replace(ANNA, identifier="a" * 32, approved_by=("operator.ben",)))
    with pytest.raises(FramegateError):
        await door.frame(replace(ANNA, identifier="a" * 32, destination="usb"))
    assert door.seen == [("operator.anna", 1)]


async def test_a_data_set_is_told_with_how_many_frames_it_has(door):
    with contextlib.suppress(AttributeError):  # without a host in standing nobody signs its end
        async for _ in door.dataset(replace(ANNA, limit=2)):
            pass
    assert door.seen == [("operator.anna", 2)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"reason": "  "}, Reason.USAGE),
        ({"reason": "x" * 501}, Reason.USAGE),
        ({"destination": "usb"}, Reason.EXPORT),
        ({"destination": ""}, Reason.EXPORT),
        ({"identifier": "f" * 32}, Reason.NOT_FOUND),
    ],
)
async def test_exports_that_are_refused_are_recorded_too(door, change, reason):
    with pytest.raises(FramegateError) as caught:
        await door.frame(replace(ANNA, **{"identifier": "a" * 32, **change}))
    assert caught.value.reason == reason
    assert (
        door._maker.events[-1][0] == "frame-export-refused"
        and door._maker.events[-1][2]["reason_id"] == reason.value
    )


async def test_the_quota_holds_against_requests_at_once_and_over_a_restart(door):
    tries = await asyncio.gather(
        *(door.frame(replace(ANNA, identifier="a" * 32)) for _ in range(6)), return_exceptions=True
    )
    assert sum(isinstance(t, ExportedFrame) for t in tries) == 3
    again = OpenDoor(
        Archive(Journal(), None, door._vault),
        Recorded(),
        door._models,
        None,
        EgressRules(frozenset({"quality"}), 3),
        lambda: NOW,
    )
    with pytest.raises(Refused) as caught:
        await again.frame(replace(ANNA, identifier="a" * 32))
    assert caught.value.reason == Reason.EXPORT_QUOTA
    assert (
        await again.frame(replace(ANNA, actor="operator.bert", identifier="a" * 32))
    ).quota_left == 2


async def test_a_frame_from_before_the_masks_does_not_leave(door):
    door._vault.keep(verdict("d" * 32, IMAGE + b"d"), IMAGE + b"d", 1, 1)
    written(door._vault)
    with pytest.raises(Refused) as caught:
        await door.frame(replace(ANNA, identifier="a" * 32))
    assert caught.value.reason == Reason.MASK
    assert (await door.frame(replace(ANNA, identifier="d" * 32))).image


async def test_a_data_set_takes_no_frame_without_a_valid_receipt(door):
    class Keys:
        credentials, refused = None, "none"

    door._keys = Keys()
    got = []
    with pytest.raises(
        Refused
    ):  # the manifest needs the host's standing; what came before it is what counts here
        async for item in door.dataset(ANNA):
            got.append(item.name)
    assert got == ["a" * 32 + ".jpg", "c" * 32 + ".jpg"]


async def test_an_erasure_is_recorded_and_memory_forgets(door):
    assert (await door.erase("operator.anna", CAMERA, "", "works council"))[1] == 3
    assert door._maker.events[-1][0] == "data-erased"
    with pytest.raises(Refused):
        await door.erase("operator.anna", CAMERA, "", "again")
