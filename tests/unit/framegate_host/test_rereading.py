"""Settings that are read again while a program runs."""

import logging

import pytest

from framegate.errors import Refused
from framegate_host.rereading import Rereader
from framegate_host.settings import Given
from framegate_line.settings import LineSettings

BASE = """line = "press-7"
camera = ["camera.line-1.cam1"]
credentials = "/etc/framegate/line"
broker = "broker.example.net:8883"
broker_name = "broker.plant.framegate"
"""


@pytest.fixture
def level():
    root = logging.getLogger()
    before = root.level
    yield root
    root.setLevel(before)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "line.toml"
    path.write_text(BASE)
    return path


def told(caplog):
    return [r.getMessage() for r in caplog.records]


def test_what_can_hold_at_once_does(file, level, caplog):
    reader = Rereader(LineSettings, Given(file))
    level.setLevel(logging.WARNING)
    file.write_text(BASE + "verbose = true\n")
    reader.read_again()
    assert level.level == logging.INFO and told(caplog) == []
    file.write_text(BASE)
    reader.read_again()
    assert level.level == logging.WARNING


def test_what_waits_for_the_next_start_is_named_each_time(file, caplog):
    reader = Rereader(LineSettings, Given(file))
    file.write_text(BASE.replace("press-7", "press-8") + "deadline_ms = 900\n")
    reader.read_again()
    reader.read_again()  # it still waits
    assert told(caplog) == ["settings that hold from the next start on: line, deadline_ms"] * 2
    file.write_text(BASE)
    reader.read_again()  # it was taken back: nothing waits
    assert len(told(caplog)) == 2


@pytest.mark.parametrize("wrong", ["verbos = true\n", "deadline_ms = 0\n", "not toml"])
def test_a_file_that_is_wrong_changes_nothing_and_is_told(file, level, caplog, wrong):
    reader = Rereader(LineSettings, Given(file))
    level.setLevel(logging.WARNING)
    file.write_text(BASE + "verbose = true\n" + wrong)
    reader.read_again()
    assert level.level == logging.WARNING and "those of before hold" in told(caplog)[0]
    file.unlink()
    reader.read_again()
    assert "those of before hold" in told(caplog)[1]


def test_a_flag_outdoes_the_file_at_a_reload_too(file, caplog):
    reader = Rereader(LineSettings, Given(file, {}, {"deadline_ms": ("700",)}))
    file.write_text(BASE + "deadline_ms = 900\n")
    reader.read_again()
    assert told(caplog) == []


def test_settings_that_are_wrong_from_the_start_are_refused(tmp_path):
    with pytest.raises(Refused):
        Rereader(LineSettings, Given(tmp_path / "none.toml"))
