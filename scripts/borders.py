"""Check what crosses the borders of the product's modules, how long a module is, and that the
formatter lays nearly everything out.

A tuple of three or more unnamed members crosses no border: whoever unpacks it has to know an order
that nothing checks; a record names its members. A module of more than 400 lines holds more than one
idea. Modules that are excepted stand here, each with its reason; an exception that is no longer
needed is a fault too, so the list only shrinks; so does the number of lines that keep a layout of
their own, which are for tables of data.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PRODUCT: Final = ("core", "agent", "controller", "simulators")
MEMBERS: Final = 2
"""Unnamed members of a tuple that may cross a border; `tuple[X, ...]` is a sequence and may too."""
LINES: Final = 400
WHOLE: Final = MappingProxyType(
    {
        "core/framegate/receipt_verifier.py": "one file that an auditor can copy",
        "core/framegate/evidence/verify.py": "the numbered list of checks reads in one piece",
    }
)
"""Modules that may be longer, and why."""
OWN_LAYOUT: Final = 2
"""Lines of product, scripts and tests that the formatter leaves as they are."""
_OWN_LAYOUT: Final = re.compile(r"#\s*fmt:\s*(skip|off)\b")


def main() -> int:
    """0 where nothing is wrong; each fault is a line on standard error."""
    faults = [*check(_sources()), *check_layout(_texts())]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def check(sources: Mapping[str, str], whole: Mapping[str, str] = WHOLE) -> Iterator[str]:
    """A line for each fault in `sources`, the text of each module by its path."""
    excepted = set()
    for path, text in sources.items():
        length = len(text.splitlines())
        if length > LINES and path in whole:
            excepted.add(path)
        elif length > LINES:
            yield f"{path}:{LINES + 1}: {length} lines, at most {LINES}: split it by idea"
        for name, function in _public(ast.parse(text).body):
            for annotation in _annotations(function):
                if long := _long_tuple(annotation):
                    yield f"{path}:{annotation.lineno}: {name}: {long}: name its members"
    for exception in sorted(whole.keys() - excepted):
        yield f"{exception}: excepted in scripts/borders.py, needlessly: take it out of the list"


def check_layout(texts: Mapping[str, str], most: int = OWN_LAYOUT) -> Iterator[str]:
    """A line where more than `most` lines of `texts`, or fewer, keep a layout of their own."""
    at = [
        f"{path}:{number}"
        for path, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if _OWN_LAYOUT.search(line)
    ]
    if len(at) > most:
        yield f"{at[-1]}: {len(at)} lines keep a layout of their own, at most {most}: let it format"
    elif len(at) < most:
        yield f"{len(at)} lines keep a layout of their own: write OWN_LAYOUT = {len(at)}"


def _texts() -> dict[str, str]:
    return {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
        for folder in (*PRODUCT, "scripts", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != Path(__file__) and path.name != "test_borders.py"
    }


def _sources() -> dict[str, str]:
    return {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
        for folder in PRODUCT
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "migrations" not in path.parts
    }


def _public(
    body: list[ast.stmt], within: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Functions and methods that other modules may call, by their name, `Class.method`."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public(node.body, f"{within}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_public(node.name):
            yield f"{within}{node.name}", node


def _is_public(name: str) -> bool:
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def _annotations(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    a = function.args
    for argument in (*a.posonlyargs, *a.args, a.vararg, *a.kwonlyargs, a.kwarg):
        if argument is not None and argument.annotation is not None:
            yield argument.annotation
    if function.returns is not None:
        yield function.returns


def _long_tuple(annotation: ast.expr) -> str:
    """The tuple of too many unnamed members in an annotation, as it is written; "" for none."""
    for node in ast.walk(annotation):
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.value, ast.Name)
            and node.value.id == "tuple"
            and isinstance(node.slice, ast.Tuple)
            and len(node.slice.elts) > MEMBERS
        ):
            return ast.unparse(node)
    return ""


if __name__ == "__main__":
    raise SystemExit(main())
