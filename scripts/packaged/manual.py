"""A manual page of a program, written from its commands (groff_man(7))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from framegate_host import console
from made.commands import Command

_CODES: Final = (
    ("0", "done"),
    (str(console.EXIT_FAILED), "failed"),
    (str(console.EXIT_USAGE), "wrong use"),
    (str(console.EXIT_NOT_FOUND), "not found"),
    (str(console.EXIT_DENIED), "denied"),
    (str(console.EXIT_CONFLICT), "in conflict with what is there"),
    (str(console.EXIT_UNTRUSTED), "untrusted"),
    (str(console.EXIT_UNAVAILABLE), "unavailable now"),
)


def manual(program: Command, version: str, about: str, date: str) -> str:
    """The page of `program`, section 1; `date` as YYYY-MM-DD."""
    name = program.path
    lines = [
        f'.TH {_roff(name.upper())} 1 {date} "Framegate {version}" "Framegate"',
        ".SH NAME",
        f"{_roff(name)} \\- {_roff(about)}",
        ".SH SYNOPSIS",
        f".B {_roff(name)}",
        ".I command",
        "[\\fIoptions\\fR]",
        ".SH DESCRIPTION",
        *_paragraphs(program.help),
        ".SH COMMANDS",
    ]
    for leaf in program.leaves():
        lines += _command(leaf, name)
    lines.append(".SH EXIT STATUS")
    for code, meaning in _CODES:
        lines += [".TP", f".B {code}", _roff(meaning)]
    return "\n".join(line for line in lines if line) + "\n"


def _command(leaf: Command, program: str) -> Iterator[str]:
    arguments = [_shown(p) for p in leaf.parameters if p.param_type_name == "argument"]
    path = leaf.path.removeprefix(f"{program} ")
    yield f'.SS "{_roff(" ".join([path, *arguments]))}"'
    yield from _paragraphs(leaf.help)
    for p in leaf.parameters:
        yield ".TP"
        if p.param_type_name == "argument":
            yield f".I {_roff(_shown(p))}"
        else:
            names = ", ".join(f"\\fB{_roff(o)}\\fR" for o in (*p.opts, *p.secondary_opts))
            yield names if p.is_flag else f"{names} \\fI{_roff(_shown(p))}\\fR"
        yield _roff(_plain(getattr(p, "help", None) or "") or "See above.")


def _shown(p: Any) -> str:
    return str(p.metavar or (p.name or "").upper()).strip("[]<>") + ("..." if p.nargs == -1 else "")


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", _plain(text).strip())):
        if number:
            yield ".PP"
        yield _roff(" ".join(paragraph.split()))


def _plain(text: str) -> str:
    return text.replace("\\[", "[").replace("\b", "")


def _roff(text: str) -> str:
    """`text` as itself: no hyphens for minus signs, no request at a line's begin."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    escaped = escaped.replace('"', "\\(dq").replace("\N{HORIZONTAL ELLIPSIS}", "...")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
