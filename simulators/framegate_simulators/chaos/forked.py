"""Life in a process that may be killed: a fork of this one, which costs a few milliseconds where a
new interpreter costs a second. What it says comes over a pipe, a line at a time.

This process MUST have one thread when it forks.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Say = Callable[[Mapping[str, Any]], None]
LONGEST_S: Final = 120.0
"""For what takes a second: after it a run counts as one that hangs."""
_READ: Final = 65_536


def fork() -> int:
    """os.fork, whose child collects nothing of what was there before it: a server's queue of
    gRPC's joins its thread as it goes, which no child has, and waits for it for ever.
    """
    collected = gc.isenabled()
    gc.disable()  # what runs behind a fork, in the child, may collect already
    pid = os.fork()
    if not pid:
        gc.freeze()
    if collected:
        gc.enable()
    return pid


@dataclass
class Forked:
    """A child that lives `life`; it ends when that returns."""

    life: Callable[[Say], None]
    lines: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rest, self.over = b"", False
        self._pipe, theirs = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = fork()
        if self.pid:
            os.close(theirs)
            return
        os.close(self._pipe)
        code = 1
        try:
            self.life(lambda body: _say(theirs, body))
            code = 0
        except BaseException:  # noqa: BLE001 - said, and judged by who forked it
            _say(theirs, {"fell": traceback.format_exc()[-800:]})
        finally:
            os._exit(code)

    def heard(self, wanted: Callable[[], bool]) -> bool:
        """Read until `wanted` is true, or until the child has said its last; which of the two."""
        end = time.monotonic() + LONGEST_S
        while not wanted():
            if not select.select([self._pipe], [], [], max(0.0, end - time.monotonic()))[0]:
                self.kill()
                raise TimeoutError(f"a child said nothing for {LONGEST_S:g} s: {self.lines[-2:]}")
            read = os.read(self._pipe, _READ)
            if not read:
                return False
            *whole, self._rest = (self._rest + read).split(b"\n")
            self.lines += [json.loads(line) for line in whole]
        return True

    def killed_at(self, chance: random.Random, *, lines: int, breath_s: float) -> None:
        """kill -9 a random breath after a random line: at any instant of what it does, however
        fast this machine is. Returns once it is gone and all that it said was read.
        """
        at = chance.randint(1, lines)
        self.heard(lambda: len(self.lines) >= at)
        time.sleep(breath_s * chance.random())
        self.kill()

    def kill(self) -> int:
        """kill -9; what it had said before is read. How it ended: a signal's number, negative, or
        its exit code.
        """
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end."""
        self.heard(lambda: False)
        os.close(self._pipe)
        self.over = True
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def fell(self) -> tuple[str, ...]:
        """What it fell over, where it did."""
        return tuple(str(line["fell"]) for line in self.lines if "fell" in line)


def _say(pipe: int, body: Mapping[str, Any]) -> None:
    os.write(pipe, json.dumps(body).encode() + b"\n")
