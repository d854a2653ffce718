"""A command typed at a terminal of its own: what it asks there is answered."""

import os
import pty
import select
import subprocess
import termios
import time
from dataclasses import dataclass

LIMIT_S = 120.0
"""A busy machine takes its time; a command that waits for nobody is ended."""


@dataclass(frozen=True)
class Typed:
    """How a command ended, and all that its terminal showed."""

    code: int
    shown: str


def _await_no_echo(terminal: int, end: float) -> None:
    """What is typed before the terminal stopped showing it is thrown away (getpass)."""
    while termios.tcgetattr(terminal)[3] & termios.ECHO and time.monotonic() < end:
        time.sleep(0.01)


def typed(
    argv: list[str],
    answers: dict[str, str],
    environment: dict[str, str],
    aloud: frozenset[str] = frozenset(),
) -> Typed:
    """Run `argv` at a terminal; once it shows a question of `answers`, the answer is typed, which
    the terminal shows for questions `aloud` alone.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    shown, left, end = "", dict(answers), time.monotonic() + LIMIT_S
    try:
        while time.monotonic() < end:
            if not select.select([ours], [], [], 0.5)[0]:
                continue
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # the terminal's other end is closed: it ended
                chunk = b""
            if not chunk:
                break
            shown += chunk.decode(errors="replace")
            for question in [q for q in left if q in shown]:
                if question not in aloud:
                    _await_no_echo(ours, end)
                os.write(ours, left.pop(question).encode() + b"\n")
        return Typed(process.wait(max(1.0, end - time.monotonic())), shown)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
