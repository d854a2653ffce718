"""Check every Markdown page: links and anchors resolve, lines fit, what it speaks of exists, and
how long a command takes stands in one place.

Also that source files send people only to pages that exist. Needs nothing but Python.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote

ROOT: Final = Path(__file__).resolve().parents[1]
WIDE: Final = 120
"""Columns of prose; tables and code blocks cannot be broken."""
README_LINES: Final = 90
SKIPPED: Final = {"build", "__pycache__", "node_modules"}
SOURCES: Final = {".py", ".pyi", ".sh", ".proto", ".toml", ".cedar", ".yml", ".yaml"}
FOLDERS: Final = "agent|controller|core|docs|firmware_profiles|proto|scripts|simulators|tests"
HISTORY: Final = ("docs/adr/", "CHANGELOG.md")
"""Pages that tell of the past: files they speak of may be gone."""
TIMES: Final = (
    "docs/reference/figures.md",
    "docs/reference/model-card.md",
    "docs/scaling.md",
    *HISTORY,
)
"""Where it may stand how long a command takes: in one place, but for how the model was trained and
for what grows with a fleet.
"""
_NUMBER: Final = (
    r"(?:\d[\d.,]*|a few|some|half an?|one|two|three|four|five|six|seven|eight|nine|ten|fifteen"
    r"|twenty|thirty|forty|sixty)"
)
_TIME: Final = rf"\b{_NUMBER} (?:s|min|seconds?|minutes?|hours?)\b"
_TIMED: Final = re.compile(
    rf"`make [a-z][a-z-]+\b.*?{_TIME}|{_TIME}.*?`make [a-z][a-z-]+\b|\btakes (?:\w+ )?{_TIME}"
)
_HELP: Final = re.compile(r"[a-z-]+:.*?## (.*)")
_FENCE: Final = re.compile(r"\s*(```|~~~)")
_LINK: Final = re.compile(
    r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)"
)
_HTML: Final = re.compile(r"<(?:img|a|source)\b[^>]*?\b(?:src|srcset|href)=\"([^\"]+)\"")
_CODE: Final = re.compile(r"`([^`\n]+)`")
_FILE: Final = re.compile(
    r"(?:[\w.-]+/)*[\w.*-]+\.(?:py|toml|sh|proto|md|cedar|json|svg)(?::([A-Za-z_]\w*))?"
)
_PAGE: Final = re.compile(rf"(?<![\w/.-])(?:(?:{FOLDERS})/[\w/.-]+\.md)\b")


def main() -> int:
    """0 where nothing is wrong; each fault is a line on standard error."""
    faults = [f for page in pages() for f in _faults(page)] + list(_sources())
    for page in (*pages(), ROOT / "Makefile"):
        faults += times(page.relative_to(ROOT).as_posix(), _read(page))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


@cache
def files() -> tuple[Path, ...]:
    """Every file of the repository but what is hidden or built; .github's are in."""
    listed: list[Path] = []
    waiting = [ROOT]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            hidden = path.name.startswith(".") and path.name != ".github"
            if path.is_dir() and not path.is_symlink():
                if not hidden and path.name not in SKIPPED:
                    waiting.append(path)
            elif not hidden:
                listed.append(path)
    return tuple(listed)


def pages() -> list[Path]:
    """Every Markdown page."""
    return [p for p in files() if p.suffix == ".md"]


@cache
def _read(path: Path) -> str:
    return path.read_text("utf-8")


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines outside of code blocks."""
    fenced, blank = False, True
    for at, line in enumerate(text.splitlines(), start=1):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and not (line.startswith("    ") and blank):
            yield at, line
            blank = not line.strip()


def _faults(page: Path) -> Iterator[str]:
    name = str(page.relative_to(ROOT))
    text = _read(page)
    if name == "README.md" and len(text.splitlines()) > README_LINES:
        yield f"{name}: {len(text.splitlines())} lines, at most {README_LINES}"
    for at, line in _prose(text):
        if len(line) > WIDE and not line.startswith("|") and "](" not in line:
            yield f"{name}:{at}: {len(line)} columns, at most {WIDE}"
        bare = _CODE.sub("", line)
        for target in (*_LINK.findall(line if "](" in bare else ""), *_HTML.findall(bare)):
            if problem := _link(page, target):
                yield f"{name}:{at}: {problem}"
        if not name.startswith(HISTORY):
            for code in _CODE.findall(line):
                if problem := _spoken_of(code):
                    yield f"{name}:{at}: {problem}"


def times(name: str, text: str) -> Iterator[str]:
    """A line for each sentence of a page, or help of the Makefile, that says how long a command
    takes and is not where all such figures are.
    """
    if name.startswith(TIMES):
        return
    if name == "Makefile":
        said = [(at, m[1]) for at, line in _numbered(text) if (m := _HELP.match(line))]
        faults = [(at, words) for at, words in said if re.search(_TIME, words)]
    else:
        faults = [(at, words) for at, words in _sentences(text) if _TIMED.search(words)]
    for at, words in faults:
        yield f"{name}:{at}: how long it takes stands in {TIMES[0]} alone: {words[:60]}"


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    return enumerate(text.splitlines(), start=1)


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """Sentences of prose with the line that each one begins in."""
    begun, words = 0, ""
    for at, line in (*_prose(text), (0, "")):
        for part in re.split(r"(?<=[.:;]) ", line.strip()):
            begun, words = begun or at, f"{words} {part}".strip()
            if not part or part.endswith((".", ":", ";", "-->")) or line.startswith("|"):
                if words:
                    yield begun, words
                begun, words = 0, ""


def _link(page: Path, target: str) -> str:
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return ""
    path, _, anchor = unquote(target).partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.is_relative_to(ROOT) or not file.exists():
        return f"no {target}"
    if anchor and file.suffix == ".md" and anchor not in _anchors(file):
        return f"{target}: no such heading"
    return ""


@cache
def _anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as Git hosts make them."""
    anchors: set[str] = set()
    for _, line in _prose(_read(page)):
        if heading := re.match(r"#{1,6}\s+(.*?)\s*#*$", line):
            title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).replace("`", "")
            slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            number, anchor = 0, slug
            while anchor in anchors:
                number, anchor = number + 1, f"{slug}-{number + 1}"
            anchors.add(anchor)
        anchors.update(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", line))
    return frozenset(anchors)


@cache
def _paths() -> tuple[str, ...]:
    """Every file, as prose names it."""
    return tuple(f.relative_to(ROOT).as_posix() for f in files())


def _spoken_of(code: str) -> str:
    """What is wrong with a file, or `file.py:name`, that prose speaks of by its path's end."""
    spelled = _FILE.fullmatch(code)
    path = code.partition(":")[0]
    if spelled is None or path.startswith("build/") or not ("/" in path or path.endswith(".py")):
        return ""
    name = spelled[1] or ""
    pattern = re.compile("(?:.*/)?" + re.escape(path).replace(r"\*", "[^/]*"))
    meant = [ROOT / f for f in _paths() if pattern.fullmatch(f)]
    if not meant:
        return f"no file {path}"
    if name and not any(re.search(rf"\b{name}\b", _read(f)) for f in meant):
        return f"no {name} in {path}"
    return ""


def _sources() -> Iterator[str]:
    for path in files():
        if path.suffix in SOURCES or path.name == "Makefile":
            for at, line in enumerate(_read(path).splitlines(), start=1):
                for page in _PAGE.findall(line):
                    if not (ROOT / page).exists():
                        yield f"{path.relative_to(ROOT)}:{at}: no {page}"


if __name__ == "__main__":
    raise SystemExit(main())
