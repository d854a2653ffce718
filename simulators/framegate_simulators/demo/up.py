"""make try, framegate-sim up: a small fleet to try things on, left running. A controller, a signed
in operator, a gateway, and one camera whose source never ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from rich.markup import escape

from framegate.errors import Reason, Refused
from framegate_host.console import Terminal
from framegate_host.printing import printable
from framegate_host.private_files import private_folder, write_private
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.plant.log_tail import LogTail
from framegate_simulators.plant.operators import OPERATOR
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import BIN, SIM, PlantError, wait_for
from framegate_simulators.plant.scraping import scrape_config
from framegate_simulators.plant.site import Site

INTERVAL_S: Final = 10.0
"""Between two attestations: short enough that a release is seen to heal, long enough not to be the
thing one sees.
"""
MAX_PATH: Final = 107 - len("/cam1/tpm.sock.ctrl")
"""A Unix socket's path has at most 107 bytes, and the longest here ends so."""
MARK: Final = "framegate-try"
"""A file that says whose folder this is: nothing else is ever removed."""
GATEWAY_S: Final = 60.0
"""It begins with the model's known answers: two seconds, and many on a machine that is busy."""
SPARE: Final = "own"
"""A machine that nobody invited: the one for somebody's own camera."""
SPARE_ENV: Final = "own-camera"
"""What a shell beside it knows, and what every reader's does."""
SIGNER: Final = "signer.pem"
_LOOK_AT: Final = (
    "framegate status",
    "framegate camera list",
    "framegate verdict watch",
    "framegate verdict show latest --picture defect.png",
    'framegate camera quarantine cam1 --reason "trying it out"',
    'framegate camera release cam1 --reason "done"',
)
FIRST_VERDICT_S: Final = 60.0
LOOK_S: Final = 0.5
_COLOURS: Final = ("cyan", "magenta", "blue", "yellow", "green")


class TryPlant:
    """The fleet in `folder`, made anew at each start. Use `run`."""

    def __init__(
        self, folder: Path, rate: float, console: Terminal, *, metrics: bool = False
    ) -> None:
        self._folder, self._rate, self._console = folder.absolute(), rate, console
        self._metrics = metrics
        self._over, self._raising = threading.Event(), True

    def run(self) -> None:
        """Raise the fleet, say what to look at, and show its logs until somebody ends it. Raises
        PlantError where a process ends by itself, Refused where the folder cannot be used.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._end)
        with (
            self._emptied(),
            Plant(interval_s=INTERVAL_S, folder=self._folder) as plant,
            self._explained(plant),
        ):
            if self._metrics:
                plant.metrics = {}
            took_s = self._raise_fleet(plant)
            self._raising = False
            with LogTail(plant.logs, self._show):
                self._say_what_next(plant, took_s)
                self._say_where_metrics_are(plant)
                self._watch(plant)
        self._console.print(f"ended; logs are in {self._folder}/logs")

    @contextmanager
    def _explained(self, plant: Plant) -> Iterator[None]:
        """What went wrong in one line; the ends of the logs stand above it, line by line."""
        try:
            yield
        except PlantError as error:
            if self._raising:  # later on they have been shown as they came
                for log in sorted(plant.logs.glob("*.log")):
                    for line in plant.log_tail(log.stem).splitlines():
                        self._show(log.stem, line)
            first, *_ = str(error).splitlines()
            logs = os.path.relpath(plant.logs)
            raise PlantError(f"{first}; its last words are above, all of them in {logs}") from error

    def _raise_fleet(self, plant: Plant) -> float:
        """Everything up to the first verdict; returns the seconds from the camera's invitation."""
        self._say("founding a fleet, signing in")
        plant.found_fleet()
        write_private(self._folder / "authenticator", plant.authenticators[OPERATOR].encode())
        plant.start_controller()
        plant.framegate("trust", "add-tpm-ca", plant.folder / "maker.pem")
        self._make_signer(plant)
        self._say("a gateway's host joins")
        gateway, camera = plant.add_machine("gw1", "gateway"), plant.add_machine("cam1")
        plant.join(gateway, plant.invite(gateway))
        plant.write_golden([1])
        plant.start_agent(gateway)
        plant.start_gateway(gateway)
        wait_for("the gateway to serve", lambda: _serves(plant), GATEWAY_S)
        plant.add_machine(SPARE, firmware=Firmware("own-camera"))
        self._say("a camera joins")
        began = time.monotonic()
        plant.join(camera, plant.invite(camera))
        plant.start_agent(camera, "--source", f"exec:{SIM} camera --rate {self._rate}")
        wait_for("a first verdict", lambda: _inspected(camera), FIRST_VERDICT_S)
        return time.monotonic() - began

    def _make_signer(self, plant: Plant) -> None:
        """Whoever adopts a machine of another model signs its profile."""
        state, key = plant.folder / "controller", self._folder / SIGNER
        plant.command(
            "framegate-controller", "profile", "signer", "try", "--out", key, "--state", state
        )

    def _say_what_next(self, plant: Plant, took_s: float) -> None:
        here = _shown(self._folder)
        env = (
            f"export PATH={shlex.quote(str(BIN))}:$PATH\n"
            f"export FRAMEGATE_CONTEXT={shlex.quote(str(self._folder / 'operator.json'))}\n"
            f"export FRAMEGATE_CONTROLLER_STATE={shlex.quote(str(self._folder / 'controller'))}\n"
            f"export FRAMEGATE_PROFILE_KEY={shlex.quote(str(self._folder / SIGNER))}\n"
        )
        (self._folder / "env").write_text(env)
        spare = plant.sites[SPARE].machine
        (self._folder / SPARE_ENV).write_text(env + spare.as_environment())
        self._tell(
            "\n[bold]Framegate runs.[/] Fleet plant, gateway gw1, camera cam1; "
            f"{took_s:.1f} s from the camera's invitation to its first verdict. "
            "SIMULATED: the machines, their TPMs "
            "(swtpm), the camera's boards. Everything else is the product.",
            "\nIn a second terminal, in this folder:\n",
        )
        for line in (f". {here}/env", *_LOOK_AT):
            self._console.print(f"    {line}", highlight=False, soft_wrap=True)
        self._tell(
            "\nWhat you see there is told in docs/tutorial/first-hour.md. For your own pictures "
            "machine own is switched on, too, of a model that the fleet does not know "
            "(docs/guides/integrators/own-camera.md):\n",
        )
        self._console.print(f"    . {here}/{SPARE_ENV}\n", highlight=False, soft_wrap=True)
        self._tell(
            f"Asked for a code of your authenticator: framegate-sim code {here}/authenticator",
            f"Everything is in {here}; Ctrl-C here ends it.\n",
        )

    def _tell(self, *paragraphs: str) -> None:
        for text in paragraphs:
            self._console.print(text, highlight=False)

    def _say_where_metrics_are(self, plant: Plant) -> None:
        if plant.metrics is None:
            return
        file = self._folder / "prometheus.yml"
        file.write_text(scrape_config(plant.metrics))
        self._console.print(
            f"Metrics of {len(plant.metrics)} programs:\n\n"
            f"    curl -s 127.0.0.1:{plant.metrics['controller']}/readyz?verbose\n"
            f"    prometheus --config.file={os.path.relpath(file)}\n",
            highlight=False,
            soft_wrap=True,
        )

    def _watch(self, plant: Plant) -> None:
        while not self._over.wait(LOOK_S):
            for name in plant.running:
                code = plant.process(name).poll()
                if code is not None:
                    raise PlantError(f"{name} ended by itself, with {code}")

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        """The first signal ends it, at once where the fleet is still being raised; a second one
        must not cut the ending short, which would leave processes behind.
        """
        if self._over.is_set():
            return
        self._over.set()
        if self._raising:
            raise KeyboardInterrupt

    def _say(self, what: str) -> None:
        self._console.print(f"framegate try: {what}")

    def _show(self, name: str, line: str) -> None:
        colour = _COLOURS[sum(name.encode()) % len(_COLOURS)]
        self._console.print(
            f"[{colour}]{name:<13}[/] {escape(printable(line))}", highlight=False, soft_wrap=True
        )

    @contextmanager
    def _emptied(self) -> Iterator[None]:
        """The folder is ours alone, and holds nothing of an earlier run. Raises Refused where it
        is too deep, somebody else's, or in use.
        """
        folder = self._folder
        if len(os.fsencode(folder)) > MAX_PATH:
            short = f"a folder whose path has at most {MAX_PATH} bytes (Unix sockets stand in it)"
            hint = "framegate-sim up --folder /tmp/try"
            raise Refused.of(Reason.USAGE, short, str(folder), hint)
        if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
            hint = "name another: --folder DIR"
            raise Refused.of(Reason.CONFLICT, "an empty folder, or an earlier try's", folder, hint)
        private_folder(folder)
        with (folder / MARK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                what = "a folder that nobody uses now"
                hint = "look at it: framegate status; or end the other one with Ctrl-C"
                raise Refused.of(Reason.CONFLICT, what, f"{folder}, in use", hint) from error
            for path in folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != MARK:
                    path.unlink()
            yield


def _shown(folder: Path) -> str:
    """The folder as somebody types it who stands where this was started."""
    near = os.path.relpath(folder)
    return shlex.quote(str(folder) if near.startswith("..") else near)


def _serves(plant: Plant) -> bool:
    """Whether a gateway answers; one that has shown itself may not listen so far."""
    told = plant.framegate("gateway", "status", "-o", "json", check=False)
    return told.returncode == 0 and bool(json.loads(told.stdout))


def _inspected(camera: Site) -> bool:
    outcomes = camera.status().get("outcomes", {})
    return bool(outcomes.get("PASS") or outcomes.get("DEFECT"))
