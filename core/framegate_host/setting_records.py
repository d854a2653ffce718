"""A record of settings: all that a program can be told, declared once.

A new setting is one more member:

    threads: Annotated[int, Setting("Threads of the model.", least=1, most=64)] = 2

A member without a default has to be given. Its name is the key in a file; `--threads` is the flag,
`FRAMEGATE_<PROGRAM>_THREADS` the variable. Secrets are in none of the three: settings name the
files that hold them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Final, get_args, get_type_hints

from framegate.errors import Failure, Reason
from framegate_host.setting_values import (
    Kind,
    Setting,
    Shape,
    expectation,
    from_texts,
    from_toml,
    kind_of,
    text_of,
    toml_of,
)

CONFIG: Final = "config"
"""It names the file: a flag and a variable, and no key."""
KEPT_FILE: Final = "options.toml"
"""In a program's folder `state`: its record's `KEPT` settings, and no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Base of a program's settings. `PROGRAM` is its name without framegate-."""

    PROGRAM: ClassVar[str] = ""
    KEPT: ClassVar[tuple[str, ...]] = ()
    """Settings that an earlier command may have kept for this one, in `KEPT_FILE` of the folder
    `state`. They outdo defaults and nothing else.
    """

    def problems(self) -> Iterator[Failure]:
        """What does not go together among settings that are each right."""
        yield from ()

    def beside(self, name: str, other: str, hint: str = "") -> Failure:
        """That the setting `name` is needed beside `other`."""
        wanted = f"{flag_of(name)} beside {other}"
        hint = hint or f"in a file: {declared(type(self))[name].written(Place.FILE)}"
        return Failure(Reason.USAGE, wanted, "none", hint)


class Place(StrEnum):
    """Where a value may come from, the weakest first."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Declared:
    """A member of a record of settings, as it was declared."""

    program: str
    name: str
    kind: Kind
    setting: Setting
    default: Any = dataclasses.MISSING

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return self.default is dataclasses.MISSING

    @property
    def flag(self) -> str:
        """Its flag."""
        return flag_of(self.name)

    @property
    def variables(self) -> tuple[str, ...]:
        """Its variables in the environment, the first before the second."""
        own = prefix_of(self.program) + self.name.upper()
        return tuple(dict.fromkeys((own, self.setting.variable or own)))

    @property
    def expectation(self) -> str:
        """What it takes."""
        return expectation(self.kind, self.setting)

    @property
    def sample(self) -> Any:
        """A value that teaches: the example, else the default; of a switch, the other one."""
        if self.kind.base is bool and not self.required:
            return not self.default
        return self.default if self.setting.example is None else self.setting.example

    def of_toml(self, value: object) -> Any:
        """Raises Unfit."""
        return from_toml(self.kind, self.setting, value, blank=self.default == "")

    def of_texts(self, texts: Iterable[str]) -> Any:
        """Raises Unfit."""
        return from_texts(self.kind, self.setting, tuple(texts), blank=self.default == "")

    def written(self, place: Place) -> str:
        """How `sample` is given there."""
        if place is Place.FILE:
            return f"{self.name} = {toml_of(self.sample)}"
        if place is Place.ENVIRONMENT:
            return f"{self.variables[0]}='{text_of(self.sample)}'"
        if self.kind.base is bool:
            return self.flag
        each = self.sample if self.kind.shape is Shape.MANY else (self.sample,)
        return " ".join(f"{self.flag} {text_of(one)}" for one in each)


def declared(record: type[Settings]) -> Mapping[str, Declared]:
    """The settings of a record by name, in its order."""
    hints = get_type_hints(record, include_extras=True)
    every = {}
    for member in dataclasses.fields(record):
        hint, setting = get_args(hints[member.name])
        make_default = member.default_factory
        default = member.default if make_default is dataclasses.MISSING else make_default()
        kind = kind_of(hint)
        every[member.name] = Declared(record.PROGRAM, member.name, kind, setting, default)
    return MappingProxyType(every)


def flag_of(name: str) -> str:
    """The flag of a setting."""
    return f"--{name.replace('_', '-')}"


def prefix_of(program: str) -> str:
    """What the variables of a program begin with."""
    return f"FRAMEGATE_{program.upper()}_"
