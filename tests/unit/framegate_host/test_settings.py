"""Settings: what comes before what, of which types, and what every record must fulfil."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import pytest

from framegate.errors import Refused
from framegate_host.setting_flags import with_settings
from framegate_host.setting_records import Place, Settings, declared
from framegate_host.setting_values import Setting
from framegate_host.settings import Given, resolve
from support.mill import Mill, said


def test_a_flag_comes_before_a_variable_before_the_file_before_the_default(tmp_path):
    file = tmp_path / "mill.toml"
    file.write_text("stones = 3\nspeed = 3\nmode = 'coarse'\n")
    environment = {"FRAMEGATE_MILL_STONES": "4", "FRAMEGATE_MILL_SPEED": "4.5"}
    resolved = resolve(Mill, Given(file, environment, {"stones": ("5",), "grain": ("oats",)}))
    settings = resolved.settings()
    assert (settings.stones, settings.speed, settings.mode) == (5, 4.5, "coarse")
    assert (settings.grain, settings.loud) == ("oats", False)
    origins = {name: str(each.origin) for name, each in resolved.values.items()}
    assert origins["stones"] == "--stones" and origins["speed"] == "FRAMEGATE_MILL_SPEED"
    assert origins["mode"] == str(file) and origins["loud"] == "default"


def test_every_type_from_every_place(told):
    text = """
    stones = 8
    speed = 2
    loud = true
    mode = "coarse"
    power = "[::1]:80"
    sacks = ["a", "b c"]
    log = "l"
    [keep]
    bran = 3
    """
    environment = {
        "FRAMEGATE_MILL_STONES": "8",
        "FRAMEGATE_MILL_SPEED": "2",
        "FRAMEGATE_MILL_LOUD": "true",
        "FRAMEGATE_MILL_MODE": "coarse",
        "FRAMEGATE_MILL_POWER": "[::1]:80",
        "FRAMEGATE_MILL_SACKS": '["a", "b c"]',
        "FRAMEGATE_MILL_LOG": "l",
        "FRAMEGATE_MILL_KEEP": "bran=3",
    }
    flags = {
        "stones": ("8",),
        "speed": ("2",),
        "loud": ("true",),
        "mode": ("coarse",),
        "power": ("[::1]:80",),
        "sacks": ("a", "b c"),
        "log": ("l",),
        "keep": ("bran=3",),
    }
    settings = told(text)
    assert settings == told(environment=environment) == told(flags=flags)
    assert settings.sacks == (Path("a"), Path("b c")) and settings.log == Path("l")
    assert settings.keep == {"flour": 7, "bran": 3} and isinstance(settings.speed, float)
    assert told(environment={"FRAMEGATE_MILL_SACKS": "b c"}).sacks == (Path("b c"),)


def test_each_place_adds_to_a_table(told):
    settings = told(
        "keep = {flour = 5}", {"FRAMEGATE_MILL_KEEP": "bran=2 flour=6"}, {"keep": ("flour=9",)}
    )
    assert settings.keep == {"flour": 9, "bran": 2}


def test_a_switch_is_taken_back_and_an_empty_variable_is_none(told):
    assert not told("loud = true", flags={"loud": ("false",)}).loud
    assert told("stones = 3", {"FRAMEGATE_MILL_STONES": ""}).stones == 3
    assert told('power = ""').power == ""


def test_the_second_name_of_a_variable_counts_after_the_first(told):
    assert told(environment={"FRAMEGATE_GRAIN": "oats"}, grain=()).grain == "oats"
    both = {"FRAMEGATE_GRAIN": "oats", "FRAMEGATE_MILL_GRAIN": "wheat"}
    assert told(environment=both, grain=()).grain == "wheat"


def test_a_few_settings_may_be_had_without_the_others(tmp_path):
    assert resolve(Mill, Given()).some(["stones", "log"]) == {"stones": 2, "log": None}
    with pytest.raises(Refused, match="--grain"):
        resolve(Mill, Given()).some(["grain"])
    file = tmp_path / "mill.toml"
    file.write_text("ston = 1")
    with pytest.raises(Refused, match="did you mean stones"):
        resolve(Mill, Given(file)).some(["log"])


def test_what_is_missing_is_no_problem_of_a_file(tmp_path):
    file = tmp_path / "mill.toml"
    file.write_text("stones = 3")
    resolved = resolve(Mill, Given(file))
    assert resolved.problems == () and [one.name for one in resolved.missing] == ["grain"]
    file.write_text("loud = true")
    assert "--log" in said(resolve(Mill, Given(file)).problems)


def test_a_command_cannot_take_a_setting_as_another_type():
    with pytest.raises(TypeError, match="stones"):

        @with_settings(Mill)
        def grind(stones: str) -> None: ...


def test_a_member_that_is_no_setting_is_refused():
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Odd(Settings):
        PROGRAM: ClassVar[str] = "odd"
        wheels: Annotated[set[str], Setting("Wheels.")] = frozenset()

    with pytest.raises(TypeError):
        declared(Odd)


@pytest.mark.parametrize("name", declared(Mill))
def test_a_sample_is_read_back(name):
    one = declared(Mill)[name]
    if one.sample is None:
        assert not one.required
        return
    assert one.of_toml(_plain(one.sample)) == one.sample
    assert one.written(Place.FILE).startswith(f"{name} = ") and one.written(Place.FLAG).startswith(
        one.flag
    ) | (one.sample == ())


def _plain(value):
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return (
        dict(value)
        if isinstance(value, Mapping)
        else str(value)
        if isinstance(value, Path)
        else value
    )
