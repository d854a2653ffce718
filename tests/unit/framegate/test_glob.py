"""Patterns with `*`, which an attacker's text cannot make slow."""

import pytest

from framegate.glob import matches, well_formed, wildcards


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
        ("/vmlinuz-6.1 ro", "/vmlinuz-* ro", True),
        ("/vmlinuz- ro", "/vmlinuz-* ro", True),
        ("/vmlinuz-6.1 init=x ro", "/vmlinuz-* ro", False),
        ("/vmlinuz-6.1 ro", "/vmlinuz-* ** ro", False),
        ("/vmlinuz-6.1 quiet ro", "/vmlinuz-* ** ro", True),
        ("/vmlinuz-6.1 a b c ro", "/vmlinuz-* ** ro", True),
        ("a b c b d", "a ** b d", True),
        ("a b c b e", "a ** b d", False),
        ("a b", "a **", True),
        ("a", "a **", False),
        ("a/b c", "**", True),
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


def test_what_is_left_open_is_told_word_by_word():
    assert wildcards("/boot/vm-* root=UUID=* ro ** quiet") == ["vm-*", "root=UUID=*", "**"]
    assert wildcards("/vmlinuz ro") == []
    assert well_formed("a ** b*c") and not well_formed("a x** b") and not well_formed("a ***")


def test_many_words_made_to_be_slow_are_not():
    assert not matches("a " * 5_000, " ".join(["a", "**"] * 20) + " b")
