"""Witness files."""

import resource

import pytest

from framegate.errors import Malformed
from framegate.record.witness import head_line
from framegate_controller.record.ledger import checkpoint
from framegate_host import witness_file
from framegate_host.witness_file import last_head, newest_heads, read_heads, write_head
from support.audit_log import quarantined


def test_a_witness_file_only_grows(own_log, tmp_path):
    path = tmp_path / "heads.jsonl"
    assert (
        write_head(path, own_log.heads[1])
        and not write_head(path, own_log.heads[0])
        and not write_head(path, own_log.heads[1])
    )
    assert write_head(path, own_log.heads[2]) and read_heads(path) == own_log.heads[1:]


def test_a_witness_file_of_months_is_appended_to_and_started_on_by_its_end_alone(
    own_log, tmp_path, monkeypatch
):
    path = tmp_path / "heads.jsonl"
    path.write_bytes((head_line(own_log.heads[0]) + b"\n") * 100)
    monkeypatch.setattr(
        "framegate_host.witness_file.MAX_WITNESS_BYTES", 1000
    )  # it is longer than what is read whole
    assert (
        write_head(path, own_log.heads[2])
        and last_head(path) == own_log.heads[2]
        and not write_head(path, own_log.heads[1])
    )
    assert last_head(tmp_path / "none") is None
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(Malformed):
        write_head(path, own_log.heads[2])


def test_a_disk_without_room_leaves_no_torn_line(own_log, tmp_path):
    """A limit of the process stands for the disk: a write goes as far as there is room."""
    path = tmp_path / "heads.jsonl"
    write_head(path, own_log.heads[0])
    before, soft = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (0, 1, 100):
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, soft[1]))
        try:
            with pytest.raises(OSError):
                write_head(path, own_log.heads[1])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, soft)
        assert path.read_bytes() == before
    assert write_head(path, own_log.heads[1]) and read_heads(path) == own_log.heads[:2]


@pytest.mark.parametrize("text", ["x\n", "{}\n", '{"checkpoint"\n', "[]\n"])
def test_witness_files_that_are_damaged_are_said_so(tmp_path, text):
    path = tmp_path / "heads.jsonl"
    path.write_text(text)
    with pytest.raises(Malformed):
        read_heads(path)


@pytest.fixture
def small(monkeypatch):
    """Files that are full after two heads, and tried at each."""
    monkeypatch.setattr(witness_file, "MOVE_BYTES", 2000)
    monkeypatch.setattr(witness_file, "AGAIN_BYTES", 1)


@pytest.fixture
def many(own_log, keys):
    """Heads of one entry more each."""
    heads = []
    for number in range(24):
        with own_log.database.writing() as tx:
            tx.record(quarantined(number, device="camera.line-1.cam1"), by="operator.anna")
            heads.append(checkpoint(tx, keys))
    return heads


def names(folder):
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("heads"))


@pytest.mark.usefixtures("small")
def test_a_full_file_is_moved_aside_and_nothing_is_lost(many, tmp_path):
    path = tmp_path / "heads"
    for head in many:
        assert write_head(path, head)
        assert last_head(path) == head
    assert len(names(tmp_path)) > 5
    assert read_heads(path) == many
    assert newest_heads(path, 7) == many[-7:] and newest_heads(path, 400) == many
    for file in tmp_path.glob("heads*"):
        assert file.stat().st_size < 2 * 2000 and read_heads(file)


@pytest.mark.usefixtures("small")
def test_a_file_begins_with_the_head_that_the_one_before_ends_with(many, tmp_path):
    path = tmp_path / "heads"
    for head in many:
        write_head(path, head)
        first = path.read_bytes().splitlines()[0]
        if (tmp_path / "heads.1").exists():
            moved = max(tmp_path.glob("heads.*"), key=lambda p: int(p.suffix[1:]))
            assert moved.read_bytes().splitlines()[-1] == first


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("before", ["link", "write_public"], ids=["before it", "in the middle"])
def test_a_crash_while_it_is_moved_loses_no_head(many, tmp_path, monkeypatch, before):
    path = tmp_path / "heads"
    write_head(path, many[0])
    write_head(path, many[1])

    def dies(*_args, **_more):
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        where = witness_file.os if before == "link" else witness_file
        dying.setattr(where, before, dies)
        with pytest.raises(KeyboardInterrupt):
            write_head(path, many[2])
    assert last_head(path) == many[1] and read_heads(path) == many[:2]
    for head in many[2:]:
        assert write_head(path, head)
    assert read_heads(path) == many


@pytest.mark.usefixtures("small")
def test_a_file_system_without_second_names_gets_a_copy(many, tmp_path, monkeypatch):
    def no_links(*_args):
        raise PermissionError

    monkeypatch.setattr(witness_file.os, "link", no_links)
    path = tmp_path / "heads"
    for head in many:
        assert write_head(path, head)
    assert read_heads(path) == many and len(names(tmp_path)) > 5


@pytest.mark.usefixtures("small")
def test_where_nothing_may_be_moved_heads_go_on_and_it_is_said(many, tmp_path, monkeypatch, caplog):
    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(witness_file, "_second_name", full)
    path = tmp_path / "heads"
    for head in many:
        assert write_head(path, head)
    assert read_heads(path) == many and names(tmp_path) == ["heads"]
    assert "cannot be moved to heads.1" in caplog.text


@pytest.mark.usefixtures("small")
def test_files_that_were_packed_or_taken_away_give_no_number_twice(many, tmp_path):
    path = tmp_path / "heads"
    for head in many[:14]:
        write_head(path, head)
    moved = sorted(tmp_path.glob("heads.*"), key=lambda p: int(p.suffix[1:]))
    last = int(moved[-1].suffix[1:])
    moved[-1].rename(tmp_path / f"{moved[-1].name}.gz")
    (tmp_path / "heads.x").write_text("nobody's")
    (tmp_path / "heads.01").write_text("nobody's")
    for head in many[14:]:
        write_head(path, head)
    assert (tmp_path / f"heads.{last + 1}").exists()
    assert not (tmp_path / f"heads.{last}").exists()
    assert set(read_heads(path)) <= set(many) and read_heads(path)[-1] == many[-1]


@pytest.mark.usefixtures("small")
def test_a_link_stays_a_link(many, tmp_path):
    (tmp_path / "usb").mkdir()
    path = tmp_path / "heads"
    path.symlink_to(tmp_path / "usb" / "heads")
    for head in many[:9]:
        write_head(path, head)
    assert path.is_symlink() and names(tmp_path) == ["heads"]
    assert read_heads(tmp_path / "usb" / "heads") == many[:9] == read_heads(path)


@pytest.mark.usefixtures("small")
def test_more_files_than_are_read_at_once_are_said_so_and_the_newest_are_read(
    many, tmp_path, monkeypatch
):
    path = tmp_path / "heads"
    for head in many:
        write_head(path, head)
    monkeypatch.setattr(witness_file, "MAX_FILES", 5)
    with pytest.raises(Malformed) as caught:
        read_heads(path)
    assert "heads.1 first" in caught.value.failures[0].hint
    assert newest_heads(path, 3) == many[-3:]


@pytest.mark.parametrize("name", ["heads", "heads[1]", "heads.old"])
def test_other_files_beside_it_are_not_read(own_log, tmp_path, name):
    path = tmp_path / name
    write_head(path, own_log.heads[0])
    for other in (f"{name}.bak", f"{name}.0", f"{name}.1x", f"{name}.-1", "heads1.1"):
        (tmp_path / other).write_text("nobody's")
    assert read_heads(path) == [own_log.heads[0]] == newest_heads(path, 9)
