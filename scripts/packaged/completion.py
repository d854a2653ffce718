"""Completion for bash: the words of a program's commands, written down, so that a Tab starts no
Python.
"""

from __future__ import annotations

from collections.abc import Iterator

from made.commands import Command


def completion(program: Command) -> str:
    """A script for /usr/share/bash-completion/completions. Behind a command come its options; where
    no word of ours fits, files.
    """
    name, function = program.path, "_" + program.path.replace("-", "_")
    cases = "\n".join(_cases(program))
    return f"""# Completion of {name}, made from its commands.
{function}() {{
    local path="{name}" word at=1 words=""
    while [ "$at" -lt "$COMP_CWORD" ]; do
        word="${{COMP_WORDS[at]}}"
        case "$path $word" in
{cases}
        esac
        at=$((at + 1))
    done
    case "$path" in
{chr(10).join(_words(program))}
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}")
}}
complete -o bashdefault -o default -F {function} {name}
"""


def _cases(command: Command) -> Iterator[str]:
    """Which words lead further down."""
    for below in command.below.values():
        yield f'            "{below.path}") path="{below.path}" ;;'
        yield from _cases(below)


def _words(command: Command) -> Iterator[str]:
    words = sorted({*command.below, *command.options})
    yield f'        "{command.path}") words="{" ".join(words)}" ;;'
    for below in command.below.values():
        yield from _words(below)
