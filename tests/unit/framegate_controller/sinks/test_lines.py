"""Files, standard output, and syslog's frames."""

import getpass
import grp
import gzip
import json
import os
import re
import shutil
import subprocess

import pytest

from framegate_controller.sinks.delivery import SinkFailed
from framegate_controller.sinks.lines import FILE, FileSink, OutputSink
from framegate_controller.sinks.syslog import frame
from support.ocsf_entries import every_entry
from support.paths import ROOT
from support.sinks import outgoing

EVERY = [outgoing(raw) for raw in every_entry()]
BATCH = EVERY[:4]


def indices(path):
    return [json.loads(line)["metadata"]["sequence"] for line in path.read_bytes().splitlines()]


def test_a_file_is_its_owners_alone(tmp_path):
    FileSink(tmp_path).deliver(BATCH)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert indices(tmp_path / FILE) == [0, 1, 2, 3]


@pytest.mark.parametrize("cut", [1, 5, 200])
def test_n150_a_line_that_a_crash_cut_short_is_taken_off(tmp_path, cut):
    FileSink(tmp_path).deliver(BATCH)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:-cut])
    FileSink(tmp_path).deliver(BATCH[3:])
    assert (tmp_path / FILE).read_bytes() == whole


def test_a_file_of_one_long_cut_line_is_emptied(tmp_path):
    (tmp_path / FILE).write_bytes(b"x" * 200_000)
    FileSink(tmp_path).deliver(BATCH)
    assert indices(tmp_path / FILE) == [0, 1, 2, 3]


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path):
    sink = FileSink(tmp_path)
    sink.deliver(BATCH[:2])
    (tmp_path / FILE).rename(tmp_path / "old")
    sink.deliver(BATCH[2:])
    sink.close()
    assert indices(tmp_path / "old") == [0, 1]
    assert indices(tmp_path / FILE) == [2, 3]


def test_n150_a_link_in_the_files_place_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / FILE).symlink_to(tmp_path / "precious")
    with pytest.raises(SinkFailed):
        FileSink(tmp_path).deliver(BATCH)
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_folder_or_a_full_disk_is_said(tmp_path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(SinkFailed, match=re.escape(FILE)):
        FileSink(tmp_path).deliver(BATCH)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(SinkFailed, match="space"):
            OutputSink(full).deliver(BATCH)
    finally:
        os.close(full)


def test_output_is_lines(tmp_path):
    reading, writing = os.pipe()
    OutputSink(writing).deliver(BATCH)
    os.close(writing)
    with os.fdopen(reading, "rb") as out:
        assert [json.loads(line) for line in out] == [o.event for o in BATCH]


FRAME = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([!-~]{1,255}) framegate -"
    rb' ([!-~]{1,32}) \[meta sequenceId="(\d+)"\] \xef\xbb\xbf(.*)',
    re.DOTALL,
)


def test_frames_count_octets_and_messages_are_rfc_5424(tmp_path):
    for out in EVERY:
        count, message = frame(out).split(b" ", 1)
        assert int(count) == len(message)
        matched = FRAME.fullmatch(message)
        assert matched is not None, message[:200]
        assert int(matched[1]) // 8 == 13
        assert int(matched[1]) % 8 == {1: 6, 2: 5, 3: 4, 4: 3, 5: 2}[out.event["severity_id"]]
        assert json.loads(matched[6]) == out.event
        assert b"\n" not in message


def test_n150_words_of_others_make_no_second_message_and_no_header():
    for out in EVERY:
        assert b"\n" not in out.body
        assert b"\x00" not in out.body
        assert out.body.isascii()


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="logrotate is not installed")
def test_logrotate_moves_it_by_the_packages_rules_and_no_line_is_lost(tmp_path):
    folder = tmp_path / "sinks" / "archive"
    folder.mkdir(parents=True, mode=0o700)
    rules = (ROOT / "packaging/logrotate/framegate-controller").read_text()
    own = f"su {getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name}"
    rules = rules.replace("/var/lib/framegate-controller", str(tmp_path))
    rules = rules.replace("su framegate-controller framegate-controller", own)
    assert str(tmp_path) in rules and own in rules
    (tmp_path / "rules").write_text(rules)
    sink, some = FileSink(folder), EVERY[:8]
    for entry in some:
        sink.deliver([entry])
        argv = ["logrotate", "--force", "--state", tmp_path / "state", tmp_path / "rules"]
        subprocess.run(argv, check=True, capture_output=True)
        if entry.index % 2:  # at every other turn nothing has come: nothing is moved
            subprocess.run(argv, check=True, capture_output=True)
    sink.deliver(EVERY[:1])
    sink.close()
    assert indices(folder / FILE) == [0]
    kept = sorted(folder.glob(f"{FILE}.*"), key=lambda p: int(p.name.split(".")[2]), reverse=True)
    lines = b"".join(gzip.decompress(p.read_bytes()) for p in kept if p.suffix == ".gz")
    lines += (folder / f"{FILE}.1").read_bytes()
    assert [json.loads(line) for line in lines.splitlines()] == [o.event for o in some]
    assert len(kept) == len(some)
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o600}
