"""`[[extend]]` of a profile: what user space extends into PCRs after boot, in words that the
profile lists, where no quirk has them by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.eventlog.quirks import EXTENDED
from framegate.eventlog.user_space import BOOT_PCRS, Extends
from framegate.ima.entry import IMA_PCR

MAX_EXTENDS: Final = 4
"""Behaviours beside those known by name; each multiplies what is tried against a quote."""
MAX_WORD_BYTES: Final = 256
"""The longest word known is `nvpcr-init:` with a name, an index and a digest: some 120 bytes."""
_LAST: Final = 15
"""From PCR 16 on, PCRs can be reset while the system runs."""
MAX_STATES: Final = 9
"""Boots that the words may make: what the quirks by name multiply them by, with every place that
the separator may have among them, stays below `MAX_CANDIDATES`.
"""


def parse_extends(body: dict[str, Any], quirks: frozenset[str]) -> tuple[Extends, ...]:
    """The behaviours in `[[extend]]`, in the order in which they happen. Raises Malformed
    (PROFILE_INVALID), also where they stand without their quirk, or it without them.
    """
    tables = body.get("extend", [])
    if type(tables) is not list or len(tables) > MAX_EXTENDS:
        raise _bad(f"at most {MAX_EXTENDS} [[extend]]", tables)
    extends = tuple(map(_extend, tables))
    states = 1
    for each in extends:
        states *= len(each.words) + 1
    if bool(extends) != (EXTENDED in quirks):
        raise _bad(f"[[extend]] together with quirk {EXTENDED}", sorted(quirks))
    if states > MAX_STATES:
        raise _bad(f"[[extend]] whose words make at most {MAX_STATES} states", states)
    return extends


def _extend(table: Any) -> Extends:
    if type(table) is not dict or set(table) != {"name", "pcrs", "words"}:
        raise _bad("[[extend]] with name, pcrs, words", table)
    pcrs, texts = table["pcrs"], table["words"]
    if type(table["name"]) is not str or not table["name"]:
        raise _bad("name of an [[extend]] as a string", table["name"])
    if not _ascending(pcrs) or BOOT_PCRS & set(pcrs) not in (frozenset(), BOOT_PCRS):
        raise _bad(
            f"pcrs of an [[extend]] ascending, 0 to {_LAST} without {IMA_PCR}, and of 0 to 7 all or"
            " none",
            pcrs,
        )
    if type(texts) is not list or not texts or not all(map(_word, texts)):
        raise _bad(f"words of an [[extend]] as texts of 1 to {MAX_WORD_BYTES} bytes", texts)
    return Extends(EXTENDED, table["name"], tuple(pcrs), tuple(texts))


def _ascending(pcrs: Any) -> bool:
    return (
        type(pcrs) is list
        and bool(pcrs)
        and all(type(p) is int and 0 <= p <= _LAST and p != IMA_PCR for p in pcrs)
        and pcrs == sorted(set(pcrs))
    )


def _word(word: Any) -> bool:
    return type(word) is str and word.isprintable() and 0 < len(word.encode()) <= MAX_WORD_BYTES


def _bad(expected: str, actual: Any) -> Malformed:
    return Malformed.of(
        Reason.PROFILE_INVALID, expected, ascii(actual)[:200], "see firmware_profiles/README.md"
    )


def in_sentences(extends: Sequence[Extends]) -> list[str]:
    """Each behaviour in words."""
    return [
        f"After boot, PCR {', '.join(map(str, e.pcrs))} may go on with {', '.join(e.words)}"
        f" ({e.name})."
        for e in extends
    ]
