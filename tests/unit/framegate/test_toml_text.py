"""TOML as people's editors write it, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed, Reason
from framegate.toml_text import parse_toml

TEXT = '[profile]\nname = "Prüfstand 1"\n'


def wrong(error: Exception) -> FramegateError:
    return Malformed.of(Reason.USAGE, "TOML in UTF-8", str(error))


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "text",
    [TEXT, TEXT.encode(), TEXT.encode("utf-8-sig"), "\ufeff" + TEXT, TEXT.encode("utf-16")],
    ids=["text", "utf-8", "utf-8-mark", "text-mark", "utf-16"],
)
def test_editors_write_it_in_their_way(text, ends):
    as_written = text.replace("\n", ends) if isinstance(text, str) else text
    assert parse_toml(as_written, wrong) == {"profile": {"name": "Prüfstand 1"}}


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe[\0",
        b"\xff",
        "a = \ud800",
        "\ufeff\ufeffa = 1",
        "a = " + "9" * 5000,
        "a = " + "[" * 9999,
    ],
    ids=["half-a-letter", "no-utf-8", "half-a-pair", "two-marks", "a-long-number", "deep"],
)
def test_what_is_none_is_refused_in_its_callers_words(text):
    with pytest.raises(Malformed, match="TOML in UTF-8") as caught:
        parse_toml(text, wrong)
    assert caught.value.reason == Reason.USAGE


@given(st.binary() | st.text())
def test_only_the_callers_error(text):
    try:
        assert isinstance(parse_toml(text, wrong), dict)
    except Malformed as error:
        assert error.reason == Reason.USAGE
