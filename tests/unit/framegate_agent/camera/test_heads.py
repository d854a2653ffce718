"""What a camera signs for, through its death and restart."""

import asyncio
import errno
import os
import shutil
import time

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate_agent.camera.heads import HeadSpool, sign_owed
from framegate_gateway.receipts.store import ReceiptStore
from framegate_simulators.fixtures.gateway import CAMERA


async def test_a_camera_that_died_signs_for_what_it_sealed(receipts_desk, tmp_path):
    spki = b"this boot's key"
    spool = HeadSpool(tmp_path / "heads", spki)
    owed = spool.begin("gateway.line-1.gw1", b"s" * 16, CAMERA, bytes(32))
    for number in range(3):
        owed.sealed(bytes([number]) * 32)
    owed.answered(1)
    with next((tmp_path / "heads").glob("*.frames")).open("ab") as file:
        file.write(b"L\0\0")  # a record that the power cut in half
    again = HeadSpool(tmp_path / "heads", spki).owed[b"s" * 16]
    assert (again.count, again.unanswered, again.host, again.live) == (
        3,
        {0, 2},
        "gateway.line-1.gw1",
        False,
    )
    assert sign_owed(again, receipts_desk.camera, 1).leaves == bytes(32) + b"\1" * 32 + b"\2" * 32
    spool.paid(b"s" * 16)
    owed.answered(
        2
        # the answer comes after the head was taken: no file is written any more, least of all
        # somebody
        # else's
    )
    owed = spool.begin("gateway.line-1.gw1", b"t" * 16, CAMERA, bytes(32))
    owed.sealed(bytes(32))
    assert not HeadSpool(tmp_path / "heads", b"another boot's key").owed, (
        "nobody can sign for another key's frames"
    )
    assert not list((tmp_path / "heads").glob("*"))


def test_numbers_survive_restarts(tmp_path):
    for expected in (1, 2):
        store = ReceiptStore(tmp_path)
        assert store.last == expected - 1

        async def add(store=store):
            from framegate_gateway.receipts.rows import LeafRow

            number = store.next_number()
            await store.append(
                LeafRow(number, f"{number:032x}", "verdict", "d", b"", 0, "p", 1, b"x")
            )

        asyncio.run(add())
        store.close()
    assert time.time() and Encoding.DER


def test_a_disk_without_room_leaves_no_head_that_accuses_a_gateway(tmp_path, monkeypatch):
    """What was sealed after the last record that had room would be missing in it."""
    spool = HeadSpool(tmp_path / "heads", b"key")
    owed = spool.begin("gateway.line-1.gw1", b"s" * 16, CAMERA, bytes(32))
    owed.sealed(bytes(32))
    real = os.write

    def full(descriptor, data):
        return real(descriptor, data[:7])

    monkeypatch.setattr(os, "write", full)
    owed.sealed(b"\1" * 32)
    monkeypatch.undo()
    owed.answered(0)
    assert (owed.count, owed.unanswered) == (2, {1}), "this process signs for all of them"
    assert not HeadSpool(tmp_path / "heads", b"key").owed


@pytest.mark.parametrize("how", ["removed", "full", "no folder"])
def test_a_disk_that_takes_nothing_costs_a_session_its_file_and_not_the_camera(
    tmp_path, how, monkeypatch
):
    folder = tmp_path / "state" / "heads"
    spool = HeadSpool(folder, b"this boot's key")
    if how == "removed":
        shutil.rmtree(tmp_path / "state")
    elif how == "no folder":
        shutil.rmtree(tmp_path / "state")
        (tmp_path / "state").touch()
    else:

        def full(*_given):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "write", full)
    owed = spool.begin("gateway.line-1.gw1", b"s" * 16, CAMERA, bytes(32))
    owed.sealed(bytes(32))
    owed.answered(0)
    assert owed.count == 1 and not owed.unanswered
    spool.paid(b"s" * 16)
    if how == "removed":
        assert (tmp_path / "state").stat().st_mode & 0o077 == 0, "made again, for its owner alone"
