"""What `make check` says of tuples that cross a module's border, of functions with many parameters,
and of long modules and lines.
"""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts/borders.py"


@pytest.fixture(scope="module")
def borders() -> ModuleType:
    spec = importlib.util.spec_from_file_location("borders", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def check(borders: ModuleType) -> Callable[..., Iterator[str]]:
    return borders.check  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("def f() -> tuple[int, str, bytes]: ...", "f"),
        ("async def f() -> list[tuple[int, str, bytes] | None]: ...", "f"),
        ("def f(rows: Iterable[tuple[int, int, int]]) -> None: ...", "f"),
        ("def f(*, row: tuple[int, int, int]) -> None: ...", "f"),
        ("class C:\n    def m(self) -> tuple[int, int, int]: ...", "C.m"),
        ("class C:\n    def __init__(self, at: tuple[int, int, int]) -> None: ...", "C.__init__"),
    ],
)
def test_a_long_tuple_of_unnamed_members_is_a_fault(
    check: Callable[..., Iterator[str]], source: str, name: str
) -> None:
    (fault,) = check({"core/a.py": source}, {})
    at = source.count("\n") + 1
    assert fault.startswith(f"core/a.py:{at}: {name}: tuple[int, ")


@pytest.mark.parametrize(
    "source",
    [
        "def f() -> tuple[int, str]: ...",
        "def f(*rows: tuple[int, ...]) -> None: ...",
        "def _f() -> tuple[int, str, bytes]: ...",
        "class _C:\n    def m(self) -> tuple[int, int, int]: ...",
        "def f() -> None:\n    def g() -> tuple[int, int, int]: ...",
    ],
)
def test_pairs_sequences_and_what_stays_inside_a_module_are_none(
    check: Callable[..., Iterator[str]], source: str
) -> None:
    assert not list(check({"core/a.py": source}, {}))


def test_a_long_module_is_a_fault_unless_it_is_excepted(
    check: Callable[..., Iterator[str]],
) -> None:
    sources = {"core/a.py": "\n" * 401, "core/b.py": "\n" * 400}
    (fault,) = check(sources, {})
    assert fault.startswith("core/a.py:401: 401 lines, at most 400")
    assert not list(check(sources, {"core/a.py": "one file that somebody copies"}))


def test_an_exception_that_is_needed_no_more_is_a_fault(
    check: Callable[..., Iterator[str]],
) -> None:
    (fault,) = check({"core/b.py": "\n" * 400}, {"core/b.py": "it was longer once"})
    assert fault.startswith("core/b.py: excepted")


SKIPPED = "x = 1\ny = [\n    1, 2,\n]  # fmt: skip\n"


@pytest.mark.parametrize("most", [0, 1, 2])
def test_lines_with_a_layout_of_their_own_are_counted(borders: ModuleType, most: int) -> None:
    faults = list(borders.check_layout({"core/a.py": SKIPPED, "core/b.py": "z = 2\n"}, most))
    if most == 1:
        assert faults == []
    else:
        (fault,) = faults
        assert fault.startswith("core/a.py:4: 1 lines" if most == 0 else "1 lines")


EIGHT = "a, b, c, d, e, f, g, h"
RECORD = {"core/a.py:f": "members of a record"}


@pytest.mark.parametrize(
    "source",
    [
        f"def f({EIGHT}): ...",
        f"async def f(*, {EIGHT}): ...",
        "def f(a, b, /, c, *d, e, f, g, **h): ...",
        f"def _f({EIGHT}): ...",
        f"class C:\n    def __init__(self, {EIGHT}): ...",
        f"class _C:\n    @classmethod\n    def m(cls, {EIGHT}): ...",
        f"def g():\n    def f({EIGHT}): ...",
    ],
)
def test_more_than_seven_parameters_are_a_fault(borders: ModuleType, source: str) -> None:
    (fault,) = borders.check_parameters({"core/a.py": source}, {})
    assert "8 parameters, at most 7" in fault and fault.startswith("core/a.py:")


@pytest.mark.parametrize(
    "source",
    [
        "def f(a, b, c, d, e, f, g): ...",
        "class C:\n    def m(self, a, b, c, d, e, f, g): ...",
        "def f(a, b, c, d, e, f, g, h: Annotated[str, typer.Option(help='H.')]): ...",
        "def f(a, b, c, d, e, f, g, h: Annotated[Path | None, typer.Argument()] = None): ...",
        "_H = Annotated[str, typer.Option()]\ndef f(a, b, c, d, e, f, g, h: _H = ''): ...",
    ],
)
def test_seven_parameters_and_a_command_of_any_number_are_none(
    borders: ModuleType, source: str
) -> None:
    assert not list(borders.check_parameters({"core/a.py": source}, {}))


def test_a_record_of_a_protocol_is_made_of_named_members_alone(borders: ModuleType) -> None:
    named, by_place = f"def f(*, {EIGHT}): ...", f"def f({EIGHT}): ..."
    assert not list(borders.check_parameters({"core/a.py": named}, RECORD))
    assert len(list(borders.check_parameters({"core/a.py": by_place}, RECORD))) == 2
    (fault,) = borders.check_parameters({"core/a.py": "def f(a): ..."}, RECORD)
    assert fault.startswith("core/a.py:f: excepted")


def test_a_long_line_is_a_fault_counted_in_characters_and_with_what_it_says_to_tools(
    borders: ModuleType,
) -> None:
    tail = "x = 1" + " " * 90 + "# noqa: X"
    sources = {"core/a.py": "…" * 100 + "\n" + "…" * 101, "core/b.py": tail}
    assert list(borders.check_columns(sources)) == [
        "core/a.py:2: 101 columns, at most 100",
        "core/b.py:1: 104 columns, at most 100",
    ]
