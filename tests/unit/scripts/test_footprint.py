"""What becomes of the footprint's page where a build has not measured everything."""

import json
import sys

import pytest

from support.paths import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import footprint

OLD = """# Footprint

## Packages

old sizes

## Starts

old seconds

## Images

old megabytes
"""


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Written anew where neither units nor images were measured, and nothing but them counts."""
    for name in ("PAGE", "BUILT", "UNITS_SEEN", "IMAGES_SEEN"):
        monkeypatch.setattr(footprint, name, tmp_path / name)
    footprint.BUILT.mkdir()
    (footprint.BUILT / "framegate-line_0.1.0_amd64.deb").touch()
    monkeypatch.setattr(footprint, "_sizes", lambda package: ("line", "1", "2"))
    monkeypatch.setattr(footprint.exposure, "exposures", list)

    def write():
        assert footprint.main() == 0
        return footprint.PAGE.read_text()

    return write


def test_what_was_not_measured_here_stands_as_it_was_and_that_is_told(page, capsys):
    footprint.PAGE.write_text(OLD)
    text = page()
    assert "## Starts\n\nold seconds\n\n## Images\n\nold megabytes\n" in text
    assert "old sizes" not in text and "| line | 1 | 2 |" in text
    told = capsys.readouterr().err
    assert "for want of a make units-test here" in told and "make image" in told


def test_what_was_measured_here_takes_the_place_of_what_stood_there(page, capsys):
    footprint.PAGE.write_text(OLD)
    footprint.UNITS_SEEN.write_text(json.dumps({"line": 0.3}))
    footprint.IMAGES_SEEN.write_text(json.dumps({"bytes": {"line": 333_000_000}}))
    text = page()
    assert "old" not in text and "0.3" in text and "333" in text
    assert capsys.readouterr().err == ""


def test_where_nobody_ever_measured_there_is_no_section(page):
    assert "## Starts" not in page()
