"""Matching a text against a pattern with `*`, without backtracking: an attacker chooses the text,
so time must not depend on its cunning.
"""

from __future__ import annotations

_HEX = frozenset("0123456789abcdefABCDEF")


def matches(text: str, pattern: str, *, digits: bool = False) -> bool:
    """Whether all of `text` is `pattern`, in which `*` stands for any characters and, with
    `digits`, `#` for one hexadecimal digit.
    """
    if digits and "#" in pattern:
        return len(text) == len(pattern) and all(
            t == p or (p == "#" and t in _HEX) for t, p in zip(text, pattern, strict=True)
        )
    head, *middle = pattern.split("*")
    if not middle:
        return text == pattern
    tail = middle.pop()
    if not text.startswith(head) or len(text) < len(head) + len(tail) or not text.endswith(tail):
        return False
    at, end = len(head), len(text) - len(tail)
    for piece in middle:  # leftmost is as good as any: what follows has the most room
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True
