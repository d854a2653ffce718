"""Whether the commands in pages are commands that the programs, or the Makefile, have."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from made.commands import HANDED_OVER, PROGRAMS, Command, programs

PAGES: Final = (
    "*.md",
    "docs/**/*.md",
    "docs/reasons.toml",
    "firmware_profiles/*.md",
    ".github/**/*.md",
)
HISTORY: Final = ("CHANGELOG.md", "docs/adr/")
"""What tells of the past names commands that may be gone."""
_CODE: Final = re.compile(r"`([^`\n]+)`")
_START: Final = re.compile(rf"(?<![\w/.-])({'|'.join(sorted(PROGRAMS, reverse=True))})(?=\s|$)")
_MAKE: Final = re.compile(r"(?:^|; |&& )make ([a-z][a-z-]*)")
_ENDS: Final = {";", "&", "&&", "|", ">", ")"}


def wrong(root: Path) -> list[str]:
    """A line for each example that is no command, with its place."""
    faults = []
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text("utf-8"), re.M))
    for pattern in PAGES:
        for page in sorted(root.glob(pattern)):
            name = str(page.relative_to(root))
            if not name.startswith(HISTORY):
                text = page.read_text("utf-8")
                faults += [f"{name}:{at}: {problem}" for at, problem in _problems(text, targets)]
    return faults


def _problems(text: str, targets: set[str]) -> Iterator[tuple[int, str]]:
    for at, line in _code(text.splitlines()):
        for target in _MAKE.findall(line.strip()):
            if target not in targets:
                yield at, f"no make {target}"
        for match in _START.finditer(line):
            problem = _problem(match[1], _words(line[match.end() :]))
            if problem:
                yield at, problem


def _code(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Lines of code blocks, joined where they go on, and code within prose."""
    fenced, going, start = False, "", 0
    for at, line in enumerate(lines, start=1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            start = start if going else at
            going += line.removesuffix("\\")
            if not line.endswith("\\"):
                yield start, re.sub(r"\s#\s.*", "", going)
                going = ""
        else:
            yield from ((at, code) for code in _CODE.findall(line))


def _words(rest: str) -> list[str]:
    lexer = shlex.shlex(rest, posix=True, punctuation_chars=";&|>)")
    lexer.whitespace_split, lexer.commenters = True, ""
    argv: list[str] = []
    try:
        for word in lexer:
            if word in _ENDS:
                break
            argv.append(word)
    except ValueError:  # a quote that ends on another line
        pass
    return argv


def _problem(program: str, argv: list[str]) -> str:
    command: Command = programs()[program]
    while argv and command.below:
        word = argv[0]
        if not re.fullmatch(r"[a-z][a-z0-9-]*", word):  # VERB, …, or an option of the group
            return ""
        if word not in command.below:
            return f"{command.path} has no command {word}"
        command = command.below[word]
        argv = argv[1:]
        if command.path in HANDED_OVER:
            other, *more = HANDED_OVER[command.path].split()
            return _problem(other, [*more, *argv])
    for word in argv:
        option = word.partition("=")[0]
        if re.fullmatch(r"--?[a-z][a-z-]*", option) and option not in command.options:
            return f"{command.path} has no option {option}"
    return ""
