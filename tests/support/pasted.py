"""A reader's terminals: blocks of commands are pasted into them as they stand in a page."""

import contextlib
import os
import re
import secrets
import signal
import subprocess
import threading
import time
from pathlib import Path

BLOCK_S = 600.0
"""The longest block is a demonstration on a busy machine."""
UNTIL_S = 120.0
"""What a page says to wait for comes within seconds."""
END_S = 30.0
_FAILED = re.compile(r"^@failed (\d+) (.*)$", re.M)


class Terminal:
    """A shell whose output is kept. What a block leaves running lives until `close`."""

    def __init__(self, folder: Path, variables: dict[str, str], scratch: Path) -> None:
        self._scratch = scratch
        self.output = ""
        self._grown = threading.Condition()
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._say("set -E; trap 'echo \"@failed $? $BASH_COMMAND\"' ERR\n")

    def paste(self, block: str, answer: str = "") -> tuple[str, list[tuple[int, str]]]:
        """Run a block to its end; returns what was printed and the commands that failed, with
        their exit codes. Commands have no input but `answer`: nothing else in a page may wait for a
        person.
        """
        mark = f"@done-{secrets.token_hex(8)}"
        script = self._scratch / f"block-{mark[6:]}.sh"
        script.write_text(block)
        typed = script.with_suffix(".in")
        typed.write_text(answer + "\n" if answer else "")
        before = len(self.output)
        self._say(f". {script} <{typed}\necho {mark}\n")
        shown = self.wait_for(mark, before, BLOCK_S)
        return shown, [(int(code), command) for code, command in _FAILED.findall(shown)]

    def begin(self, block: str) -> None:
        """Start a block that stays."""
        self._say(block)

    def wait_for(self, text: str, since: int = 0, timeout_s: float = BLOCK_S) -> str:
        """What was printed since, once `text` is in it."""
        end = time.monotonic() + timeout_s
        with self._grown:
            while text not in self.output[since:]:
                left = end - time.monotonic()
                assert left > 0 and self._shell.poll() is None, (
                    f"waited for {text!r} and saw:\n{self.output[since:]}"
                )
                self._grown.wait(min(left, 1.0))
            return self.output[since:]

    def close(self) -> None:
        """Ctrl-C, as a reader would; what does not end by itself is killed."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGINT)
        with contextlib.suppress(OSError):
            self._shell.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._shell.wait(END_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()

    def _say(self, text: str) -> None:
        self._shell.stdin.write(text.encode())
        self._shell.stdin.flush()

    def _read(self) -> None:
        while chunk := os.read(self._shell.stdout.fileno(), 65536):
            with self._grown:
                self.output += chunk.decode(errors="replace")
                self._grown.notify_all()
