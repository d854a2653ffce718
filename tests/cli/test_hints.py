"""Every command that a message names is one: a `next` that does not work is worse than none."""

import re
from pathlib import Path

import pytest

from support.command_walk import PROGRAMS, leaves

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in ("agent", "controller", "core", "simulators")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
COMMANDS = {
    str(leaf): {o for p in leaf.parameters for o in (*p.opts, *p.secondary_opts)}
    for leaf in leaves()
}
GROUPS = {" ".join(name.split()[:n]) for name in COMMANDS for n in (1, 2)} - set(COMMANDS)
NAMED = re.compile(
    r"(?<![\w/.-])(framegate(?:-[a-z]+)?)((?: [a-z][a-z-]*)+)((?: [^\s`'\";,:()]+)*)"
)
HANDED_OVER = {"framegate-gateway model", "framegate-gateway data"}


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
            if name in COMMANDS or name in GROUPS:
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


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_in_messages_exist(path):
    for name, _, options in named(path.read_text()):
        if name in HANDED_OVER or name.split()[1] in SENTENCES:
            continue
        assert name in COMMANDS or name in GROUPS, f"{path}: {name}"
        if name in COMMANDS:
            unknown = set(options) - COMMANDS[name] - {"--help", "--watch"}
            assert not unknown, f"{path}: {name} has no {unknown}"
