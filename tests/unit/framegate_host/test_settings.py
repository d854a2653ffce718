"""Settings: what comes before what, and what is said of everything that is wrong."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Failure, FramegateError, Reason, Refused
from framegate_host.setting_flags import with_settings
from framegate_host.setting_records import Place, Settings, declared
from framegate_host.setting_values import DIGEST, HOST_PORT, Setting, from_toml, toml_of
from framegate_host.settings import MAX_FILE_BYTES, MAX_UNKNOWN, Given, resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class Mill(Settings):
    """A mill."""

    PROGRAM: ClassVar[str] = "mill"

    grain: Annotated[str, Setting("What is ground.", example="rye", variable="FRAMEGATE_GRAIN")]
    stones: Annotated[int, Setting("Stones.", least=1, most=8)] = 2
    speed: Annotated[float, Setting("Speed.", unit="1/s", least=0)] = 1.5
    loud: Annotated[bool, Setting("Say it all.", short="-v")] = False
    mode: Annotated[Literal["fine", "coarse"], Setting("How.")] = "fine"
    power: Annotated[str, Setting("Where power is.", form=HOST_PORT)] = ""
    sacks: Annotated[tuple[Path, ...], Setting("Sacks.", example=(Path("/sack"),))] = ()
    marks: Annotated[tuple[str, ...], Setting("Marks.", form=DIGEST)] = ()
    log: Annotated[Path | None, Setting("Log.")] = None
    key_file: Annotated[Path | None, Setting("Its key.", there="file")] = None
    shed: Annotated[Path | None, Setting("A shed.", there="folder")] = None
    keep: Annotated[
        Mapping[str, int], Setting("Days.", names=("flour", "bran"), least=0, most=99)
    ] = field(default_factory=lambda: {"flour": 7, "bran": 1})

    def problems(self) -> Iterator[Failure]:
        if self.loud and self.log is None:
            yield self.beside("log", "--loud")


@pytest.fixture
def told(tmp_path):
    """(settings or failures) of a file's text, variables and flags; grain is rye by default."""

    def tell(text="", environment=None, flags=None, grain=("rye",)):
        file = tmp_path / "mill.toml"
        file.write_text(text)
        typed = {**({"grain": grain} if grain else {}), **(flags or {})}
        try:
            return resolve(Mill, Given(file, environment or {}, typed)).settings()
        except Refused as refused:
            return refused.failures

    return tell


def said(failures) -> str:
    assert isinstance(failures, tuple), failures
    assert {f.reason for f in failures} == {Reason.USAGE}
    return "\n".join(map(str, failures))


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


def test_what_has_to_be_given_says_the_three_ways(told):
    assert "--grain rye, or grain in a file, or FRAMEGATE_MILL_GRAIN" in said(told(grain=()))


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("ston = 3", "did you mean stones?"),
        ("Stones = 3", "did you mean stones?"),
        ("[kep]\nbran = 1", "did you mean keep?"),
        ("keep = {brand = 3}", "did you mean bran?"),
        ("[mill]\nstones = 3", "in no section: stones = 2"),
        ("[sacks]\nx = 1", "a list of paths"),
        ("[zzz]\nx = 1", "framegate-mill has [keep]"),
        ("zzz = 1", "framegate-mill config show"),
        ("key_fil = 'x'", "did you mean key_file?"),
    ],
)
def test_unknown_keys_and_sections_name_the_nearest(told, text, near):
    failures = told(text)
    assert near in said(failures) and "mill.toml" in said(failures)


def test_unknown_variables_name_the_nearest_and_those_of_others_are_none_of_ours(told):
    assert "did you mean FRAMEGATE_MILL_STONES?" in said(
        told(environment={"FRAMEGATE_MILL_STONE": "3"})
    )
    assert "unset it" in said(told(environment={"FRAMEGATE_MILL_ZZZZ": "3"}))
    assert told(environment={"FRAMEGATE_MILLER_X": "3", "FRAMEGATE_MILL_CONFIG": "x"}).stones == 2


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("stones", 0, "a whole number from 1 to 8"),
        ("stones", 9, "a whole number from 1 to 8"),
        ("stones", True, "a whole number"),
        ("stones", 2.0, "a whole number"),
        ("stones", "2", "a whole number"),
        ("stones", 2**70, "a whole number"),
        ("speed", -0.1, "a number, 0 or more"),
        ("speed", float("nan"), "a number"),
        ("speed", float("inf"), "a number"),
        ("speed", "fast", "a number"),
        ("loud", 1, "true or false"),
        ("loud", "yes", "true or false"),
        ("mode", "none", "fine or coarse"),
        ("mode", 1, "fine or coarse"),
        ("power", "host", "host:port"),
        ("grain", "", "text"),
        ("grain", "a\nb", "text"),
        ("grain", "x" * 5000, "text"),
        ("sacks", "one", "a list of paths"),
        ("sacks", [1], "a path"),
        ("sacks", [""], "path"),
        ("marks", ["1F"], "64 hex digits"),
        ("log", "", "a path"),
        ("log", 3, "a path"),
        ("keep", 3, "a table of flour, bran"),
        ("keep", {"flour": 100}, "from 0 to 99"),
        ("key_file", "/nowhere", "a file that is there"),
        ("shed", "/nowhere", "a folder that is there"),
    ],
)
def test_wrong_values_say_what_was_expected_where_and_what_to_do(told, name, value, wanted):
    failures = told(tomli_w.dumps({name: value}), grain=() if name == "grain" else ("rye",))
    (failure,) = [f for f in failures if f.actual != "none"]
    assert (
        failure.expected.startswith(f"{name}: ") and wanted.removeprefix("a ") in failure.expected
    )
    assert f"key {name} of " in failure.actual and "mill.toml" in failure.actual and failure.hint


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("stones", "0"),
        ("stones", "two"),
        ("stones", "2.0"),
        ("stones", "1_0"),
        ("speed", "nan"),
        ("speed", "-1"),
        ("speed", "1e999"),
        ("loud", "1"),
        ("mode", "x"),
        ("sacks", "[1]"),
        ("sacks", "[oops"),
        ("sacks", '["a"]\nb = 1'),
        ("keep", "flour"),
        ("keep", "flour=x"),
        ("keep", "bread=3"),
    ],
)
def test_wrong_texts_name_their_variable_or_flag(told, name, text):
    variable = f"FRAMEGATE_MILL_{name.upper()}"
    assert variable in said(told(environment={variable: text}))
    assert f"--{name}" in said(told(flags={name: (text,)}))


def test_every_problem_is_said_at_once(told):
    failures = told(
        "stones = 0\nspeed = 'x'\nston = 1\n[more]\n",
        {"FRAMEGATE_MILL_MODE": "x"},
        {"power": ("x",)},
        grain=(),
    )
    assert len(failures) == 7
    many = told("".join(f"unknown{n} = 1\n" for n in range(50)))
    assert len(many) == MAX_UNKNOWN + 1 and "30 more" in said(many)


def test_what_does_not_go_together_is_asked_once_each_value_is_right(told):
    assert "--log beside --loud" in said(told("loud = true")) and "in a file: log" in said(
        told("loud = true")
    )
    assert "beside" not in said(told("loud = true\nstones = 0"))


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "API_KEY",
        "oidc_client_secret",
        "token",
        "private_key",
        "passphrase",
        "pin",
        "credentials",
    ],
)
def test_no_secret_is_among_settings(told, name):
    for failures in (
        told(f"{name} = 'hunter2'"),
        told(environment={f"FRAMEGATE_MILL_{name.upper()}": "hunter2"}),
    ):
        assert "no secret among settings" in said(failures) and "hunter2" not in said(failures)


def test_a_secret_is_pointed_to_the_setting_that_names_its_file(told):
    assert "key_file names the file that holds it" in said(told("key = 'hunter2'"))


@pytest.mark.parametrize(
    "value",
    [
        "rtsp://user:hunter2@cam/1",
        "-----BEGIN PRIVATE KEY----- hunter2",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n",
    ],
)
def test_a_value_that_is_a_secret_is_refused_and_not_shown(told, value):
    places = (
        told(tomli_w.dumps({"grain": value}), grain=()),
        told(tomli_w.dumps({"sacks": [value]})),
        told(environment={"FRAMEGATE_MILL_GRAIN": value}, grain=()),
        told(grain=(value,)),
    )
    for failures in places:
        assert "and no secret" in said(failures) and "hunter2" not in said(failures)


def test_files_that_are_none(told, tmp_path):
    for file in (tmp_path / "none", tmp_path, Path("a\0b")):
        with pytest.raises(Refused, match="settings in"):
            resolve(Mill, Given(file)).settings()
    big = tmp_path / "big"
    big.write_text("#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(Refused, match="at most"):
        resolve(Mill, Given(big)).settings()
    big.write_bytes(b"grain = '\xff'")
    with pytest.raises(Refused, match="UTF-8"):
        resolve(Mill, Given(big)).settings()
    assert "TOML" in said(told("grain = ")) and "TOML" in said(told("stones = 2\nstones = 3"))


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
