"""N215: heads that are moved aside as a file fills are as good a witness as one file was."""

import pytest

from framegate.errors import Reason, Refused
from framegate.record.verify import AuditRefused, verify_log
from framegate.record.witness import head_line
from framegate_controller.record.witness import require_witnessed
from framegate_host import witness_file
from framegate_host.witness_file import read_heads, write_head
from support.registries import Registry, export


@pytest.fixture
def usb(tmp_path, monkeypatch):
    monkeypatch.setattr(witness_file, "MOVE_BYTES", 2000)
    monkeypatch.setattr(witness_file, "AGAIN_BYTES", 1)
    return tmp_path / "usb"


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "controller")


def lived(registry, usb, heads=6):
    for _ in range(heads):
        write_head(usb, registry.grow(2))


def test_n215_an_old_copy_is_known_by_a_file_that_was_begun_anew(registry, usb, tmp_path):
    copy = registry.copy(tmp_path / "copy")
    lived(registry, usb)
    assert usb.with_name("usb.2").exists()
    registry.put_back(copy)
    store = registry.store()
    with pytest.raises(Refused) as caught:
        require_witnessed(store, registry.keys, (usb,))
    store.close()
    assert caught.value.reason == Reason.CONTROLLER_BEHIND
    registry.made_good(usb)


@pytest.mark.parametrize("moment", ["link", "write_public"], ids=["not moved", "half moved"])
def test_n215_so_it_is_at_the_moment_when_it_is_moved(registry, usb, tmp_path, monkeypatch, moment):
    copy = registry.copy(tmp_path / "copy")
    write_head(usb, registry.grow(2))
    write_head(usb, registry.grow(2))

    def power_cut(*_args, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr(witness_file.os if moment == "link" else witness_file, moment, power_cut)
    with pytest.raises(KeyboardInterrupt):
        write_head(usb, registry.grow(2))
    registry.put_back(copy)
    store = registry.store()
    with pytest.raises(Refused):
        require_witnessed(store, registry.keys, (usb,))
    store.close()


def test_n215_who_rewrote_the_record_is_found_by_heads_that_were_moved_aside(
    registry, usb, tmp_path
):
    copy = registry.copy(tmp_path / "copy")
    lived(registry, usb)
    registry.put_back(copy)
    registry.grow(20, why="another life")
    lived(registry, usb)  # the witness takes these: they are of more entries than any before
    heads = [head_line(h) for h in read_heads(usb)]
    with pytest.raises(AuditRefused) as caught:
        verify_log(export(registry), registry.anchor, heads)
    assert caught.value.check == "root"
    newest = [head_line(h) for h in read_heads(usb)[-3:]]
    verify_log(export(registry), registry.anchor, newest)  # which is why the others are kept


def test_n215_a_restoration_takes_all_that_was_moved_aside_into_account(registry, usb, tmp_path):
    archive = registry.backup(tmp_path / "backup.tar")
    kept = registry.change(lambda tx: tx.log.size())
    lived(registry, usb)
    new = registry.restored(archive, tmp_path / "new", usb)
    write_head(usb, new.grow(3))
    log = verify_log(export(new), new.anchor, [head_line(h) for h in read_heads(usb)])
    assert [(e.first, e.last) for e in log.lost] == [(kept, kept + 11)]
