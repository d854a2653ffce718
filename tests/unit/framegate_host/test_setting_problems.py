"""What is said of settings that are wrong: all of it at once, where it stands, and no secret."""

from pathlib import Path

import pytest
import tomli_w

from framegate.errors import Refused
from framegate_host.settings import MAX_FILE_BYTES, MAX_UNKNOWN, Given, resolve
from support.mill import Mill, said


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
