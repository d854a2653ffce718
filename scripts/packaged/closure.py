"""Which of the pinned requirements an extra of ours needs, by what is installed here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from typing import Final

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_PINNED: Final = re.compile(r"([A-Za-z0-9._-]+)==([^\s;\\]+)(?: *; *([^\\\n]+))?")
"""Name, version, and for which Python."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A requirement as `requirements.txt` has it: its name, version, and text with its hashes."""

    name: str
    version: str
    text: str


def closure(extras: Iterable[str], distribution: str = "framegate") -> frozenset[str]:
    """Names of all that `distribution` with these extras needs, itself not among them."""
    asked: dict[str, frozenset[str]] = {}
    todo = [(distribution, frozenset(extras))]
    while todo:
        name, wanted = todo.pop()
        if name in asked and wanted <= asked[name]:
            continue
        asked[name] = asked.get(name, frozenset()) | wanted
        for line in requires(name) or ():
            one = Requirement(line)
            worlds = asked[name] | {""}
            if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in worlds):
                todo.append((canonicalize_name(one.name), frozenset(one.extras)))
    return frozenset(asked.keys() - {distribution})


def pins(file: Path) -> Iterator[Pin]:
    """Every requirement of a hash-pinned file that is for this Python. Raises ValueError where a
    line is none.
    """
    body = re.sub(r"(?m)^#.*\n", "", file.read_text("utf-8"))
    for entry in filter(str.strip, re.split(r"\n(?=\S)", body)):
        named = _PINNED.match(entry)
        if named is None or "--hash=sha256:" not in entry:
            raise ValueError(f"{file}: expected NAME==VERSION with hashes, seen {entry[:80]!r}")
        if named[3] and not Marker(named[3].strip()).evaluate():
            continue
        yield Pin(canonicalize_name(named[1]), named[2], entry.strip() + "\n")


def pinned(extras: Iterable[str], file: Path, without: Iterable[str] = ()) -> tuple[Pin, ...]:
    """The pins in `file` that these extras need, by name, but for those `without` names. Raises
    ValueError where one lacks.
    """
    every = {pin.name: pin for pin in pins(file)}
    needed = closure(extras)
    if missing := sorted(needed - every.keys()):
        raise ValueError(f"{file} pins no {', '.join(missing)}")
    return tuple(every[name] for name in sorted(needed.difference(without)))
