"""docs/adr/index.md, from the titles and states of the decisions themselves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from made.markdown import table

FOLDER: Final = Path(__file__).parents[2] / "docs/adr"
PAGE: Final = "docs/adr/index.md"
HEAD: Final = """# Decisions

Made from the files of this folder by `make pages`; do not edit. One decision a page: what it was
about, what was decided, what follows. A decision that is overtaken stays, and its status names the
one that took its place. CONTRIBUTING.md says how to write one.

"""
STATUS: Final = re.compile(
    r"Status: (in force|in force, changed by (?:\d+)|replaced by (?:\d+)|proposed)\."
)


def pages() -> dict[str, str]:
    """The index by its path. Raises ValueError where a decision lacks number, title or status, or
    has another's number. One whose page is not there yet leaves a gap.
    """
    rows: list[tuple[str, str, str]] = []
    before = 0
    for file in sorted(FOLDER.glob("[0-9]*.md")):
        number = int(file.name.partition("-")[0])
        if number <= before:
            raise ValueError(f"{file.name}: the number of another decision")
        before = number
        lines = file.read_text("utf-8").splitlines()
        title = re.fullmatch(rf"# {number}\. (.+)", lines[0])
        status = STATUS.fullmatch(lines[2]) if len(lines) > 2 else None
        if title is None or status is None or not file.name.startswith(f"{number:04}-"):
            raise ValueError(f"{file.name}: '# {number}. TITLE', a blank line, '{STATUS.pattern}'")
        rows.append((f"[{number}]({file.name})", title[1], status[1]))
    return {PAGE: HEAD + table(("", "decision", "status"), rows)}
