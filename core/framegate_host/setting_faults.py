"""What is wrong with settings that were given: what was expected, what came, where, what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from framegate.errors import Failure, Reason
from framegate_host.setting_records import Declared, Place, Settings, declared, prefix_of
from framegate_host.setting_values import MAX_NAME, Secret, Shape, Unfit

_SECRET_NAME: Final = re.compile(
    r"(?i)(pass|passwd|password|passphrase|secret|token|pin|credentials?|(api|private)?_?key)s?$"
)


def unfit(one: Declared, place: Place, where: str, error: Unfit) -> Failure:
    """A value that the setting does not take; `where` is the file, the variable or the flag."""
    seen = f"{error.seen} (key {one.name} of {where})" if place is Place.FILE else ""
    seen = seen or f"{error.seen} ({where})"
    hint = error.hint or f"for instance: {one.written(place)}"
    if isinstance(error, Secret) and place is Place.FLAG:
        hint += "; change it, every process of this machine could see it"
    return Failure(Reason.USAGE, f"{one.name}: {error.expected}", seen, hint)


def lacking(one: Declared) -> Failure:
    """A setting that has to be given, and is not."""
    hint = f"{one.written(Place.FLAG)}, or {one.name} in a file, or {one.variables[0]}"
    return Failure(Reason.USAGE, f"{one.flag}: {one.expectation}", "none", hint)


def unknown_key(record: type[Settings], name: str, value: object, file: Path) -> Failure:
    """A key, or a section, that the program does not have."""
    program, known = f"framegate-{record.PROGRAM}", declared(record)
    if _looks_secret(name, known):
        return _secret(known, name, f"{name[:MAX_NAME]!a} in {file}")
    near = _nearest(name, known)
    if isinstance(value, dict):
        hint = f"did you mean {near}?" if near else _section_hint(record, name, value)
        seen = f"[{ascii(name[:MAX_NAME])[1:-1]}] in {file}"
        return Failure(Reason.USAGE, f"sections of {program}", seen, hint)
    hint = f"did you mean {near}?" if near else f"all keys: {program} config show"
    return Failure(Reason.USAGE, f"keys of {program}", f"{name[:MAX_NAME]!a} in {file}", hint)


def unknown_variable(record: type[Settings], variable: str) -> Failure:
    """A variable with the program's prefix that names no setting."""
    known, name = declared(record), variable.removeprefix(prefix_of(record.PROGRAM)).lower()
    if _looks_secret(name, known):
        return _secret(known, name, ascii(variable[:MAX_NAME])[1:-1])
    near = _nearest(name, known)
    hint = f"did you mean {known[near].variables[0]}?" if near else "unset it"
    wanted = f"variables of framegate-{record.PROGRAM}"
    return Failure(Reason.USAGE, wanted, ascii(variable[:MAX_NAME])[1:-1], hint)


def _section_hint(record: type[Settings], name: str, keys: Mapping[str, object]) -> str:
    known = declared(record)
    for key in (each for inner in keys for each in (f"{name}_{inner}", inner)):
        if key in known:
            return f"in no section: {known[key].written(Place.FILE)}"
    tables = [f"[{one.name}]" for one in known.values() if one.kind.shape is Shape.TABLE]
    return f"framegate-{record.PROGRAM} has {', '.join(tables) or 'none'}"


def _looks_secret(name: str, known: Mapping[str, Declared]) -> bool:
    """Of an unknown name; not where a known one that looks so as well was meant."""
    alike = (each for each in known if _SECRET_NAME.search(each))
    return _SECRET_NAME.search(name) is not None and _nearest(name, alike) is None


def _secret(known: Mapping[str, Declared], name: str, where: str) -> Failure:
    near = _nearest(f"{name}_file", (each for each in known if each.endswith("_file")))
    hint = f"{near} names the file that holds it" if near else "settings name files, not secrets"
    return Failure(Reason.USAGE, "no secret among settings", where, hint)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name.lower()[:MAX_NAME], list(known), 1)), None)
