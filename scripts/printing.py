"""Check that whatever programs write as text leaves by one door: `framegate_host/printing.py`, and
for tables and styled words `framegate_host/console.py`.

What stands beside them writes what it is given: a name with an escape in it steers the terminal of
whoever reads (N239, N241). So a module of the product calls no `print`, writes to no standard
stream itself, asks nothing by typer, and has no `Console` of rich's; simulators print what their
own plants say, but have no such `Console` either.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PRODUCT: Final = ("core", "agent", "controller")
SIMULATED: Final = "simulators"
DOOR: Final = "framegate_host.printing, or framegate_host.console for what is styled"
DOORS: Final = MappingProxyType(
    {
        "core/framegate_host/printing.py": "the door",
        "core/framegate_host/console.py": "the door, with styles",
        "core/framegate/receipt_verifier.py": "one file that an auditor can copy: it has its own",
    }
)
"""Modules that write themselves, and why."""
_CALLS: Final = frozenset(
    {
        "print",
        "pprint.pprint",
        "sys.stdout.write",
        "sys.stderr.write",
        "sys.stdout.writelines",
        "sys.stderr.writelines",
        "traceback.print_exc",
        "traceback.print_exception",
        "typer.confirm",
        "typer.echo",
        "typer.prompt",
        "typer.secho",
        "input",
        "getpass.getpass",
    }
)
_OF_RICH: Final = frozenset({"Console", "get_console", "inspect", "print", "print_json"})
_BY_A_CONSOLE: Final = frozenset({"Live", "Progress", "Status", "track"})
"""Of rich: each makes a console of its own where it is given none."""


def main() -> int:
    """0 where nothing is wrong; each fault is a line on standard error."""
    faults = [*check(_sources())]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def check(sources: Mapping[str, str], doors: Mapping[str, str] = DOORS) -> Iterator[str]:
    """A line for each fault in `sources`, the text of each module by its path."""
    for path, text in sources.items():
        if path in doors:
            continue
        module, ours = ast.parse(text), not path.startswith(SIMULATED)
        for node in ast.walk(module):
            found = _imported(node) or _of_rich(node, module) or (_written(node) if ours else "")
            if found:
                yield f"{path}:{getattr(node, 'lineno', 1)}: {found}: use {DOOR}"


def _imported(node: ast.AST) -> str:
    """What brings a console that is none of ours; "" for nothing."""
    if isinstance(node, ast.Import):
        return next((n.name for n in node.names if n.name.split(".")[0] == "rich"), "")
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rich":
        return next((f"rich's {n.name}" for n in node.names if n.name in _OF_RICH), "")
    return ""


def _of_rich(node: ast.AST, module: ast.Module) -> str:
    """A call of rich's that makes a console of its own; "" for none."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return ""
    name = node.func.id
    if name not in _BY_A_CONSOLE or any(k.arg == "console" for k in node.keywords):
        return ""
    theirs = (
        n.name
        for each in module.body
        if isinstance(each, ast.ImportFrom) and (each.module or "").startswith("rich.")
        for n in each.names
    )
    return f"{name} without console=" if name in theirs else ""


def _written(node: ast.AST) -> str:
    """A call that writes by itself; "" for none."""
    if not isinstance(node, ast.Call):
        return ""
    called = ast.unparse(node.func)
    return called if called in _CALLS else ""


def _sources() -> dict[str, str]:
    return {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
        for folder in (*PRODUCT, SIMULATED)
        for path in sorted((ROOT / folder).rglob("*.py"))
    }


if __name__ == "__main__":
    raise SystemExit(main())
