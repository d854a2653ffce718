"""The settings of a program as they hold: a flag, else a variable, else the file, else what an
earlier command kept, else the default.

The one place that reads them. What a record is: `setting_records`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from framegate.errors import Failure, Reason, Refused
from framegate_host.setting_faults import (
    lacking,
    unfit,
    unknown_key,
    unknown_variable,
)
from framegate_host.setting_records import (
    CONFIG,
    KEPT_FILE,
    Declared,
    Place,
    Settings,
    declared,
    flag_of,
    prefix_of,
)
from framegate_host.setting_values import Shape, Unfit

MAX_FILE_BYTES: Final = 64 * 1024
"""A file of every setting with its comments is some five kilobytes."""
MAX_UNKNOWN: Final = 20
"""Unknown names that are told one by one; a file of more is a file of something else."""
S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: the place, and its name there (file, variable or flag)."""

    place: Place
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.place.value


@dataclass(frozen=True, slots=True)
class Effective:
    """A setting's value and where it came from."""

    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class Given:
    """All that a program was given. A flag's texts are in order; of a switch, true or false."""

    file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved(Generic[S]):
    """Each setting with its origin, and the faults of what was given.

    `misread` tells whether one of the faults is of a value.
    """

    record: type[S]
    values: Mapping[str, Effective]
    faults: tuple[Failure, ...]
    misread: bool

    @property
    def missing(self) -> tuple[Declared, ...]:
        """Settings that have to be given and are not."""
        return tuple(one for one in declared(self.record).values() if one.name not in self.values)

    @property
    def problems(self) -> tuple[Failure, ...]:
        """All that is wrong with what was given; that something is missing is not.

        What does not go together is asked where each value by itself is right, with examples for
        what is missing.
        """
        if self.misread:
            return self.faults
        return (
            *self.faults,
            *self._build({one.name: one.sample for one in self.missing}).problems(),
        )

    def settings(self) -> S:
        """The record. Raises Refused with everything that is wrong."""
        if failures := (*map(lacking, self.missing), *self.problems):
            raise Refused(failures)
        return self._build({})

    def some(self, names: Iterable[str]) -> dict[str, Any]:
        """The values of `names`, for a command that needs no others. Raises Refused."""
        chosen = tuple(names)
        absent = [lacking(one) for one in self.missing if one.name in chosen]
        if failures := (*absent, *self.faults):
            raise Refused(failures)
        return {name: self.values[name].value for name in chosen}

    def _build(self, samples: Mapping[str, Any]) -> S:
        return self.record(**{name: one.value for name, one in self.values.items()}, **samples)


def resolve(record: type[S], given: Given) -> Resolved[S]:
    """What holds of all that was given and of what was kept, and what is wrong with it."""
    resolved = _resolve(record, given, None)
    state = resolved.values.get("state") if record.KEPT else None
    if state is None:
        return resolved
    file = state.value / KEPT_FILE
    if not os.path.isfile(file):  # noqa: PTH113 - false, too, in a folder closed to this user
        return resolved
    return _resolve(record, given, file)


def _resolve(record: type[S], given: Given, kept: Path | None) -> Resolved[S]:
    known, faults, misread = declared(record), list[Failure](), False
    values = {
        one.name: Effective(one.default, Origin(Place.DEFAULT))
        for one in known.values()
        if not one.required
    }
    every = tuple(known)
    for entry in (
        *_in_file(record, kept, record.KEPT),
        *_in_file(record, given.file, every),
        *_in_environment(record, given),
        *_flags(given),
    ):
        if isinstance(entry, Failure):
            faults.append(entry)
            continue
        one = known[entry.name]
        try:
            value = one.of_texts(entry.value) if entry.is_text else one.of_toml(entry.value)
            _require_there(one, value)
        except Unfit as error:
            misread = True
            faults.append(unfit(one, entry.origin.place, str(entry.origin), error))
            continue
        if one.kind.shape is Shape.TABLE:  # each place adds to the weaker ones
            weaker = values[one.name].value if one.name in values else {}
            value = MappingProxyType({**weaker, **value})
        values[one.name] = Effective(value, entry.origin)
    return Resolved(
        record=record, values=MappingProxyType(values), faults=tuple(faults), misread=misread
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """A value that was given for a known setting: texts, or what TOML had."""

    name: str
    origin: Origin
    value: Any
    is_text: bool


def _in_file(
    record: type[Settings], file: Path | None, known: Collection[str]
) -> Iterator[_Entry | Failure]:
    """What `file` says of the settings `known`; any other key is a fault."""
    if file is None:
        return
    try:
        body = _read(file)
    except Refused as error:
        yield from error.failures
        return
    unknown = [name for name in body if name not in known]
    for name in (name for name in body if name in known):
        yield _Entry(name, Origin(Place.FILE, str(file)), body[name], False)
    for name in unknown[:MAX_UNKNOWN]:
        yield unknown_key(record, name, body[name], file)
    if more := len(unknown[MAX_UNKNOWN:]):
        yield Failure(Reason.USAGE, f"keys of framegate-{record.PROGRAM}", f"{more} more in {file}")


def _read(file: Path) -> dict[str, Any]:
    """The TOML in `file`. Raises Refused."""
    try:
        with file.open("rb") as source:
            data = source.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        seen = error.strerror if isinstance(error, OSError) else "no name of a file"
        hint = "is the name right, and may this user read it?"
        raise Refused.of(Reason.USAGE, f"settings in {file}", seen, hint) from error
    if len(data) > MAX_FILE_BYTES:
        wanted = f"settings of at most {MAX_FILE_BYTES} bytes in {file}"
        raise Refused.of(Reason.USAGE, wanted, "more", "is it the right file?")
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        seen = f"another encoding, at byte {error.start}"
        raise Refused.of(Reason.USAGE, f"UTF-8 in {file}", seen) from error
    except (ValueError, RecursionError) as error:
        seen = "arrays within arrays" if isinstance(error, RecursionError) else str(error)
        hint = 'a setting is a line: name = "text", name = 7, name = true or name = ["text"]'
        raise Refused.of(Reason.USAGE, f"TOML in {file}", seen, hint) from error


def _in_environment(record: type[Settings], given: Given) -> Iterator[_Entry | Failure]:
    """What is set to nothing is not set."""
    prefix, environment = prefix_of(record.PROGRAM), given.environment
    known = {prefix + CONFIG.upper()}
    for one in declared(record).values():
        known.update(one.variables)
        variable = next((each for each in one.variables if environment.get(each)), None)
        if variable is not None:
            origin = Origin(Place.ENVIRONMENT, variable)
            yield _Entry(one.name, origin, (environment[variable],), True)
    unknown = sorted(each for each in environment if each.startswith(prefix) and each not in known)
    for variable in unknown[:MAX_UNKNOWN]:
        yield unknown_variable(record, variable)


def _flags(given: Given) -> Iterator[_Entry]:
    for name, texts in given.flags.items():
        yield _Entry(name, Origin(Place.FLAG, flag_of(name)), texts, True)


def _require_there(one: Declared, value: Any) -> None:
    """That a named file or folder is there, where it has to be. Raises Unfit."""
    for path in value if one.kind.shape is Shape.MANY else (value,):
        # os.path answers no to a name that no file system takes; pathlib raises OSError for some
        if one.setting.there == "file" and not os.path.isfile(path):  # noqa: PTH113
            raise Unfit("a file that is there", ascii(str(path)), "is the name right?")
        if one.setting.there == "folder" and not os.path.isdir(path):  # noqa: PTH112
            raise Unfit("a folder that is there", ascii(str(path)), "is the name right?")
