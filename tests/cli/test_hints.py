"""Every command that a message names is one: a `next` that does not work is worse than none."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from support.command_walk import PROGRAMS, leaves

ROOT = Path(__file__).parents[2]
FOLDERS = ("agent", "controller", "core", "simulators")
NAMED = re.compile(
    r"(?<![\w/.-])(framegate(?:-[a-z]+)?)((?: [a-z][a-z-]*)+)((?: [^\s`'\";,:()]+)*)"
)
WRITTEN = {"out", "root", "folder", "state", "target", "path", "file", "outline", "part_type"}
"""What people name as they like: in a command that they are to type it is quoted, see `typed`."""
QUOTED = re.compile(r"\b(typed|quote|elsewhere)\(")
HANDED_OVER = {"framegate-gateway model", "framegate-gateway data"}


@cache
def commands():
    """Options by command."""
    return {
        str(leaf): {o for p in leaf.parameters for o in (*p.opts, *p.secondary_opts)}
        for leaf in leaves()
    }


@cache
def groups():
    return {" ".join(name.split()[:n]) for name in commands() for n in (1, 2)} - set(commands())


def named(text):
    """(command, options) of every command that a text names; words of a sentence behind a program's
    name are none.
    """
    flat = re.sub(r'"\s*\n\s*f?"', "", text)
    for program, words, rest in NAMED.findall(flat):
        if program not in PROGRAMS:
            continue
        tokens = words.split()
        for most in (2, 1):
            name = " ".join([program, *tokens[:most]])
            if name in commands() or name in groups():
                yield name, tokens[most:], re.findall(r" (--[a-z-]+)", rest)
                break
        else:
            yield " ".join([program, *tokens]), [], []


SENTENCES = {
    "cannot",
    "has",
    "is",
    "was",
    "as",
    "on",
    "and",
    "from",
    "agent",
    "commands",
    "itself",
    "knows",
    "takes",
    "says",
    "of",
    "client",
    "process",
    "host",
    "writes",
    "events",
    "hands",
    "allowlist",
    "simulated",
    "try",
}


def wrong(text):
    """Commands that a text names and that are none, or have no such option."""
    for name, more, options in named(text):
        if name in HANDED_OVER or name.split()[1] in SENTENCES:
            continue
        if name in groups() and more and more[0] not in SENTENCES:
            yield f"{name} {more[0]}"
        elif name not in commands() and name not in groups():
            yield name
        elif unknown := set(options) - commands().get(name, set(options)) - {"--help", "--watch"}:
            yield f"{name} {sorted(unknown)}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_commands_in_messages_exist(folder):
    sources = sorted((ROOT / folder).rglob("*.py"))
    assert len(sources) > 20
    assert [f"{s.relative_to(ROOT)}: {w}" for s in sources for w in wrong(s.read_text())] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("next: framegate camera relaese NAME", ["framegate camera relaese"]),
        ("next: framegate camera list --zoen x", ["framegate camera list ['--zoen']"]),
        (
            "next: framegate camera release NAME --resaon x",
            ["framegate camera release ['--resaon']"],
        ),
        ("framegate camera release NAME --reason x", []),
        ("framegate-controller inti", ["framegate-controller inti"]),
    ],
)
def test_a_command_that_is_none_is_seen(text, said):
    assert list(wrong(text)) == said


def unquoted(tree):
    """(line, name) of what stands in a printed command as somebody named it, and not as it has to
    be typed.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr):
            continue
        said = ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                said += str(part.value)
            elif isinstance(part, ast.FormattedValue):
                command = re.search(r"framegate(-[a-z]+)? [a-z][^;,]*$", said) is not None
                bare = {n.id for n in ast.walk(part.value) if isinstance(n, ast.Name)} & WRITTEN
                if command and bare and not QUOTED.search(ast.unparse(part.value)):
                    yield node.lineno, ast.unparse(part.value)
                said += "X"


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_command_that_is_printed_can_be_pasted_whatever_its_files_are_called(folder):
    wrongs = [
        f"{source.relative_to(ROOT)}:{line}: {name}"
        for source in sorted((ROOT / folder).rglob("*.py"))
        for line, name in unquoted(ast.parse(source.read_text()))
    ]
    assert wrongs == []


def test_a_name_that_is_not_quoted_is_seen():
    bad = 'talk.print(f"{out}; next: framegate audit verify {out} --root {safe(root)}")'
    good = 'talk.print(f"{out}; next: framegate audit verify {typed(out)} --root {typed(root)}")'
    assert [n for _, n in unquoted(ast.parse(bad))] == ["out", "safe(root)"]
    assert list(unquoted(ast.parse(good))) == []
