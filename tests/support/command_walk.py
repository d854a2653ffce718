"""Every command of every program, out of the programs' own declarations, and each run in a process
of its own that was forked off: what it writes, how it ends, and that it ends.
"""

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from framegate_host.program import run_program

PROGRAMS = {
    "framegate": "framegate_operator.main",
    "framegate-agent": "framegate_agent.main",
    "framegate-controller": "framegate_controller.main",
    "framegate-gateway": "framegate_gateway.main",
    "framegate-line": "framegate_line.main",
    "framegate-models": "framegate_models.main",
    "framegate-sim": "framegate_simulators.main",
}
NOBODY = 65534
LIMIT_S = 30
"""A command that has not ended by then waits for something that will not come."""


@dataclass(frozen=True)
class Leaf:
    """A command that does something."""

    program: str
    words: tuple[str, ...]
    parameters: tuple[Any, ...]

    def __str__(self) -> str:
        return " ".join((self.program, *self.words))

    def takes_files(self) -> list[Any]:
        """Its parameters whose value is the name of a file or folder."""
        return [p for p in self.parameters if _is_path(p)]

    def argv(self, values: Mapping[str, str], given: Any = None, path: Path | None = None):
        """Words for all that is required, and `path` for the parameter `given`; a value in
        `values`, by its parameter's name, comes before a made one.
        """
        options, arguments = [], []
        for p in self.parameters:
            if p is given:
                value = str(path)
            elif p.required or p.name in values:
                value = values.get(p.name) or _plausible(p)
            else:
                continue
            if p.param_type_name == "argument":
                arguments.append(value)
            else:
                options += [max(p.opts, key=len), *([] if getattr(p, "is_flag", 0) else [value])]
        return [*self.words, *options, *arguments]


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus the signal that ended it."""

    code: int
    out: str
    err: str


def leaves() -> Iterator[Leaf]:
    """All of them."""
    for program, module in PROGRAMS.items():
        yield from _below(program, typer.main.get_command(importlib.import_module(module).app), ())


def run(program: str, argv: list[str], folder: Path, *, as_nobody: bool = False) -> Ended:
    """`program` with these words, as its entry point runs it. Its files are written in `folder`."""
    out, err = folder / "stdout", folder / "stderr"
    app = importlib.import_module(PROGRAMS[program]).app
    child = os.fork()
    if child == 0:
        _become(out, err, as_nobody=as_nobody)
        sys.argv = [program, *argv]
        _end(lambda: run_program(app, program))
    _, status = os.waitpid(child, 0)
    return Ended(os.waitstatus_to_exitcode(status), out.read_text(), err.read_text())


def run_here(program: str, argv: list[str], capsys: Any) -> Ended:
    """The same in this process: for words that never reach the command."""
    app = importlib.import_module(PROGRAMS[program]).app
    before, sys.argv = sys.argv, [program, *argv]
    try:
        code = run_program(app, program)
    finally:
        sys.argv = before
    shown = capsys.readouterr()
    return Ended(code, shown.out, shown.err)


def _become(out: Path, err: Path, *, as_nobody: bool) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    for number, stream in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        setattr(sys, stream, os.fdopen(os.dup(number), "r" if number == 0 else "w"))
    if as_nobody and os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LIMIT_S)


def _end(work: Callable[[], int]) -> None:
    code = 99
    try:
        code = work()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 98
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _below(program: str, command: Any, words: tuple[str, ...]) -> Iterator[Leaf]:
    if hasattr(command, "list_commands"):
        for name in command.list_commands(None):
            yield from _below(program, command.get_command(None, name), (*words, name))
    else:
        yield Leaf(program, words, tuple(command.params))


def _is_path(parameter: Any) -> bool:
    """Settings are texts to typer; their form says what they are."""
    if getattr(parameter, "is_flag", False):
        return False
    kinds = {"path", "file", "folder", "directory"}
    return bool(parameter.type.name in kinds or (parameter.metavar or "").strip("<>") in kinds)


def _plausible(parameter: Any) -> str:
    kind = parameter.type
    if getattr(kind, "choices", None):
        return str(kind.choices[0])
    if _is_path(parameter):
        return "/nonexistent/file"
    if "float" in kind.name or "int" in kind.name:
        return str(getattr(kind, "min", None) or 1)
    return "cam1"
