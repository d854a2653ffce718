"""Whatever a file or the environment holds, it is settings or an error of ours."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Refused
from framegate_host.setting_records import declared
from framegate_host.setting_values import from_toml, toml_of
from framegate_host.settings import Given, resolve
from support.mill import Mill

texts = st.text(max_size=20)


values = st.recursive(
    st.booleans() | st.integers() | st.floats() | texts | st.datetimes() | st.dates() | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


names = st.sampled_from([*declared(Mill), "keep.flour", "ston", "secret", ""]) | texts


def holds_or_ours(file: Path, environment: Mapping[str, str] = MappingProxyType({})) -> None:
    """Settings or our error, and never another."""
    try:
        assert isinstance(
            resolve(Mill, Given(file, environment, {"grain": ("rye",)})).settings(), Mill
        )
    except FramegateError as error:
        assert all(f.expected and f.actual for f in error.failures)


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda t: t.encode("utf-8", "replace")))
def test_any_bytes_are_settings_or_our_error(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(data)
    holds_or_ours(file)


@given(st.dictionaries(names, values, max_size=6))
def test_any_toml_is_settings_or_our_error(tmp_path_factory, body):
    file = tmp_path_factory.getbasetemp() / "some.toml"
    file.write_text(tomli_w.dumps(body))
    holds_or_ours(file)


@given(
    st.dictionaries(
        st.sampled_from([*declared(Mill), "ston"]).map(lambda n: f"FRAMEGATE_MILL_{n.upper()}"),
        st.text(st.characters(exclude_characters="\0")),
    )
)
def test_any_environment_is_settings_or_our_error(tmp_path_factory, environment):
    file = tmp_path_factory.getbasetemp() / "none.toml"
    file.write_text("")
    holds_or_ours(file, environment)


@pytest.mark.parametrize(
    "data",
    [
        b"x = " + b"[" * 30_000,
        b"x = 0x" + b"f" * 20_000,
        b"x = " + b"9" * 5000,
        b"a" * 60_000 + b" = 1",
        b"stones = 0x" + b"f" * 9000,
    ],
)
def test_toml_that_is_meant_to_hurt_is_refused(tmp_path, data):
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(Refused):
        resolve(Mill, Given(tmp_path / "t", {}, {"grain": ("rye",)})).settings()


@given(st.sampled_from(["stones", "speed", "loud", "grain", "sacks", "keep"]), values)
def test_what_is_read_is_written_and_read_again(name, value):
    one = declared(Mill)[name]
    try:
        taken = one.of_toml(value)
    except ValueError:
        return
    again = tomllib.loads(f"v = {toml_of(taken)}")["v"]
    assert from_toml(one.kind, one.setting, again) == taken
