"""Frames at rest and on their way out: keys, erasure, retention, export on terms, masks (N87 on disk, N109, item by item)."""

import asyncio
import sqlite3
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
import pytest

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.signed.mask import MaskStatement, parse_regions, verify_masks
from framegate.signed.statement import Verdict
from framegate.wire import sha256
from framegate_agent.camera.masking import Masker, blank
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.vault.egress import Egress, EgressRules, ExportRequest
from framegate_gateway.vault.frames import QUEUE, FrameVault
from framegate_gateway.vault.keys import DayKey, VaultKeys
from framegate_gateway.verdicts.journal import Journal
from framegate_simulators.boards.boards import draw_board

CAMERA = "camera.line-1.cam1"
NOW = time.time_ns() // 1_000_000
IMAGE = cv2.imencode(".jpg", draw_board(3, design=1, defects=0).frame)[1].tobytes()
ANNA = ExportRequest("operator.anna", "", CAMERA, 0, 10, "claim 17", "quality")


def verdict(identifier: str, image: bytes = IMAGE, outcome: str = "PASS", device: str = CAMERA, at_ms: int = NOW) -> Verdict:
    return Verdict(
        verdict_id=identifier, gateway="gateway.line-1.gw1", device=device, zone="line-1", part="p", part_type="t", trigger_sequence=1, outcome=outcome, reason="", defects=(),
        model_sha256="aa", golden_sha256="bb", input_sha256=sha256(image).hex(), result_id="r", session="00", counter=0, issued_at_ms=at_ms, valid_until_ms=at_ms + 1,
    )  # fmt: skip


@pytest.fixture
def kek():
    return b"k" * 32


@pytest.fixture
def vault(tmp_path, kek):
    made = FrameVault(tmp_path / "vault", VaultKeys(tmp_path / "vault", kek))
    yield made
    made.close()


def written(vault) -> None:
    vault.expire(0)


def test_frames_come_back_as_they_were(vault):
    for number in range(50):
        vault.keep(verdict(f"{number:032x}", IMAGE + bytes([number]), "DEFECT" if number % 2 else "PASS"), IMAGE + bytes([number]), 1, 0)
    written(vault)
    assert vault.get(f"{7:032x}").image == IMAGE + b"\x07" and vault.get(f"{7:032x}").outcome == "DEFECT"
    assert [h.frames for h in vault.holdings()] == [25, 25] and vault.identifiers(CAMERA, 0, 3) and vault.dropped == 0


def test_nothing_on_the_disk_is_an_image(vault, tmp_path):
    raw = draw_board(3, design=1, defects=0, clean_capture=False).frame
    assert len(np.unique(raw[300, :64])) > 4, "a row that stands nowhere by chance"
    for number in range(5):
        vault.keep(verdict(f"{number:032x}"), IMAGE, 1, 0)
    written(vault)
    files = [p for p in (tmp_path / "vault").rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) > 5 * len(IMAGE)
    for path in files:
        data = path.read_bytes()
        for magic in (IMAGE[:20], b"\x89PNG\r\n\x1a\n", IMAGE[200:232], raw[300, :64].tobytes(), b"k" * 32):
            assert magic not in data, path
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_copied_disk_without_the_key_opens_nothing(vault, tmp_path):
    vault.keep(verdict("a" * 32), IMAGE, 1, 0)
    written(vault)
    thief = FrameVault(tmp_path / "vault", VaultKeys(tmp_path / "vault", b"x" * 32))
    with pytest.raises(Refused) as caught:
        thief.get("a" * 32)
    assert caught.value.reason == Reason.VAULT
    thief.close()


def test_erasing_a_key_erases_its_frames_and_no_others(vault, tmp_path):
    other = "camera.line-1.cam2"
    for device in (CAMERA, other):
        vault.keep(verdict(device[-1] * 32, device=device), IMAGE, 1, 0)
    written(vault)
    segment = next((tmp_path / "vault" / "frames").glob(f"{CAMERA}*"))
    copy, key_file = segment.read_bytes(), next((tmp_path / "vault" / "keys").glob(f"{CAMERA}*"))
    wrapped = key_file.read_bytes()
    assert vault.erase(CAMERA, "", "operator.anna", NOW) == (1, 1)
    assert not key_file.exists() and not segment.exists()
    for path in (tmp_path / "vault").rglob("*"):
        assert not path.is_file() or wrapped[12:] not in path.read_bytes()
    segment.write_bytes(copy)  # a backup of the frames alone is worth nothing
    with pytest.raises(Refused):
        vault.get("1" * 32)
    assert vault.get("2" * 32).device == other
    assert [(h.erased, h.frames) for h in vault.holdings()] == [(True, 1), (False, 1)]
    vault.keep(verdict("3" * 32), IMAGE, 1, 0)  # the camera goes on under a new key
    written(vault)
    assert vault.get("3" * 32).image == IMAGE and vault.erase("camera.line-1.nobody", "", "x", NOW) == (0, 0)


def test_retention_by_outcome(vault):
    old = NOW - 20 * 86_400_000
    vault.keep(verdict("a" * 32, at_ms=old), IMAGE, 1, 0)
    vault.keep(verdict("b" * 32, outcome="DEFECT", at_ms=old), IMAGE, 1, 0)
    assert vault.expire(NOW) == (1, 1), "PASS is past its seven days, DEFECT is not past its ninety"
    assert vault.get("b" * 32)
    assert vault.expire(NOW + 91 * 86_400_000)[0] == 1


@pytest.mark.parametrize("how", ["flip", "cut", "swap", "index"])
def test_damaged_and_swapped_frames(vault, tmp_path, how):
    for name in "ab":
        vault.keep(verdict(name * 32, IMAGE + name.encode()), IMAGE + name.encode(), 1, 0)
    written(vault)
    segment = next((tmp_path / "vault" / "frames").glob("*.sealed"))
    raw = bytearray(segment.read_bytes())
    if how == "flip":
        raw[100] ^= 1
        segment.write_bytes(raw)
    elif how == "cut":
        segment.write_bytes(raw[:50])
    elif how == "swap":
        half = len(raw) // 2
        segment.write_bytes(bytes(raw[half:] + raw[:half]))
    else:
        with sqlite3.connect(tmp_path / "vault" / "vault.db") as index:
            index.execute("UPDATE frames SET offset = (SELECT max(offset) FROM frames)")
    with pytest.raises(Refused) as caught:
        vault.get("a" * 32)
    assert caught.value.reason == Reason.VAULT


def test_a_vault_that_cannot_keep_up_drops_and_counts_and_never_waits(vault):
    import threading

    hold = threading.Event()
    vault._queue.put(lambda: hold.wait(5))
    for number in range(QUEUE + 100):
        vault.keep(verdict(f"{number:032x}"), IMAGE, 1, 0)
    assert vault.dropped >= 30
    hold.set()


@pytest.mark.parametrize("stem", ["../x_2026-01-01_PASS", "cam_2026-01-01_", "cam_x_PASS", "", "a" * 300 + "_2026-01-01_PASS"])
def test_key_names_that_are_no_names(stem):
    with pytest.raises(Malformed):
        DayKey.parse(stem)


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
    models = Models(load_bundle(DEFAULT_BUNDLE), GoldenImages(()))
    await models.start()
    made = OpenDoor(vault, None, Recorded(), models, None, EgressRules(frozenset({"quality"}), 3), Journal(), lambda: NOW)
    monkeypatch.setattr("framegate_gateway.vault.egress.find", lambda _store, identifier: {"id": identifier})
    for name in "abc":
        vault.keep(verdict(name * 32, IMAGE + name.encode()), IMAGE + name.encode(), 1, 0)
    written(vault)
    yield made
    await models.stop()


async def test_an_export_is_marked_counted_and_recorded(door):
    picture, _receipt, left = await door.frame(replace(ANNA, identifier="a" * 32))
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image.shape[1] == 640 and image.shape[0] > 700 and (image[650:] < 100).any(), "the mark stands below, on no pixel of the part"
    assert left == 2
    event, actor, detail = door._maker.events[0]
    assert (event, actor, detail["reason"], detail["destination"], detail["verdict"]) == ("frame-export", "operator.anna", "claim 17", "quality", "a" * 32)


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
    assert door._maker.events[-1][0] == "frame-export-refused" and door._maker.events[-1][2]["reason_id"] == reason.value


async def test_the_quota_holds_against_requests_at_once_and_over_a_restart(door):
    tries = await asyncio.gather(*(door.frame(replace(ANNA, identifier="a" * 32)) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(t, tuple) for t in tries) == 3
    again = OpenDoor(door._vault, None, Recorded(), door._models, None, EgressRules(frozenset({"quality"}), 3), Journal(), lambda: NOW)
    with pytest.raises(Refused) as caught:
        await again.frame(replace(ANNA, identifier="a" * 32))
    assert caught.value.reason == Reason.EXPORT_QUOTA
    assert (await again.frame(replace(ANNA, actor="operator.bert", identifier="a" * 32)))[2] == 2


async def test_a_frame_from_before_the_masks_does_not_leave(door):
    door._vault.keep(verdict("d" * 32, IMAGE + b"d"), IMAGE + b"d", 1, 1)
    written(door._vault)
    with pytest.raises(Refused) as caught:
        await door.frame(replace(ANNA, identifier="a" * 32))
    assert caught.value.reason == Reason.MASK
    assert (await door.frame(replace(ANNA, identifier="d" * 32)))[0]


async def test_a_data_set_takes_no_frame_without_a_valid_receipt(door):
    class Keys:
        credentials, refused = None, "none"

    door._keys = Keys()
    got = []
    with pytest.raises(Refused):  # the manifest needs the host's standing; what came before it is what counts here
        async for name, _image, _receipt, _manifest in door.dataset(ANNA):
            got.append(name)
    assert got == ["a" * 32 + ".jpg", "c" * 32 + ".jpg"]


async def test_an_erasure_is_recorded_and_memory_forgets(door):
    assert (await door.erase("operator.anna", CAMERA, "", "works council"))[1] == 3
    assert door._maker.events[-1][0] == "data-erased"
    with pytest.raises(Refused):
        await door.erase("operator.anna", CAMERA, "", "again")


REGION = {"points": [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]}


def sealed(keys, **changes) -> bytes:
    made = MaskStatement(camera=CAMERA, version=2, regions=(REGION,), issued_at_ms=NOW)
    signer = keys.signing["mask"]
    return replace(made, **changes).seal(signer.der, signer.sign)


def masks_of(keys, data, held=0, now=None):
    return verify_masks(data, CAMERA, held, keys.intermediates, keys.root.certificate, now or datetime.now(UTC))


def test_masks_that_hold(keys):
    found = masks_of(keys, sealed(keys), 2)
    assert found.version == 2 and found.polygons == (((0.1, 0.1), (0.5, 0.1), (0.5, 0.5)),) and len(found.sha256) == 32


@pytest.mark.parametrize("change", [{"camera": "camera.line-1.cam2"}, {"version": 1}, {"version": 0}, {"regions": ({"points": [[0, 0], [1, 1]]},)}, {"regions": (REGION,) * 33}])
def test_masks_that_are_refused(keys, change):
    with pytest.raises(FramegateError) as caught:
        masks_of(keys, sealed(keys, **change), 2)
    assert caught.value.reason == Reason.MASK


def test_masks_signed_by_another_key_or_flipped(keys):
    signer = keys.signing["grant"]
    with pytest.raises(FramegateError):
        masks_of(keys, MaskStatement(CAMERA, 2, (REGION,), NOW).seal(signer.der, signer.sign))
    good = sealed(keys)
    for at in range(0, len(good), 41):
        with pytest.raises(FramegateError):
            masks_of(keys, good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    with pytest.raises(FramegateError):
        masks_of(keys, good, now=datetime.now(UTC) + timedelta(days=4000))


@pytest.mark.parametrize(
    "region",
    [{}, {"points": 3}, {"points": [[0, 0], [1, 0], [2, 0]]}, {"points": [[0, 0], [1, 0], ["a", 0]]}, {"points": [[0, 0], [1, 0], [True, 0]]}, [], 7, {"points": [[0.1] * 2] * 65}],
)
def test_regions_that_are_no_polygons(region):
    with pytest.raises(Malformed):
        parse_regions([region])


def test_masked_pixels_are_gone():
    image = np.full((480, 640), 200, np.uint8)
    blank(image, (((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)),))
    assert (image[130:350, 170:470] == 0).all() and (image[:110] == 200).all() and (image[:, :150] == 200).all()
    masker = Masker()
    assert masker.apply(image) == (0, b"") and not masker.active


async def test_a_camera_that_only_says_it_masked_is_caught_and_golden_images_are_masked_alike(tmp_path):
    board = draw_board(5, design=1, defects=0, clean_capture=True)
    cv2.imwrite(str(tmp_path / "t.png"), board.golden)
    engine = Engine(load_bundle(DEFAULT_BUNDLE), GoldenImages((tmp_path,)))
    await engine.start()
    task = asyncio.create_task(engine.run())
    polygons = (((0.2, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6)),)
    masked = board.frame.copy()
    blank(masked, polygons)
    jpeg = lambda image: cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()  # noqa: E731
    assert (await engine.inspect(CAMERA, "t", jpeg(masked), 1, 640, 640, polygons)).defects == ()
    with pytest.raises(Refused) as caught:
        await engine.inspect(CAMERA, "t", jpeg(board.frame), 1, 640, 640, polygons)
    assert caught.value.reason == Reason.MASK
    with pytest.raises(Refused) as caught:  # N109: a covered lens
        await engine.inspect(CAMERA, "t", jpeg(np.full((640, 640), 9, np.uint8)), 1, 640, 640)
    assert caught.value.reason == Reason.IMAGE_COVERED
    task.cancel()
    await engine.stop()
