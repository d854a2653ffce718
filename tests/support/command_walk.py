"""Every command of every program, out of the programs' own declarations, and each run in a process
that was forked off: what it writes, how it ends, and that it ends.
"""

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer

from framegate_host.program import run_program
from framegate_simulators.chaos.forked import fork

PROGRAMS = {
    "framegate": "framegate_operator.main",
    "framegate-agent": "framegate_agent.main",
    "framegate-console": "framegate_console.main",
    "framegate-controller": "framegate_controller.main",
    "framegate-gateway": "framegate_gateway.main",
    "framegate-line": "framegate_line.main",
    "framegate-models": "framegate_models.main",
    "framegate-segment": "framegate_segment.main",
    "framegate-sim": "framegate_simulators.main",
}
NOBODY = 65534
LIMIT_S = 30
"""A command that has not ended by then waits for something that will not come."""
NO_END = 97
"""A process that ended well in the midst of its commands: one of them took it along."""


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


@cache
def leaves() -> tuple[Leaf, ...]:
    """All of them."""
    return tuple(
        leaf
        for program, module in PROGRAMS.items()
        for leaf in _below(program, typer.main.get_command(importlib.import_module(module).app), ())
    )


def run(program: str, argv: list[str], folder: Path) -> Ended:
    """`program` with these words, as its entry point runs it. Its files are written in `folder`."""
    return run_each(program, [argv], folder)[0]


def run_each(
    program: str,
    argvs: list[list[str]],
    folder: Path,
    *,
    before: Callable[[], None] = lambda: None,
    as_nobody: bool = False,
) -> list[Ended]:
    """`program` with each of these words in turn, `before` called ahead of each. One process
    does them all, and another those that are left where one is ended by a signal.
    """
    app = importlib.import_module(PROGRAMS[program]).app
    done: list[Ended] = []
    while len(done) < len(argvs):
        codes = folder / "codes"
        codes.write_text("")
        codes.chmod(0o666)
        for number in range(len(done), len(argvs)):  # made by who may: `nobody` may only write
            for path in _outputs(folder, number):
                path.write_text("")
                path.chmod(0o666)
        child = fork()
        if child == 0:
            try:
                _become(as_nobody=as_nobody)
                for number in range(len(done), len(argvs)):
                    before()
                    _write_into(folder, number)
                    sys.argv = [program, *argvs[number]]
                    code = _code_of(lambda: run_program(app, program))
                    with codes.open("a") as ended:
                        ended.write(f"{code}\n")
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        ends = [int(line) for line in codes.read_text().split()]
        if len(done) + len(ends) < len(argvs):
            ends.append(os.waitstatus_to_exitcode(status) or NO_END)
        for code in ends:
            out, err = _outputs(folder, len(done))
            done.append(Ended(code, out.read_text(), err.read_text()))
    return done


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


def _outputs(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / f"stdout-{number}", folder / f"stderr-{number}"


def _become(*, as_nobody: bool) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = os.fdopen(os.dup(0), "r")
    if as_nobody and os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _write_into(folder: Path, number: int) -> None:
    out, err = _outputs(folder, number)
    for descriptor, name, path in ((1, "stdout", out), (2, "stderr", err)):
        opened = os.open(path, os.O_WRONLY | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
        setattr(sys, name, os.fdopen(os.dup(descriptor), "w"))
    signal.alarm(LIMIT_S)


def _code_of(work: Callable[[], int]) -> int:
    code = 99
    try:
        code = work()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 98
    except BaseException:
        traceback.print_exc()
    finally:
        signal.alarm(0)
        sys.stdout.flush()
        sys.stderr.flush()
    return code


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
