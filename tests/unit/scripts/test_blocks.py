"""How blocks of commands in pages are read: what is run, what is not, and what is no block."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts/blocks.py"


@pytest.fixture(scope="module")
def blocks():
    spec = importlib.util.spec_from_file_location("blocks_script", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["blocks_script"] = module
    spec.loader.exec_module(module)
    return module


def read(blocks, text: str):
    return blocks.page_of("page.md", text).blocks


def test_an_indented_block_is_run_as_it_stands(blocks):
    (block,) = read(blocks, "Do:\n\n    make x\n    for a in b; do\n      c\n    done\n\nThen.\n")
    assert block.kind is blocks.Kind.RUN and block.at == 3
    assert block.text == "make x\nfor a in b; do\n  c\ndone\n"


def test_a_gap_in_a_block_is_a_part_of_it(blocks):
    (block,) = read(blocks, "\n    a\n\n    b\n")
    assert block.text == "a\n\nb\n"


def test_a_line_that_goes_on_in_a_paragraph_is_no_block(blocks):
    assert read(blocks, "- a list\n    goes on\n") == ()


def test_fences(blocks):
    sh, bare, toml = read(blocks, "```sh\na\n```\n\n```\nb\n```\n\n```toml\n    c = 1\n```\n")
    kinds = [b.kind for b in (sh, bare, toml)]
    assert kinds == [blocks.Kind.RUN, blocks.Kind.RUN, blocks.Kind.TEXT]


@pytest.mark.parametrize(
    ("told", "kind", "member", "value"),
    [
        ("text", "TEXT", "until", ""),
        ("unrun, it needs a PLC", "UNRUN", "why", "it needs a PLC"),
        ('stays, until "up"', "STAYS", "until", "up"),
        ('until "a b"', "RUN", "until", "a b"),
        ("ends with 6", "RUN", "code", 6),
        ('answers "y"', "RUN", "answer", "y"),
    ],
)
def test_what_a_comment_says_holds_for_the_next_block_alone(blocks, told, kind, member, value):
    first, second = read(blocks, f"<!-- block: {told} -->\n\n    a\n\nmore\n\n    b\n")
    assert first.kind is blocks.Kind[kind] and getattr(first, member) == value
    assert second.kind is blocks.Kind.RUN
    assert not (second.until or second.code or second.answer)


def test_a_comment_with_words_between_holds_for_nothing(blocks):
    (block,) = read(blocks, "<!-- block: unrun, x -->\n\nWords.\n\n    a\n")
    assert block.kind is blocks.Kind.RUN


@pytest.mark.parametrize(
    "told", ["unrun", "unrun, ", "skip", "ends with six", "until up", "answers y", 'answers ""']
)
def test_a_comment_that_says_nothing_known(blocks, told):
    with pytest.raises(blocks.Unreadable):
        read(blocks, f"<!-- block: {told} -->\n\n    a\n")


def test_a_comment_about_the_page(blocks):
    page = blocks.page_of(
        "p", "<!-- blocks: on make try -->\n<!-- blocks: given a b -->\n\n    c\n"
    )
    assert page.on_try and page.given == ("a b",) and page.runs and not page.each
    assert blocks.page_of("p", "<!-- blocks: each . ./env -->\n\n    c\n").each == (". ./env",)
    with pytest.raises(blocks.Unreadable):
        blocks.page_of("p", "<!-- blocks: on the moon -->\n")


def test_made_pages_hold_no_commands_to_run(blocks):
    text = "# x\n\nMade from the commands themselves by `make pages`; do not edit.\n\n    x FILE\n"
    (block,) = read(blocks, text)
    assert block.kind is blocks.Kind.TEXT


def test_the_repository_has_as_many_unrun_blocks_as_it_says(blocks):
    assert blocks.main() == 0


def test_a_page_that_another_test_follows_is_not_run_here(blocks):
    text = "<!-- blocks: by tests/unit/scripts/test_blocks.py -->\n\n    make x\n"
    page = blocks.page_of("page.md", text)
    assert page.by and not page.runs
    with pytest.raises(blocks.Unreadable, match="a test that follows this page"):
        blocks.page_of("page.md", text.replace("test_blocks", "no_such_test"))


@pytest.mark.parametrize("text", ["{format: a (b), c}", "for a in b", "a 'b"])
def test_a_block_that_no_shell_reads_is_told(blocks, text):
    def page(said: str):
        return blocks.page_of("page.md", f"{said}\n\n    {text}\n")

    with pytest.raises(blocks.Unreadable, match="expected commands"):
        blocks._require_shell(page(""))
    blocks._require_shell(page("<!-- block: text -->"))
    blocks._require_shell(page("<!-- block: unrun, nobody can -->"))
