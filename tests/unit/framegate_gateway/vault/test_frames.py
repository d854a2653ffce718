"""Frames at rest: sealed, expired, erased, damaged."""

import sqlite3

import numpy as np
import pytest

from framegate.errors import Reason, Refused
from framegate_gateway.vault.frames import QUEUE, FrameVault
from framegate_gateway.vault.keys import VaultKeys
from framegate_simulators.boards.boards import draw_board
from support.vault import CAMERA, IMAGE, NOW, verdict, written


def test_frames_come_back_as_they_were(vault):
    for number in range(50):
        vault.keep(
            verdict(f"{number:032x}", IMAGE + bytes([number]), "DEFECT" if number % 2 else "PASS"),
            IMAGE + bytes([number]),
            1,
            0,
        )
    written(vault)
    assert (
        vault.get(f"{7:032x}").image == IMAGE + b"\x07"
        and vault.get(f"{7:032x}").outcome == "DEFECT"
    )
    assert (
        [h.frames for h in vault.holdings()] == [25, 25]
        and vault.identifiers(CAMERA, 0, 3)
        and vault.dropped == 0
    )


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
        for magic in (
            IMAGE[:20],
            b"\x89PNG\r\n\x1a\n",
            IMAGE[200:232],
            raw[300, :64].tobytes(),
            b"k" * 32,
        ):
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
    assert vault.get("3" * 32).image == IMAGE and vault.erase(
        "camera.line-1.nobody", "", "x", NOW
    ) == (0, 0)


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
