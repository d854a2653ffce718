"""Check that the threat model says what the code has: a page that names a check which went, or a
test that nobody wrote, promises what nothing holds.

Faults are: a threat without a row, a test named after it, an attempt of the campaign, or, from N126
on, a line that traces it; two rows of one name; a file, a function, a class or a test that the page
names and that does not exist; a check number beyond those that a docstring lists; an attempt that
is not the one that the campaign runs; a test named after a threat that its line names neither
itself nor by its file; and whatever stands in the tests' names or the campaign and not in the page.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = "docs/concepts/threat-model.md"
PRODUCT: Final = ("core", "agent", "controller", "proto")
TRACED_FROM: Final = 126
"""Ids from here on have a line with checks, tests and attempt each."""
_TRACE: Final = "## Where N126 and later are tested and tried"
_LIMITS: Final = "## Known limits"
_ROW: Final = re.compile(r"^\| (N\d.*) \|$", re.M)
_IDS: Final = re.compile(r"N(\d+)(?:–N(\d+))?")
_NAMED: Final = re.compile(
    r"`(?P<file>[\w/]+\.py)(?::(?P<name>[\w.]+))?`"
    r"(?: checks? (?P<numbers>\d+(?:(?:, |–| to | and )\d+)*))?"
)
_IN_NAME: Final = re.compile(r"(?i)(?<![a-z])n\d{2,3}(?!\d)")
_TEST: Final = re.compile(r"^\s*(?:async )?def (test_\w+)", re.M)


class Attempt(NamedTuple):
    """Where the campaign tries a threat."""

    file: str
    function: str


@dataclass(frozen=True, slots=True)
class Code:
    """What there is: the product's modules by path, names of tests, attempts by threat, and tests
    that stand for what no campaign can run.
    """

    modules: Mapping[str, str]
    tests: frozenset[str]
    attempts: Mapping[str, Attempt]
    instead: Mapping[str, str] = field(default_factory=dict)

    def called(self, file: str) -> list[str]:
        """The texts of modules whose path ends in `file`."""
        return [text for path, text in self.modules.items() if f"/{path}".endswith(f"/{file}")]


def main() -> int:
    """0 where nothing is wrong; each fault is a line on standard error."""
    faults = list(check((ROOT / PAGE).read_text("utf-8"), code_of(ROOT)))
    for fault in faults:
        print(f"{PAGE}: {fault}", file=sys.stderr)
    return 1 if faults else 0


def code_of(root: Path) -> Code:
    """What there is below `root`."""
    attacks = root / "simulators/framegate_simulators/attack"
    return Code(
        {
            path.relative_to(root).as_posix(): path.read_text("utf-8")
            for folder in (*PRODUCT, "simulators", "tests")
            for path in sorted((root / folder).rglob("*.py"))
        },
        frozenset(
            name
            for path in (root / "tests").rglob("test_*.py")
            for name in _TEST.findall(path.read_text("utf-8"))
        ),
        attempts_in({path.name: path.read_text("utf-8") for path in sorted(attacks.glob("*.py"))}),
        _instead((attacks / "not_run.py").read_text("utf-8")),
    )


def attempts_in(sources: Mapping[str, str]) -> dict[str, Attempt]:
    """Threats by what tries them: functions under `@attempt("N…", …)`. Raises ValueError where one
    is tried twice.
    """
    attempts: dict[str, Attempt] = {}
    for file, text in sources.items():
        for node in ast.parse(text).body:
            for decorator in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
                call = decorator if isinstance(decorator, ast.Call) else None
                if call is None or getattr(call.func, "id", "") != "attempt":
                    continue
                threat = ast.literal_eval(call.args[0])
                if threat in attempts:
                    raise ValueError(f"{threat} is tried in {attempts[threat].file} and in {file}")
                attempts[threat] = Attempt(file, node.name)
    return attempts


def _instead(text: str) -> dict[str, str]:
    """What the list of what is not run says stands for it: test by what it is of."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    rows = [call.args for call in calls if getattr(call.func, "id", "") == "NotRun"]
    values = [[ast.literal_eval(argument) for argument in row] for row in rows]
    return {f"{threat}, {what}": test for threat, what, _, test in values}


def spread(ids: str) -> list[str]:
    """The ids of a cell such as `N03–N06` or `N13 (IAK)`."""
    return [
        f"N{number:02}"
        for first, last in _IDS.findall(ids)
        for number in range(int(first), int(last or first) + 1)
    ]


def rows(section: str) -> list[list[str]]:
    """The cells of every row of a threat in a part of the page."""
    return [[cell.strip() for cell in row.split(" | ")] for row in _ROW.findall(section)]


def check(page: str, code: Code) -> Iterator[str]:
    """A line for each fault of `page`."""
    model, begun, rest = page.partition(_TRACE)
    trace, ended, _ = rest.partition(_LIMITS)
    if not begun or not ended:
        yield f"the headings {_TRACE!r} and {_LIMITS!r} are expected"
        return
    cells = [row[0] for row in rows(model)]
    yield from (f"{cell} has two rows" for cell in sorted(set(cells)) if cells.count(cell) > 1)
    listed = [threat for cell in cells for threat in spread(cell)]
    traced = [row[0] for row in rows(trace)]
    yield from _complete(set(listed), code)
    for threat in sorted(set(traced), key=_number):
        if traced.count(threat) > 1 or threat not in listed:
            yield f"{threat} is traced twice, or is no threat of the table above"
    for threat in sorted(set(listed), key=_number):
        if _number(threat) >= TRACED_FROM and threat not in traced:
            yield f"{threat}: no line says where it is tested and tried"
    for row in rows(trace):
        yield from _traced(row, code)
    yield from _names(page, code)


def _complete(listed: set[str], code: Code) -> Iterator[str]:
    """The page, the tests' names and the campaign know the same threats."""
    tested = {found.upper() for name in code.tests for found in _IN_NAME.findall(name)}
    for threat in sorted(listed, key=_number):
        if threat not in tested:
            yield f"{threat}: no test is named after it"
        if threat not in code.attempts:
            yield f"{threat}: the campaign does not try it"
    for threat in sorted((tested | set(code.attempts)) - listed, key=_number):
        yield f"{threat}: tests or attempts are named after it, and it has no row"
    for what, test in code.instead.items():
        if test not in code.tests:
            yield f"not_run.py: {what}: no test {test}"


def _traced(row: Sequence[str], code: Code) -> Iterator[str]:
    """A line of the second table names checks, tests of its own, and the campaign's attempt."""
    if len(row) != 4:
        yield f"{row[0]}: a line of four cells is expected"
        return
    threat, checks, named, attempt = row
    if not _NAMED.search(checks):
        yield f"{threat}: no check is named as `file.py` or `file.py:function`"
    tests = re.findall(r"`(test_\w+)`", named)
    if not tests:
        yield f"{threat}: no test is named"
    for test in tests:
        if threat.lower() not in test.split("_"):
            yield f"{threat}: {test} is not named after it"
    yield from _untold(threat, named, code)
    true = code.attempts.get(threat)
    if true is not None and attempt != f"`attack/{true.file}:{true.function}`":
        yield f"{threat}: the attempt is `attack/{true.file}:{true.function}`, and not {attempt}"


def _untold(threat: str, named: str, code: Code) -> Iterator[str]:
    """Tests of a threat are named by its line, or the file that they stand in is."""
    told = set(re.findall(r"`(test_\w+)`", named))
    files = re.findall(r"`([\w/]+\.py)`", named)
    for path, text in code.modules.items():
        if not Path(path).name.startswith("test_"):
            continue
        own = {name for name in _TEST.findall(text) if threat.lower() in _ids_of(name)}
        if own - told and not any(f"/{path}".endswith(f"/{file}") for file in files):
            yield f"{threat}: neither {min(own - told)} nor its file {path} is named"


def _ids_of(test: str) -> list[str]:
    return [found.lower() for found in _IN_NAME.findall(test)]


def _names(page: str, code: Code) -> Iterator[str]:
    """Every file, function, class, test and check number that the page names is there."""
    for test in sorted(set(re.findall(r"`(test_\w+)`", page)) - code.tests):
        yield f"no test {test}"
    for named in _NAMED.finditer(page):
        file, name, numbers = named["file"], named["name"], named["numbers"]
        texts = code.called(file)
        if not texts:
            yield f"no file {file}"
        elif name and not any(_defines(text, name) for text in texts):
            yield f"{file} has no {name}"
        elif numbers:
            most = max(map(int, re.findall(r"\d+", numbers)))
            if not any(_lists(text, name, most) for text in texts):
                yield f"{file}{':' + name if name else ''} lists no check {most}"


def _defines(text: str, name: str) -> bool:
    last = re.escape(name.rpartition(".")[2])
    return (
        re.search(rf"(?:\b(?:def|class) {last}\b|^{last}\b(?:: [^=]+)? = )", text, re.M) is not None
    )


def _lists(text: str, name: str | None, number: int) -> bool:
    """Whether a docstring, of the function `name` where there is one, lists a check `number`."""
    wanted = re.compile(rf"(?<![\d.]){number}\. ")
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        named = name is None or node.name == name.rpartition(".")[2]
        if named and wanted.search(ast.get_docstring(node, clean=False) or ""):
            return True
    return False


def _number(threat: str) -> int:
    return int(threat[1:])


if __name__ == "__main__":
    raise SystemExit(main())
