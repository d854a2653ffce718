"""Settings of a program: one frozen record, read from a TOML file, the environment and flags.

A record says everything about its settings; a new one is one more member:

    threads: Annotated[int, Setting("Threads of the model.", least=1, most=64)] = 2

A member without a default has to be given. Flags come before the environment, the environment
before the file, the file before the default. The key in the file is the member's name; the flag is
`--threads`, the variable `FRAMEGATE_<PROGRAM>_THREADS`. Secrets are in none of the three: settings
name the files that hold them.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, Generic, TypeVar, get_args, get_type_hints

from framegate.errors import Failure, Reason, Refused
from framegate_host.setting_values import (
    Kind,
    Setting,
    Shape,
    Unfit,
    from_texts,
    from_toml,
    kind_of,
    text_of,
    toml_of,
    words,
)

MAX_FILE_BYTES: Final = 64 * 1024
"""A file of every setting with its comments is some five kilobytes."""
MAX_UNKNOWN: Final = 20
"""Unknown names that are told one by one; a file of more is a file of something else."""
CONFIG: Final = "config"
"""Names the file, so it is a flag and a variable, and no key."""
_SECRET_NAME: Final = re.compile(r"(?i)(pass|passwd|password|passphrase|secret|token|pin|credentials?|(api|private)?_?key)s?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Base of a program's settings."""

    PROGRAM: ClassVar[str] = ""

    def problems(self) -> Iterator[Failure]:
        """What is wrong between settings that are each right."""
        yield from ()


S = TypeVar("S", bound=Settings)


class Place(StrEnum):
    """Where a value may come from, the weakest first."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: the place, and its name there (file, variable or flag)."""

    place: Place
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.place.value


@dataclass(frozen=True, slots=True)
class Found:
    """A setting's value and where it came from."""

    value: Any
    origin: Origin


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
    def words(self) -> str:
        """What it takes."""
        return words(self.kind, self.setting)

    @property
    def sample(self) -> Any:
        """A value that teaches: the example, else the default."""
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


@dataclass(frozen=True, slots=True)
class Given:
    """All that a program was given. A flag's texts are in order; of a switch, true or false."""

    file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Resolved(Generic[S]):
    """Each setting with its origin, and everything that is wrong."""

    def __init__(self, record: type[S], found: Mapping[str, Found], failures: Iterable[Failure], misread: int) -> None:
        self.record, self.found = record, MappingProxyType(dict(found))
        self._failures, self._misread = tuple(failures), misread

    @property
    def missing(self) -> tuple[Declared, ...]:
        """Settings that have to be given and are not."""
        return tuple(d for d in declared(self.record).values() if d.name not in self.found)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Everything that is wrong with what was given; not what is missing.

        Whether settings go together is asked once each by itself is right, with examples in the
        place of those that are missing.
        """
        if self._misread:
            return self._failures
        samples = {d.name: d.sample for d in self.missing}
        return (*self._failures, *self._record(samples).problems())

    def settings(self) -> S:
        """The record. Raises Refused with every problem."""
        lacking = tuple(_lacks(each) for each in self.missing)
        if failures := (*lacking, *self.failures):
            raise Refused(failures)
        return self._record({})

    def some(self, names: Iterable[str]) -> dict[str, Any]:
        """The values of `names`; others may be missing. Raises Refused with every problem."""
        chosen = tuple(names)
        lacking = tuple(_lacks(each) for each in self.missing if each.name in chosen)
        if failures := (*lacking, *self._failures):
            raise Refused(failures)
        return {name: self.found[name].value for name in chosen}

    def _record(self, more: Mapping[str, Any]) -> S:
        return self.record(**{n: f.value for n, f in self.found.items()}, **more)


@functools.cache
def declared(record: type[Settings]) -> Mapping[str, Declared]:
    """The settings of a record by name, in its order."""
    hints, all_declared = get_type_hints(record, include_extras=True), {}
    for member in dataclasses.fields(record):
        hint, setting = get_args(hints[member.name])
        default = member.default
        if member.default_factory is not dataclasses.MISSING:
            default = member.default_factory()
        all_declared[member.name] = Declared(record.PROGRAM, member.name, kind_of(hint), setting, default)
    return MappingProxyType(all_declared)


def resolve(record: type[S], given: Given) -> Resolved[S]:
    """What holds of all that was given: flags, else environment, else file, else defaults."""
    known, failures, misread = declared(record), [], 0
    found = {d.name: Found(d.default, Origin(Place.DEFAULT)) for d in known.values() if not d.required}
    for entry in (*_in_file(record, given.file), *_in_environment(record, given), *_flags(given)):
        if isinstance(entry, Failure):
            failures.append(entry)
            continue
        one = known[entry.name]
        try:
            value = one.of_texts(entry.value) if entry.is_text else one.of_toml(entry.value)
            _look(one, value)
        except Unfit as error:
            misread += 1
            failures.append(_unfit(one, entry.origin, error))
            continue
        if one.kind.shape is Shape.TABLE:
            value = MappingProxyType({**found[one.name].value, **value})
        found[one.name] = Found(value, entry.origin)
    return Resolved(record, found, failures, misread)


def beside(name: str, other: str, hint: str = "") -> Failure:
    """That the setting `name` is needed beside `other`."""
    wanted = f"{flag_of(name)} beside {other}"
    return Failure(Reason.USAGE, wanted, "none", hint or f"in a file: {name} = …")


def flag_of(name: str) -> str:
    """The flag of a setting."""
    return f"--{name.replace('_', '-')}"


def prefix_of(program: str) -> str:
    """What the variables of a program begin with."""
    return f"FRAMEGATE_{program.upper()}_"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A value that was given for a known setting: texts, or what TOML had."""

    name: str
    origin: Origin
    value: Any
    is_text: bool


def _in_file(record: type[Settings], file: Path | None) -> Iterator[_Entry | Failure]:
    if file is None:
        return
    known = declared(record)
    try:
        body = _read(file)
    except Refused as error:
        yield from error.failures
        return
    for name in known.keys() & body.keys():
        yield _Entry(name, Origin(Place.FILE, str(file)), body[name], False)
    unknown = [name for name in body if name not in known]
    for name in unknown[:MAX_UNKNOWN]:
        yield _unknown_key(record, name, body[name], file)
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
    known, taken = declared(record), {prefix_of(record.PROGRAM) + CONFIG.upper()}
    for one in known.values():
        taken.update(one.variables)
        name = next((v for v in one.variables if given.environment.get(v)), None)
        if name is not None:
            origin = Origin(Place.ENVIRONMENT, name)
            yield _Entry(one.name, origin, (given.environment[name],), True)
    prefix = prefix_of(record.PROGRAM)
    unknown = sorted(n for n in given.environment if n.startswith(prefix) and n not in taken)
    for name in unknown[:MAX_UNKNOWN]:
        yield _unknown_variable(record, name)


def _flags(given: Given) -> Iterator[_Entry]:
    for name, texts in given.flags.items():
        yield _Entry(name, Origin(Place.FLAG, flag_of(name)), texts, True)


def _look(one: Declared, value: Any) -> None:
    """That what has to be there is there. Raises Unfit."""
    for path in value if one.kind.shape is Shape.MANY else (value,):
        if one.setting.there == "file" and not path.is_file():
            raise Unfit("a file that is there", ascii(str(path)), "is the name right?")
        if one.setting.there == "folder" and not path.is_dir():
            raise Unfit("a folder that is there", ascii(str(path)), "is the name right?")


def _unfit(one: Declared, origin: Origin, error: Unfit) -> Failure:
    place = f"key {one.name} of {origin}" if origin.place is Place.FILE else str(origin)
    hint = error.hint or f"for instance: {one.written(origin.place)}"
    return Failure(Reason.USAGE, f"{one.name}: {error.expected}", f"{error.seen} ({place})", hint)


def _lacks(one: Declared) -> Failure:
    hint = f"{one.written(Place.FLAG)}, or {one.name} in a file, or {one.variables[0]}"
    return Failure(Reason.USAGE, f"{one.flag}: {one.words}", "none", hint)


def _unknown_key(record: type[Settings], name: str, value: object, file: Path) -> Failure:
    program, known = f"framegate-{record.PROGRAM}", declared(record)
    if _looks_secret(name, known):
        return _secret(known, name, f"{_quoted(name)} in {file}")
    if isinstance(value, dict):
        return _unknown_section(record, name, value, file)
    near = _nearest(name, known)
    hint = f"did you mean {near}?" if near else f"all keys: {program} config show"
    return Failure(Reason.USAGE, f"keys of {program}", f"{_quoted(name)} in {file}", hint)


def _unknown_section(record: type[Settings], name: str, keys: Mapping[str, object], file: Path) -> Failure:
    known = declared(record)
    inner = next((near for key in keys if (near := _nearest(f"{name}_{key}", known))), None)
    inner = inner or next((key for key in keys if key in known), None)
    if near := _nearest(name, known):
        hint = f"did you mean {near}?"
    elif inner:
        hint = f"keys stand in no section: {known[inner].written(Place.FILE)}"
    else:
        tables = ", ".join(f"[{d.name}]" for d in known.values() if d.kind.shape is Shape.TABLE)
        hint = f"framegate-{record.PROGRAM} has {tables or 'no sections'}"
    wanted = f"sections of framegate-{record.PROGRAM}"
    return Failure(Reason.USAGE, wanted, f"[{_quoted(name)[1:-1]}] in {file}", hint)


def _unknown_variable(record: type[Settings], variable: str) -> Failure:
    known, name = declared(record), variable.removeprefix(prefix_of(record.PROGRAM)).lower()
    if _looks_secret(name, known):
        return _secret(known, name, variable)
    near = _nearest(name, known)
    hint = f"did you mean {known[near].variables[0]}?" if near else f"unset {variable}"
    wanted = f"variables of framegate-{record.PROGRAM}"
    return Failure(Reason.USAGE, wanted, ascii(variable[:80])[1:-1], hint)


def _looks_secret(name: str, known: Mapping[str, Declared]) -> bool:
    """Of a name that is unknown; not one that is nearly a known one's."""
    return _SECRET_NAME.search(name) is not None and not difflib.get_close_matches(name[:80], [n for n in known if _SECRET_NAME.search(n)], cutoff=0.8)


def _secret(known: Mapping[str, Declared], name: str, where: str) -> Failure:
    files = [n for n in known if n.endswith("_file")]
    near = _nearest(f"{name}_file", files)
    hint = f"{near} names the file that holds it" if near else "settings name files, not secrets"
    return Failure(Reason.USAGE, "no secret among settings", where, hint)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name.lower()[:80], list(known), 1)), None)


def _quoted(name: str) -> str:
    return ascii(name[:80])
