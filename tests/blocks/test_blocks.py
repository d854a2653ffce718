"""Every code block of README and docs runs as a reader would paste it; see scripts/blocks.py."""

import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.pasted import UNTIL_S, Terminal

ROOT = Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("blocks", ROOT / "scripts/blocks.py")
blocks = importlib.util.module_from_spec(_SPEC)
sys.modules["blocks"] = blocks
_SPEC.loader.exec_module(blocks)
PAGES = {p.name: p for p in blocks.pages(ROOT) if p.runs}
SERVES = re.compile(r"framegate|python|make +(?!setup|\s|#)", re.M)
"""What starts a fleet, or asks one: such a page has the machine for itself (make blocks)."""
MINUTES = [pytest.mark.swtpm, pytest.mark.alone]
TRY_UP = "Ctrl-C here ends it"


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with a short path: Unix sockets stand in it."""
    path = Path(tempfile.mkdtemp(prefix="fg-b-"))
    path.chmod(0o711)  # as a home folder is: a broker that root starts reads as another user
    yield path
    shutil.rmtree(path, ignore_errors=True)


def variables(**more: str) -> dict[str, str]:
    """What a reader's shell knows after `make setup`: nothing of another fleet."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FRAMEGATE", "PYTEST", "COV"))}
    return kept | {"COLUMNS": "200", "CI": "true"} | more


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Pages that use the checkout's own build folder, one after the other."""
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / f"build/{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def fleet(folder: Path) -> Iterator[dict[str, str]]:
    """A `make try` of a page's own; yields what its env file says, and nothing else."""
    own = folder / "t"
    terminal = Terminal(ROOT, variables(), folder)
    try:
        terminal.begin(f"exec .venv/bin/framegate-sim up --folder {own}\n")
        terminal.wait_for(TRY_UP)
        known = told_by(own / "env")
        reader_has_watched(known)
        yield known
    finally:
        terminal.close()


def told_by(env: Path) -> dict[str, str]:
    """A reader's shell after `. env`: whatever a page needs beyond it, its reader lacks too."""
    shown = subprocess.run(
        ["sh", "-c", '. "$1" && env -0', "sh", env],
        env=variables(),
        capture_output=True,
        check=True,
    )
    pairs = (line.split("=", 1) for line in shown.stdout.decode().split("\0") if line)
    return dict(pairs)


def reader_has_watched(known: dict[str, str]) -> None:
    """Whoever reads on has seen a DEFECT go by, which `latest` stands for."""
    seen = ["framegate", "verdict", "show", "latest"]
    until = time.monotonic() + UNTIL_S
    while subprocess.run(seen, env=known, capture_output=True, check=False).returncode:
        assert time.monotonic() < until, "no DEFECT in what make try shows"


def run(page, place: Path, known: dict[str, str], scratch: Path) -> None:
    """Paste every block in order, in terminals that stand in `place` and know `known`."""
    opened: list[Terminal] = []

    def another() -> Terminal:
        opened.append(Terminal(place, known, scratch))
        return opened[-1]

    try:
        terminal = another()
        for command in page.given:
            shown, failed = terminal.paste(command + "\n")
            assert not failed, f"{page.name}, given: {failed}\n{shown}"
        _say_each(page, terminal)
        for block in page.blocks:
            where = f"{page.name}:{block.at}"
            if block.kind is blocks.Kind.STAYS:
                other = another()
                _say_each(page, other)
                other.begin(block.text)
                other.wait_for(block.until)
            elif block.kind is blocks.Kind.RUN:
                before = len(terminal.output)
                shown, failed = terminal.paste(block.text, block.answer)
                wrong = [one for one in failed if one[0] != block.code]
                assert not wrong, f"{where}: {wrong}\n{shown}"
                if block.until:
                    terminal.wait_for(block.until, before, UNTIL_S)
    finally:
        for other in opened[::-1]:
            other.close()


def _say_each(page, terminal: Terminal) -> None:
    for command in page.each:
        shown, failed = terminal.paste(command + "\n")
        assert not failed, f"{page.name}, each: {failed}\n{shown}"


def marked(names: Iterable[str]) -> list[object]:
    """Pages as parameters; a cheap one is in `make test` too."""
    return [
        pytest.param(n, marks=MINUTES if any(SERVES.search(b.text) for b in ran(n)) else ())
        for n in names
    ]


def ran(name: str) -> list[object]:
    """The blocks of a page that are run."""
    return [b for b in PAGES[name].blocks if b.kind in {blocks.Kind.RUN, blocks.Kind.STAYS}]


def test_there_are_pages_of_both_kinds():
    names = marked(PAGES)
    assert any(p.marks for p in names) and any(not p.marks for p in names)


@pytest.mark.parametrize("name", marked(n for n, p in PAGES.items() if not p.on_try))
def test_a_page_runs_in_a_clone(name: str, folder: Path):
    with alone("blocks"):
        run(PAGES[name], ROOT, variables(), folder)


@pytest.mark.parametrize("name", marked(n for n, p in PAGES.items() if p.on_try))
def test_a_page_runs_on_make_try(name: str, folder: Path):
    place = folder / "reader"
    place.mkdir()
    with fleet(folder) as known:
        run(PAGES[name], place, known, folder)
