"""Files that somebody else wrote: what is text in a good one steers a terminal, one piece of it at
a time and all at once, in the form that its readers take for text.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

STEERS = (
    "\x1b[2J\x1b]0;owned\x07\x1b]8;;http://evil\x1b\\\u202e\x9b2J\n[bold]all is well[/] :skull:"
)
"""Clears a screen, names a window, hides an address behind words, turns the order of letters, and
begins a line of its own, in bold where markup is not taken as text.
"""
NAME = "a\x1b[2J\u202e\n[bold]all is well[bold]"
"""The same as the name of a file."""
_STEERING = ("\x1b", "\x07", "\x9b", "\u202e", "\U0001f480")
_OWN_LINE = ("all is well", "[bold]all is well")
_RUN = re.compile(rb"[\x20-\x7e]{8,}")
_QUOTED = re.compile(r'"[^"\\\n]{3,}"')


def faults_of(done: Any) -> list[str]:
    """What is wrong with how a command ended, an `Ended`."""
    said = done.out + done.err
    found = [f"a traceback: {done.err[-900:]}"] if "Traceback" in said else []
    found += (
        [f"it did not end by itself: {done.code}"]
        if done.code < 0 or done.code in {97, 98, 99}
        else []
    )
    found += [f"it steers: {_around(said)}"] if any(s in said for s in _STEERING) else []
    own = any(line.startswith(_OWN_LINE) for line in said.splitlines())
    return found + ([f"a line of theirs: {said[:300]!a}"] if own else [])


def _around(said: str) -> str:
    at = min(said.index(s) for s in _STEERING if s in said)
    return ascii(said[max(0, at - 150) : at + 150])


def in_bytes(good: bytes, most: int) -> Iterator[bytes]:
    """`good` with every run of letters of the same length and hostile, then one run after another,
    at most so many: lengths before them, and what is no text, stay right.
    """
    runs = list(_RUN.finditer(good))
    yield _RUN.sub(lambda run: _filled(len(run[0])), good)
    for run in runs[:: max(1, len(runs) // most)][:most]:
        yield good[: run.start()] + _filled(len(run[0])) + good[run.end() :]


def in_json(good: bytes, most: int) -> Iterator[bytes]:
    """A JSON document with every text in it hostile, then one after another."""
    body = json.loads(good)
    count = _count(body)
    yield json.dumps(_replaced(body, range(count))).encode()
    for at in list(range(count))[:: max(1, count // most)][:most]:
        yield json.dumps(_replaced(body, range(at, at + 1))).encode()


def in_quotes(good: bytes, most: int) -> Iterator[bytes]:
    """TOML, YAML or Cedar with each text in double quotes hostile, one after another."""
    text, hostile = good.decode(), json.dumps(STEERS)
    found = list(_QUOTED.finditer(text))
    for one in found[:: max(1, len(found) // most)][:most]:
        yield (text[: one.start()] + hostile + text[one.end() :]).encode()


def _filled(length: int) -> bytes:
    return (STEERS.encode("latin-1", "ignore") * (length // 20 + 1))[:length]


def _count(body: Any) -> int:
    if isinstance(body, dict):
        return sum(1 + _count(v) for v in body.values())
    return sum(map(_count, body)) if isinstance(body, list) else int(isinstance(body, str))


def _replaced(body: Any, chosen: range) -> Any:
    """`body` with the texts and keys whose numbers, in the order of the document, are `chosen`."""
    at = -1

    def text(said: str) -> str:
        nonlocal at
        at += 1
        return STEERS if at in chosen else said

    def walked(part: Any) -> Any:
        if isinstance(part, dict):
            return {text(k): walked(v) for k, v in part.items()}
        if isinstance(part, list):
            return [walked(v) for v in part]
        return text(part) if isinstance(part, str) else part

    return walked(body)
