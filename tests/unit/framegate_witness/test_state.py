"""A witness's folder: its key, what it watches, and what it does where the folder is damaged."""

import stat

import pytest

from framegate.errors import Malformed, Reason, Refused, Unavailable
from framegate.transparency.note import parse_note_key
from framegate_witness.state import WitnessState, make_witness, shown, watch_log
from support.refusals import refused

LOG = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
WITNESS = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"


@pytest.fixture
def folder(tmp_path):
    make_witness(tmp_path / "w", "witness.example")
    return tmp_path / "w"


def test_a_key_is_made_once_and_is_its_owners_alone(folder):
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    known, watched = shown(folder)
    assert parse_note_key(known.text) == known
    assert watched == ()
    assert refused(lambda: make_witness(folder, "witness.example"), Refused) == Reason.CONFLICT
    assert shown(folder)[0] == known


@pytest.mark.parametrize("name", ["", "two words", "a+b", "line\nend", "x" * 201])
def test_a_name_that_is_none_makes_no_folder_of_a_witness(tmp_path, name):
    assert refused(lambda: make_witness(tmp_path / "w", name), Malformed) == Reason.MALFORMED


def test_a_log_is_watched_by_its_own_key_and_by_no_witnesss(folder):
    assert watch_log(folder, parse_note_key(LOG))
    assert refused(lambda: watch_log(folder, parse_note_key(WITNESS)), Malformed) == Reason.USAGE
    state = WitnessState(folder)
    assert state.origins == ("PeterNeumann",)
    state.close()


def test_a_folder_that_is_none_says_how_one_is_made(tmp_path):
    (tmp_path / "empty").mkdir(mode=0o700)
    with pytest.raises(Unavailable) as caught:
        WitnessState(tmp_path / "empty")
    assert "framegate witness init" in caught.value.failures[0].hint
    with pytest.raises(Unavailable):
        watch_log(tmp_path / "empty", parse_note_key(LOG))


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"at_s": 1, "note": "x"}', b"\xff"])
def test_a_head_that_was_edited_is_no_start_from_nothing(folder, content):
    from framegate_witness.state import _head_file

    watch_log(folder, parse_note_key(LOG))
    (folder / "heads").mkdir()
    _head_file(folder, "PeterNeumann").write_bytes(content)
    assert refused(lambda: WitnessState(folder), Malformed) == Reason.MALFORMED


def test_a_key_of_another_kind_is_refused(folder):
    (folder / "key.pem").write_text("no key")
    assert refused(lambda: WitnessState(folder), Malformed) == Reason.USAGE
