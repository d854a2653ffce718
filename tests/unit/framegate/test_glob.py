"""Patterns with `*`, which an attacker's text cannot make slow."""

import pytest

from framegate.glob import matches


@pytest.mark.parametrize(
    ("text", "pattern", "whole"),
    [
        ("abc", "abc", True),
        ("abc", "abd", False),
        ("abc", "*", True),
        ("abc", "a*c", True),
        ("abc", "a*d", False),
        ("abc", "b*", False),
        ("aba", "aba*ba", False),
        ("axbxc", "a*b*c", True),
        ("axxc", "a*b*c", False),
        ("abcbc", "*bc*bc", True),
    ],
)
def test_the_whole_text_is_the_pattern(text, pattern, whole):
    assert matches(text, pattern) is whole


def test_digits():
    assert matches("Boot00aF", "Boot####", digits=True)
    assert not matches("Boot00g0", "Boot####", digits=True)
    assert not matches("Boot000", "Boot####", digits=True)
    assert not matches("Boot0000", "Boot####")


def test_a_text_made_to_be_slow_is_not():
    assert not matches("a" * 20_000, "*".join("a" * 50) + "*b")
