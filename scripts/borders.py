"""Check what crosses the borders of the product's modules, how many parameters a function has, how
long a module and a line is, and that the formatter lays nearly everything out.

A tuple of three or more unnamed members crosses no border: whoever unpacks it has to know an order
that nothing checks; a record names its members. More than seven parameters want a record that names
the idea they share: only a command has as many as it has options. A module of more than 400 lines
holds more than one idea. Modules and functions that are excepted stand here, each with its reason;
an exception that is no longer needed is a fault too, so the lists only shrink; so does the number
of lines that keep a layout of their own, which are for tables of data. A line has 100 characters at
most, whatever its end says to a tool.
"""

from __future__ import annotations

import ast
import gc
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
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
PARAMETERS: Final = 7
"""Of a function, without `self` and `cls`."""
RECORDS: Final = MappingProxyType(
    {
        "core/framegate/access/questions.py:verb_request": "entities and context of the policy",
        "core/framegate/access/questions.py:device_facts": "attributes of a device in the policy",
        "core/framegate/evidence/ear.py:ear_claims": "claims of an EAR",
        "core/framegate/evidence/offline.py:verify_files": "a quote's files, each of them optional",
        "core/framegate/tpm/public.py:marshal_public": "members of TPMT_PUBLIC",
    }
)
"""Functions that make one record of a protocol of its members, which are given by name."""
COLUMNS: Final = 100
OWN_LAYOUT: Final = 2
"""Lines of product, scripts and tests that the formatter leaves as they are."""
_OWN_LAYOUT: Final = re.compile(r"#\s*fmt:\s*(skip|off)\b")


def main() -> int:
    """0 where nothing is wrong; each fault is a line on standard error."""
    gc.disable()  # every tree stays to the end: half the time was looking through them again
    sources, texts = _sources(), _texts()
    faults = [
        *check(sources),
        *check_parameters(sources),
        *check_columns(texts),
        *check_layout(texts),
    ]
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
        for name, function in _public(_module(text).body):
            for annotation in _annotations(function):
                if long := _long_tuple(annotation):
                    yield f"{path}:{annotation.lineno}: {name}: {long}: name its members"
    for exception in sorted(whole.keys() - excepted):
        yield f"{exception}: excepted in scripts/borders.py, needlessly: take it out of the list"


def check_parameters(
    sources: Mapping[str, str], records: Mapping[str, str] = RECORDS
) -> Iterator[str]:
    """A line for each function of `sources`, private and nested ones too, with too many parameters:
    it is neither a command nor, by its path and name, one of `records` with named arguments.
    """
    excepted = set()
    for path, text in sources.items():
        module = _module(text)
        for node in ast.walk(module):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            a = node.args
            by_place = [x for x in (*a.posonlyargs, *a.args) if x.arg not in {"self", "cls"}]
            count = sum(x is not None for x in (*by_place, a.vararg, *a.kwonlyargs, a.kwarg))
            if count <= PARAMETERS or _is_command(node, _options(module)):
                continue
            if (name := f"{path}:{node.name}") in records and len(by_place) <= 1:
                excepted.add(name)
            else:
                yield (
                    f"{path}:{node.lineno}: {node.name}: {count} parameters, at most {PARAMETERS}:"
                    " name the idea that some of them share, as a record"
                )
    for exception in sorted(records.keys() - excepted):
        yield f"{exception}: excepted in scripts/borders.py, needlessly: take it out of the list"


def check_columns(texts: Mapping[str, str]) -> Iterator[str]:
    """A line for each line of `texts` that is too long, counted in characters."""
    for path, text in texts.items():
        for number, line in enumerate(text.splitlines(), start=1):
            if len(line) > COLUMNS:
                yield f"{path}:{number}: {len(line)} columns, at most {COLUMNS}"


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


@cache
def _module(text: str) -> ast.Module:
    """Each module is parsed once; that takes longer than every check of it."""
    return ast.parse(text)


def _is_command(function: ast.FunctionDef | ast.AsyncFunctionDef, options: frozenset[str]) -> bool:
    return any(_is_option(annotation, options) for annotation in _annotations(function))


def _options(module: ast.Module) -> frozenset[str]:
    """Names that a module gives to options and arguments of its commands."""
    return frozenset(
        target.id
        for node in module.body
        if isinstance(node, ast.Assign) and _is_option(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    )


def _is_option(annotation: ast.expr, options: frozenset[str] = frozenset()) -> bool:
    """Whether it declares an option or an argument of a command line, or is one of `options`."""
    return any(
        (isinstance(node, ast.Name) and node.id in options)
        or (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in {"typer.Option", "typer.Argument"}
        )
        for node in ast.walk(annotation)
    )


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
