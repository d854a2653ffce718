"""What one setting may be: its meaning, its limits, and how TOML or a text is read as its value."""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from enum import Enum, auto
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, Final, Literal, TypeGuard, Union, get_args, get_origin

from framegate.redaction import holds_credentials

MAX_TEXT: Final = 4096
"""Characters of one value: the longest path that Linux takes."""
MAX_NAME: Final = 80
"""Characters of an unknown name that are looked at, and shown."""
_MOST_WHOLE: Final = 2**63 - 1
"""TOML promises no more."""
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}")
SECRET_TEXT: Final = re.compile(r"-----BEGIN|://[^/@\s]*:[^/@\s]+@")
"""What no setting may hold: a key in PEM, a password in an address."""
_MANY: Final = {
    "a path": "paths",
    "text": "texts",
    "a whole number": "whole numbers",
    "a number": "numbers",
}


@dataclass(frozen=True, slots=True)
class Form:
    """What a text has to look like: its label for people, and an expression for all of it."""

    label: str
    pattern: str


HOST_PORT: Final = Form("host:port", r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):[0-9]{1,5}")
MAX_PORT: Final = 65_535
DIGEST: Final = Form("64 hex digits", r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Setting:
    """What stands beside a member of a record of settings, in `Annotated`.

    `least` and `most` are the limits of a number, `form` that of a text; `names` are the keys of a
    table; `there` says that a named file or folder has to exist. `example` stands in documentation
    where the default would teach nothing. `variable` is a further name in the environment, `short`
    a flag of one letter. `instead` is what to give in place of an address with credentials in it.
    """

    help: str
    _: KW_ONLY
    unit: str = ""
    least: float | None = None
    most: float | None = None
    form: Form | None = None
    names: tuple[str, ...] = ()
    there: Literal["", "file", "folder"] = ""
    example: Any = None
    variable: str = ""
    short: str = ""
    instead: str = ""


class Shape(Enum):
    """How many values a setting has."""

    ONE = auto()
    MANY = auto()
    TABLE = auto()


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a setting: `base` is one of str, int, float, bool and Path."""

    base: type
    shape: Shape = Shape.ONE
    choices: tuple[str, ...] = ()


class Unfit(ValueError):
    """A value that a setting does not take: `expected` and `seen` in words, neither a secret."""

    def __init__(self, expected: str, seen: str, hint: str = "") -> None:
        super().__init__(f"expected {expected}, got {seen}")
        self.expected, self.seen, self.hint = expected, seen, hint


class Secret(Unfit):
    """A value with a secret in it, which is not shown."""


def kind_of(hint: Any) -> Kind:
    """The kind of a member that is declared as `hint`. Raises TypeError where there is none."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is tuple and inner[1:] == (...,):
        return replace(kind_of(inner[0]), shape=Shape.MANY)
    if origin is Literal:
        return Kind(str, choices=inner)
    if origin is Mapping and inner == (str, int):
        return Kind(int, Shape.TABLE)
    if origin in {Union, UnionType}:
        (hint,) = (each for each in inner if each is not type(None))
    if hint in {str, int, float, bool, Path}:
        return Kind(hint)
    raise TypeError(f"no setting is a {hint}")


def expectation(kind: Kind, setting: Setting) -> str:
    """What a setting takes, for people."""
    one = _expectation_of_one(kind, setting)
    if kind.shape is Shape.TABLE:
        return f"a table of {', '.join(setting.names)}, each {one}"
    if kind.shape is Shape.MANY:
        return f"a list of {_MANY[one]}" if one in _MANY else f"a list, each {one}"
    return one


def limits(setting: Setting) -> str:
    """The limits of a number, in words; empty where there are none."""
    least, most = setting.least, setting.most
    if least is not None and most is not None:
        return f"from {least:.15g} to {most:.15g}"
    if least is not None:
        return f"{least:.15g} or more"
    return f"at most {most:.15g}" if most is not None else ""


def from_toml(kind: Kind, setting: Setting, value: object, *, blank: bool = False) -> Any:
    """`value`, as TOML has it, as the setting's. `blank`: an empty text is one. Raises Unfit."""
    wanted = expectation(kind, setting)
    if kind.shape is Shape.MANY:
        if not isinstance(value, list):
            raise Unfit(wanted, _seen(value))
        single = replace(kind, shape=Shape.ONE)
        return tuple(from_toml(single, setting, each) for each in value)
    if kind.shape is Shape.TABLE:
        if not isinstance(value, dict):
            raise Unfit(wanted, _seen(value))
        single = replace(kind, shape=Shape.ONE)
        return MappingProxyType(
            {_name(name, setting): from_toml(single, setting, each) for name, each in value.items()}
        )
    return _one(kind, setting, value, blank=blank)


def from_texts(kind: Kind, setting: Setting, texts: Sequence[str], *, blank: bool = False) -> Any:
    """What `texts`, flags or one variable of the environment, say for the setting. Raises Unfit.

    A list may be written in one text as TOML has it; a table is NAME=NUMBER, in one or more.
    """
    single = replace(kind, shape=Shape.ONE)
    if kind.shape is Shape.MANY:
        if len(texts) == 1 and texts[0].startswith("["):
            return from_toml(kind, setting, _array(texts[0], expectation(kind, setting)))
        return tuple(_from_text(single, setting, each) for each in texts)
    if kind.shape is Shape.TABLE:
        pairs = [each.partition("=") for text in texts for each in text.split()]
        return MappingProxyType(
            {_name(name, setting): _from_text(single, setting, text) for name, _, text in pairs}
        )
    return _from_text(kind, setting, texts[-1], blank=blank)


def toml_of(value: Any) -> str:
    """A setting's value as TOML has it; `from_toml` reads it back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {toml_of(each)}" for name, each in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(toml_of(each) for each in value) + "]"
    return json.dumps(str(value), ensure_ascii=False)


def text_of(value: Any) -> str:
    """A setting's value as a variable of the environment has it."""
    if isinstance(value, Mapping):
        return " ".join(f"{name}={each}" for name, each in value.items())
    return str(value) if isinstance(value, str | Path) else toml_of(value)


def _expectation_of_one(kind: Kind, setting: Setting) -> str:
    if kind.choices:
        return " or ".join(kind.choices)
    if kind.base in {int, float}:
        number = "a whole number" if kind.base is int else "a number"
        limit = limits(setting)
        return f"{number}{', ' if limit[:1].isdigit() else ' '}{limit}" if limit else number
    if kind.base is bool:
        return "true or false"
    return "a path" if kind.base is Path else setting.form.label if setting.form else "text"


def _one(kind: Kind, setting: Setting, value: object, *, blank: bool) -> Any:
    if isinstance(value, str) and (SECRET_TEXT.search(value) or holds_credentials(value)):
        hint = "keep it in a file that only the service reads, and name that file"
        hint += f": {setting.instead}" if setting.instead else ""
        wanted = f"{expectation(kind, setting)}, and no secret"
        raise Secret(wanted, "one, which is not shown", hint)
    if not _fits(kind, setting, value, blank=blank):
        raise Unfit(expectation(kind, setting), _seen(value))
    return kind.base(value)


def _fits(kind: Kind, setting: Setting, value: object, *, blank: bool) -> bool:
    if kind.base is bool:
        return isinstance(value, bool)
    if kind.base is int:
        return _is_whole(value) and _within(setting, value)
    if kind.base is float:
        return _is_number(value) and _within(setting, value)
    return isinstance(value, str) and _is_text(kind, setting, value, blank=blank)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MOST_WHOLE


def _is_number(value: object) -> TypeGuard[float]:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _within(setting: Setting, value: float) -> bool:
    least, most = setting.least, setting.most
    return (least is None or value >= least) and (most is None or value <= most)


def _is_text(kind: Kind, setting: Setting, value: str, *, blank: bool) -> bool:
    if not value:
        return blank
    if len(value) > MAX_TEXT or not value.isprintable():
        return False
    if kind.choices:
        return value in kind.choices
    return setting.form is None or re.fullmatch(setting.form.pattern, value) is not None


def _from_text(kind: Kind, setting: Setting, text: str, *, blank: bool = False) -> Any:
    """One value out of a text: numbers and switches as TOML has them, all else as it stands."""
    if kind.base is bool:
        return _one(kind, setting, {"true": True, "false": False}.get(text, text), blank=False)
    if kind.base in {int, float}:
        return _one(kind, setting, _number(text), blank=False)
    return _one(kind, setting, text, blank=blank)


def _number(text: str) -> object:
    """The number that `text` is, else `text`."""
    try:
        return int(text) if _WHOLE.fullmatch(text) else float(text)
    except ValueError:
        return text


def _array(text: str, wanted: str) -> object:
    """The TOML array that `text` is."""
    try:
        return tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
    except (ValueError, RecursionError) as error:
        raise Unfit(wanted, _seen(text)) from error


def _name(name: str, setting: Setting) -> str:
    if name not in setting.names:
        near = difflib.get_close_matches(name[:MAX_NAME], setting.names, 1)
        hint = f"did you mean {near[0]}?" if near else ""
        raise Unfit(f"a name of {', '.join(setting.names)}", _seen(name), hint)
    return name


def _seen(value: object) -> str:
    """`value` in a few safe words."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return toml_of(value)
    if isinstance(value, int):
        return str(value) if abs(value) <= _MOST_WHOLE else "a number of more than 64 bits"
    if isinstance(value, float):
        return f"{value:g}"
    if not isinstance(value, str):
        return "a date or a time"
    if not value.isprintable():
        return "text with a line break or another control character"
    return f"text of {len(value)} characters" if len(value) > MAX_NAME else ascii(value)
