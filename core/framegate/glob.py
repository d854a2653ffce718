"""Matching a text against a pattern with `*`, without backtracking: an attacker chooses the text,
so time must not depend on its cunning.

A kernel's command line is words, a path is components, and what a pattern leaves open must not
open another word: `*` ends where a word or a component does. What is to cross them has to be said
in another way, `**`, which `framegate profile lint` calls an error (N137).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

BORDERS: Final = r"[\s\x00-\x1f/\"'\\]"
"""What `*` never stands for.

White space and control characters part words, `/` parts components; a quotation mark or a backslash
makes the kernel, or a boot loader, read the words after it as one.
"""
ANY_WORDS: Final = "**"
"""One or more whole words or components, whatever they are. It stands by itself."""
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_SPLIT: Final = re.compile(f"({BORDERS})")


def matches(text: str, pattern: str, *, digits: bool = False) -> bool:
    """Whether all of `text` is `pattern`.

    In it `*` stands for any characters within one word or component (`BORDERS`), `**` for one or
    more whole ones, and, with `digits`, `#` for one hexadecimal digit. Takes time proportional to
    the text, for each `**` once more.
    """
    if digits and "#" in pattern:
        return len(text) == len(pattern) and all(
            t == p or (p == "#" and t in _HEX) for t, p in zip(text, pattern, strict=True)
        )
    head, open_ended, _ = pattern.partition("*")
    if not open_ended:
        return text == pattern
    if not text.startswith(head):
        return False
    wanted, came = _wanted(pattern), _pieces(text)
    if all(word != ANY_WORDS for _, word in wanted):
        return len(came) == len(wanted) and all(
            t[0] == p[0] and _within(t[1], p[1]) for t, p in zip(came, wanted, strict=True)
        )
    return _across(came, wanted)


def wildcards(pattern: str) -> list[str]:
    """The words and components of `pattern` that leave something open, in its order."""
    return [word for _, word in _pieces(pattern) if "*" in word]


def well_formed(pattern: str) -> bool:
    """Whether each `**` in `pattern` stands by itself, between borders."""
    return all(word == ANY_WORDS or ANY_WORDS not in word for _, word in _pieces(pattern))


def _pieces(text: str) -> list[tuple[str, str]]:
    """(the border before it, empty for the first; the word) of each word, empty ones too."""
    first, *rest = _SPLIT.split(text)
    return [("", first), *zip(rest[::2], rest[1::2], strict=True)]


@lru_cache(maxsize=4096)
def _wanted(pattern: str) -> list[tuple[str, str]]:
    """`_pieces` of a pattern, which is a profile's and asked for again and again."""
    return _pieces(pattern)


def _across(came: list[tuple[str, str]], wanted: list[tuple[str, str]]) -> bool:
    """Every place in `wanted` that may be reached is followed at once, so none is tried again."""
    reached = {0}
    for border, word in came:
        following = {at for at in reached if at and wanted[at - 1][1] == ANY_WORDS}
        for at in reached:
            if at < len(wanted) and wanted[at][0] == border:
                asked = wanted[at][1]
                if asked == ANY_WORDS or _within(word, asked):
                    following.add(at + 1)
        reached = following
    return len(wanted) in reached


def _within(word: str, pattern: str) -> bool:
    """Whether `word`, which has no border in it, is `pattern`."""
    head, *middle = pattern.split("*")
    if not middle:
        return word == pattern
    tail = middle.pop()
    if not word.startswith(head) or len(word) < len(head) + len(tail) or not word.endswith(tail):
        return False
    at, end = len(head), len(word) - len(tail)
    for piece in middle:  # leftmost is as good as any: what follows has the most room
        at = word.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True
