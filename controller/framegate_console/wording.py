"""The words of the pages, from message files: one a language, each with the same keys."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

LANGUAGES: Final = ("en", "de")
"""The first is what a message falls back to nowhere: every file has every key."""
_MAX_HEADER: Final = 200
"""Characters of Accept-Language that are looked at."""


@dataclass(frozen=True, slots=True)
class Words:
    """One language's messages by key; a key that is not there is a fault of ours."""

    language: str
    messages: Mapping[str, str]

    def __call__(self, key: str, **members: Any) -> str:
        """The message with its members filled in; where `n` is one of them, for one or many."""
        if "n" in members and key not in self.messages:
            key = f"{key}.one" if members["n"] == 1 else f"{key}.many"
        return self.messages[key].format_map(members) if members else self.messages[key]

    def named(self, group: str, value: str) -> str:
        """The word for a wire value in `group`; the value itself where it has none."""
        return self.messages.get(f"{group}.{value}", value)

    def decimal(self, value: float, places: int = 1) -> str:
        """A number as this language writes it."""
        return f"{value:.{places}f}".replace(".", self.messages["number.point"])


@cache
def words_in(language: str) -> Words:
    """The words of one language."""
    text = (files("framegate_console") / "messages" / f"{language}.toml").read_text("utf-8")
    return Words(language, dict(_flat(tomllib.loads(text), "")))


def language_of(chosen: str, accepted: str, otherwise: str) -> str:
    """The language to speak: what somebody `chosen`, else the first that their browser `accepted`
    (RFC 9110, 12.5.4, in the order of its weights), else `otherwise`.
    """
    if chosen in LANGUAGES:
        return chosen
    weighed: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted[:_MAX_HEADER].split(",")):
        tag, _, parameter = part.strip().lower().partition(";")
        weight = parameter.strip().removeprefix("q=")
        try:
            weighed.append((-float(weight or 1), place, tag.partition("-")[0]))
        except ValueError:
            continue
    return next((tag for _, _, tag in sorted(weighed) if tag in LANGUAGES), otherwise)


def _flat(table: Mapping[str, Any], before: str) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in table.items():
        key = f"{before}.{name}" if before else name
        rows += _flat(value, key) if isinstance(value, dict) else [(key, str(value))]
    return rows
