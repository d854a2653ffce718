"""A person's terminal on a machine: what a page shows is typed, what is asked is answered."""

import os
import pty
import re
import select
import signal
import time
from pathlib import Path

BLOCK_S = 400.0
_FAILED = re.compile(r"^@failed (\d+) (.*?)\r?$", re.M)


class Typist:
    """A shell on a terminal. `answers` are what is typed at a prompt, by a pattern of its end; a
    callable is asked at that moment, and given what was shown so far.
    """

    def __init__(self, answers) -> None:
        self._answers = [(re.compile(pattern), answer) for pattern, answer in answers]
        self.shown = ""
        self._pid, self._terminal = pty.fork()
        if not self._pid:
            os.environ["TERM"] = "dumb"
            os.environ["PS1"] = ""
            shell = ["bash", "--noprofile", "--norc", "--noediting"]
            os.execvp("bash", shell)  # noqa: S606 - the terminal's shell
        self._type("stty -echo -onlcr; set -E; trap 'echo \"@failed $? $BASH_COMMAND\"' ERR\n")
        self._type("echo @rea''dy\n")
        while "@ready" not in self.shown:  # from here on nothing that is typed is shown
            self.shown += os.read(self._terminal, 65536).decode(errors="replace")

    def block(self, text: str) -> dict:
        """Type a block; what was shown, and which commands failed with which exit code."""
        mark, before = f"@done-{os.urandom(8).hex()}", len(self.shown)
        # a file: a program that asks would take the next line for its answer
        path = Path(f"/run/{mark[1:]}.sh")
        path.write_text(text)
        self._type(f". {path}; echo {mark}\n")
        answered = before
        end = time.monotonic() + BLOCK_S
        while mark not in self.shown[before:]:
            if time.monotonic() > end:
                raise TimeoutError(self.shown[before:][-2000:])
            if not select.select([self._terminal], [], [], 1.0)[0]:
                continue
            self.shown += os.read(self._terminal, 65536).decode(errors="replace")
            for pattern, answer in self._answers:
                if pattern.search(self.shown, answered):
                    answered = len(self.shown)
                    self._type((answer(self.shown) if callable(answer) else answer) + "\n")
        shown = self.shown[before:]
        failed = [[int(code), command] for code, command in _FAILED.findall(shown)]
        return {"shown": shown[-6000:], "failed": failed}

    def close(self) -> None:
        os.kill(self._pid, signal.SIGHUP)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)

    def _type(self, text: str) -> None:
        os.write(self._terminal, text.encode())
