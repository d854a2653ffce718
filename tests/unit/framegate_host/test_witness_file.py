"""Witness files."""

import pytest

from framegate.errors import Malformed
from framegate.record.witness import head_line
from framegate_host.witness_file import last_head, read_heads, write_head


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


@pytest.mark.parametrize("text", ["x\n", "{}\n", '{"checkpoint"\n', "[]\n"])
def test_witness_files_that_are_damaged_are_said_so(tmp_path, text):
    path = tmp_path / "heads.jsonl"
    path.write_text(text)
    with pytest.raises(Malformed):
        read_heads(path)
