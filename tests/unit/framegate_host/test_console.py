"""Where a `Terminal` breaks what it prints into lines."""

import io

import pytest
from rich.table import Table

from framegate_host.console import Terminal, whole

SENTENCE = "REFUSED some.jsonl lines 1, 2: expected a receipt of site south, got one of site north"
NARROW = 40


def printed(*objects, terminal, **how):
    file = io.StringIO()
    Terminal(file=file, width=NARROW, force_terminal=terminal, color_system=None).print(
        *objects, **how
    )
    return file.getvalue().splitlines()


def test_a_sentence_for_a_program_is_one_line_however_narrow_a_terminal_is():
    assert printed(f"[red]{SENTENCE}[/]", terminal=False) == [SENTENCE]
    assert printed("[bold]two[/]", SENTENCE, terminal=False) == [f"two {SENTENCE}"]


@pytest.mark.parametrize(("terminal", "how"), [(True, {}), (False, {"soft_wrap": False})])
def test_a_terminals_columns_hold_and_so_does_what_was_asked_for(terminal, how):
    lines = printed(SENTENCE, terminal=terminal, **how)
    assert len(lines) > 1 and max(map(len, lines)) <= NARROW
    assert " ".join(map(str.strip, lines)) == SENTENCE


def test_a_table_is_as_wide_as_it_was():
    table = Table("what", box=None, pad_edge=False)
    table.add_row(SENTENCE)
    assert max(map(len, printed(table, terminal=False))) <= NARROW


def test_a_word_that_is_wider_than_its_column_is_there_to_its_end():
    """A path in a command that the doctor wants typed."""
    path = "/var/lib/framegate-agent/and/a/long/way/below/ticket"
    table = Table("what", "fix", box=None, pad_edge=False)
    table.add_row("joined", f"framegate-agent join {path}")
    told = printed(whole(table), terminal=False)
    assert max(map(len, told)) <= NARROW
    assert path in "".join(line[len("joined") :].strip() for line in told)
