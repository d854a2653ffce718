"""Tables at the widths that people have: nothing that is copied is broken in two."""

import pytest
from rich.console import Console

from framegate_operator import tables

ID = "0123456789abcdef" * 4
WORDS = "what a person wrote about it in some words of a sentence that goes on and on"


@pytest.fixture(params=[40, 60, 80, 120])
def shown(request, monkeypatch, capsys):
    def at(columns, rows):
        monkeypatch.setattr(tables, "data", Console(width=request.param, highlight=False))
        tables.show_table(columns, rows, empty="nothing")
        return capsys.readouterr().out, request.param

    return at


@pytest.mark.parametrize(
    "rows",
    [
        [("cam1", ID, WORDS), ("cam2", ID, "")],
        [("camera.line-1.cam1", "camera.line-1.cam1", WORDS)],
        [("a", "b", "c")],
        [(WORDS.replace(" ", "_")[:30], "x", WORDS)],
        [("[red]x[/]", ID, "a\x1b[2J")],
    ],
)
def test_no_id_is_folded_and_no_line_of_words_is_too_wide(shown, rows):
    text, width = shown(("name", "sha256", "why"), rows)
    for row in rows:
        for cell in row[:2]:
            assert cell in text, f"broken at {width} columns"
    for word in WORDS.split() if rows[0][2] == WORDS else ():
        assert word in text
    assert "\x1b[2J" not in text
    if not any(len(line) > width for line in text.splitlines()):
        return
    assert "name" in text.splitlines()[0], "rows of their own, which the terminal wraps"


def test_facts_of_one_thing_stay_whole(shown):
    text, _ = shown(("", ""), [("EK", ID), ("state", "trusted"), ("note", WORDS)])
    assert ID in text and "trusted" in text


def test_a_short_id_is_its_beginning():
    assert ID.startswith(tables.short_id(ID)) and len(tables.short_id(ID)) == 12
