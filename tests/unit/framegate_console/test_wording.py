"""Both languages say the same things, and every thing that is said is there."""

import re
import string

import pytest

from framegate_console.wording import LANGUAGES, language_of, words_in
from support.paths import ROOT

CONSOLE = ROOT / "controller/framegate_console"
USED = re.compile(r"""\bw\("([a-z0-9_]+\.[a-z0-9_.-]+)"[,)]""")
IN_CODE = re.compile(
    r'"((?:thing|signin|factor|asked|refused|masks|part|model|lesson|wall|me)\.[a-z_]+)"'
)


def members(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_language_has_the_same_keys_with_the_same_members():
    first, *others = [words_in(language).messages for language in LANGUAGES]
    for other in others:
        assert set(other) == set(first)
        assert {k: members(v) for k, v in other.items()} == {
            k: members(v) for k, v in first.items()
        }


def test_no_message_is_empty_and_what_counts_has_one_and_many():
    for language in LANGUAGES:
        messages = words_in(language).messages
        assert all(text.strip() for text in messages.values())
        for key in messages:
            if key.endswith(".one"):
                assert f"{key.removesuffix('.one')}.many" in messages


def test_every_key_that_pages_use_is_there():
    messages = words_in("en").messages
    texts = [p.read_text() for p in CONSOLE.rglob("*.html")]
    code = [p.read_text() for p in CONSOLE.rglob("*.py")]
    used = {k for t in texts for k in USED.findall(t)} | {
        k for t in code for k in IN_CODE.findall(t)
    }
    files = {f"{p.stem}.html" for p in CONSOLE.rglob("*.html")}
    lacking = {k for k in used - files if k not in messages and f"{k}.one" not in messages}
    assert used and not lacking


def test_members_are_filled_in_and_numbers_choose_the_form():
    words = words_in("en")
    assert words("thing.waiting", n=1) == "One request waits for an approval"
    assert words("thing.waiting", n=7) == "7 requests wait for an approval"
    assert words.named("state", "trusted") == "Trusted"
    assert words.named("state", "something-new") == "something-new"
    assert words_in("de")("thing.quiet", name="cam1").startswith("cam1 wird vertraut")


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        ("", "de-AT,de;q=0.9,en;q=0.8", "de"),
        ("", "fr;q=1, en;q=0.4, de;q=0.5", "de"),
        ("en", "de", "en"),
        ("tlh", "de", "de"),
        ("", "", "en"),
        ("", "fr, *;q=x", "en"),
        ("", "de;q=" + "9" * 500, "de"),
    ],
)
def test_the_language_is_the_chosen_one_or_the_browsers(chosen, accepted, language):
    assert language_of(chosen, accepted, "en") == language
