"""The code blocks of README and docs: which are run as a reader would paste them, which are not.

A block is what stands indented or fenced. A comment directly above it says what is special:

    <!-- block: text -->                  no commands: output, a format, a file
    <!-- block: unrun, REASON -->         commands that no test can run; their number only shrinks
    <!-- block: stays, until "TEXT" -->   in a terminal of its own; go on once TEXT is printed
    <!-- block: until "TEXT" -->          go on once TEXT is printed
    <!-- block: ends with N -->           commands in it may end with exit code N
    <!-- block: answers "TEXT" -->        it asks, and a reader answers so

A fence that names a language other than sh is text, and so is every block of a page that is made
from declarations. A comment about the whole page stands anywhere in it:

    <!-- blocks: on make try -->          its shell begins in an empty folder, beside a `make try`
    <!-- blocks: given COMMAND -->        what somebody did before this page is read
    <!-- blocks: each COMMAND -->         what is typed first in each terminal of this page
    <!-- blocks: by TEST -->              that test follows this page instead

Every other block is run by tests/blocks, in order, each page in a shell of its own. This script
counts, and asks the shell whether it can read each of them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md")
UNRUN: Final = 44
"""Blocks of commands that no test runs, each with its reason above it. Lower it with them."""
_MADE: Final = re.compile(r"^Made from .*`make$|^Made from .*`make pages`", re.M)
_FENCE: Final = re.compile(r"```([\w-]*)\s*$")
_BLOCK: Final = re.compile(r"<!-- block: (.+) -->$")
_PAGE: Final = re.compile(r"^<!-- blocks: (.+) -->$", re.M)
_STAYS: Final = re.compile(r'stays, until "([^"]+)"')
_UNTIL: Final = re.compile(r'until "([^"]+)"')
_ENDS: Final = re.compile(r"ends with (\d+)")
_ANSWERS: Final = re.compile(r'answers "([^"]+)"')
_UNRUN: Final = re.compile(r"unrun, (\S.+)")
ON_TRY: Final = "on make try"
GIVEN: Final = "given "
EACH: Final = "each "
BY: Final = "by "


class Kind(Enum):
    """What becomes of a block."""

    RUN = "run"
    STAYS = "stays"
    UNRUN = "unrun"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its first line's number, its text, and what the comment above it says."""

    at: int
    text: str
    kind: Kind = Kind.RUN
    until: str = ""
    code: int = 0
    why: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its blocks in order, whether they stand on a running `make try`, and what was done
    before.
    """

    name: str
    blocks: tuple[Block, ...]
    on_try: bool = False
    given: tuple[str, ...] = field(default=())
    by: str = ""
    each: tuple[str, ...] = field(default=())

    @property
    def runs(self) -> bool:
        """Whether tests/blocks runs anything in it."""
        return not self.by and any(b.kind in {Kind.RUN, Kind.STAYS} for b in self.blocks)


class Unreadable(ValueError):
    """A comment about blocks that says nothing known."""


def main() -> int:
    """0 where as many blocks are unrun as `UNRUN` says."""
    try:
        every = pages(ROOT)
        for page in every:
            _require_shell(page)
        blocks = [b for p in every for b in p.blocks]
    except Unreadable as error:
        print(error, file=sys.stderr)
        return 1
    unrun = sum(b.kind is Kind.UNRUN for b in blocks)
    run = sum(b.kind in {Kind.RUN, Kind.STAYS} for b in blocks)
    print(f"code blocks: {run} are run as they stand, {unrun} are not, each with its reason")
    if unrun != UNRUN:
        way = "run the new ones" if unrun > UNRUN else f"write UNRUN = {unrun}"
        print(f"scripts/blocks.py: expected {UNRUN} unrun blocks, got {unrun}: {way}")
        return 1
    return 0


def _require_shell(page: Page) -> None:
    """Raises Unreadable where a block that is run is no shell: a format that lacks its comment."""
    for block in page.blocks:
        if block.kind not in {Kind.RUN, Kind.STAYS}:
            continue
        read = subprocess.run(
            ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False
        )
        if read.returncode:
            said = read.stderr.strip().splitlines()[0]
            raise Unreadable(f"{page.name}:{block.at}: expected commands, got {said}")


def pages(root: Path) -> list[Page]:
    """Every page with blocks. Raises Unreadable."""
    files = sorted({f for pattern in PAGES for f in root.glob(pattern)})
    read = [page_of(str(f.relative_to(root)), f.read_text("utf-8")) for f in files]
    return [p for p in read if p.blocks]


def page_of(name: str, text: str) -> Page:
    """The page `text`. Raises Unreadable."""
    made = bool(_MADE.search(text))
    about = _PAGE.findall(text)
    for one in about:
        if one != ON_TRY and not one.startswith((GIVEN, EACH, BY)):
            raise Unreadable(f"{name}: expected one of scripts/blocks.py's comments, got {one!a}")
    blocks = []
    for at, lines, told, language in _raw(text.splitlines()):
        if made or language not in {"", "sh"}:
            blocks.append(Block(at, "\n".join(lines), Kind.TEXT))
        else:
            blocks.append(_block(f"{name}:{at}", at, "\n".join(lines) + "\n", told))
    given = tuple(o.removeprefix(GIVEN) for o in about if o.startswith(GIVEN))
    each = tuple(o.removeprefix(EACH) for o in about if o.startswith(EACH))
    by = next((o.removeprefix(BY) for o in about if o.startswith(BY)), "")
    if by and not (ROOT / by).is_file():
        raise Unreadable(f"{name}: expected a test that follows this page, got {by!a}")
    return Page(name, tuple(blocks), ON_TRY in about, given, by, each)


def _block(where: str, at: int, text: str, told: str) -> Block:
    if not told:
        return Block(at, text)
    if told == "text":
        return Block(at, text, Kind.TEXT)
    if match := _STAYS.fullmatch(told):
        return Block(at, text, Kind.STAYS, until=match[1])
    if match := _UNTIL.fullmatch(told):
        return Block(at, text, until=match[1])
    if match := _ENDS.fullmatch(told):
        return Block(at, text, code=int(match[1]))
    if match := _ANSWERS.fullmatch(told):
        return Block(at, text, answer=match[1])
    if match := _UNRUN.fullmatch(told):
        return Block(at, text, Kind.UNRUN, why=match[1])
    raise Unreadable(f"{where}: expected one of scripts/blocks.py's comments, got {told!a}")


@dataclass(slots=True)
class _Raw:
    at: int
    told: str
    language: str = ""
    lines: list[str] = field(default_factory=list)


def _raw(lines: list[str]) -> Iterator[tuple[int, list[str], str, str]]:
    """First line's number, lines without indent, comment above, language of the fence."""
    told, blank, going, fenced = "", True, None, False
    for at, line in enumerate([*lines, "", "end"], start=1):
        fence = _FENCE.match(line)
        if fenced or (going is None and fence):
            if not fence:
                going.lines.append(line)
            elif not fenced:
                going, fenced, told = _Raw(at + 1, told, fence[1]), True, ""
            else:
                yield going.at, going.lines, going.told, going.language
                going, fenced = None, False
            continue
        if line.startswith("    ") and (going is not None or blank):
            going, told = going or _Raw(at, told), ""
            going.lines.append(line.removeprefix("    "))
        elif not line.strip() and going is not None:
            going.lines.append("")
        else:
            if going is not None:
                while not going.lines[-1]:
                    going.lines.pop()
                yield going.at, going.lines, going.told, going.language
                going = None
            if match := _BLOCK.match(line.strip()):
                told = match[1]
            elif line.strip():
                told = ""
        blank = not line.strip()


if __name__ == "__main__":
    raise SystemExit(main())
