"""N219 to N222, N229: others who answer without end or with what is no answer, a folder with
modules of theirs, strangers at a witness, and whoever hangs up.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any, Final

from framegate.errors import Reason
from framegate_host.private_files import private_folder
from framegate_operator.connection import operator_stub, sign_in_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.attack.doors import silent_connections
from framegate_simulators.attack.target import TIMEOUT_S, Seen, Target, attempt, reason_of
from framegate_simulators.plant.processes import BIN, PlantError, wait_for
from framegate_simulators.plant.witness import PlantWitness

HELD_S: Final = 45.0
"""Twice what an answer may take, on a machine that is busy."""
DIGITS: Final = "9" * 5_000
SILENT: Final = 100
"""Three times a witness's connections."""
STARTED_S: Final = 120.0
HANG_UPS: Final = 400


@attempt("N219", "a provider of sign-ins that answers with a byte a second")
def n219(t: Target) -> Seen:
    before, t.provider.trickles = t.provider.hung_up, True
    begun = time.monotonic()
    try:
        asked = pb.OidcBeginRequest(flow="code", redirect_uri="http://127.0.0.1:5/")
        with sign_in_stub(t.signing_in(t.context)) as stub:
            said = reason_of(lambda: stub.OidcBegin(asked))
        with contextlib.suppress(PlantError):
            wait_for("it to be hung up on", lambda: t.provider.hung_up > before, HELD_S)
        ended, took = t.provider.hung_up > before, time.monotonic() - begun
    finally:
        t.provider.trickles = False
    told = f"hung up on after {took:.0f} s" if ended else f"LISTENED TO FOR {took:.0f} s"
    return Seen(said.refused and ended, f"{said.reason}; {told}")


@attempt("N220", "goals, statements and a profile with whole numbers that nobody can read")
def n220(t: Target) -> Seen:
    t.sign_in_again()
    text = f"version = {DIGITS}"
    with operator_stub(t.context) as stub:
        goals = reason_of(lambda: stub.SetGoals(pb.SetGoalsRequest(text=text)))
        playbook = reason_of(lambda: stub.EnablePlaybook(pb.EnablePlaybookRequest(text=text)))
    seen = [goals.reason, playbook.reason]
    return Seen(seen == [Reason.USAGE, Reason.PLAYBOOK], ", ".join(seen))


PLANTED: Final = """\
import pathlib

pathlib.Path({path!r}).write_text(__name__)
raise SystemExit
"""


@attempt("N221", "a controller that is started in a folder with modules of somebody else's")
def n221(t: Target) -> Seen:
    folder = private_folder(t.plant.folder / "planted")
    taken, ready = folder / "taken", folder / "ready.json"
    for module in ("framegate_host", "framegate_controller", "json", "logging", "socket", "ssl"):
        (folder / f"{module}.py").write_text(PLANTED.format(path=str(taken)))
    state = t.plant.folder / "planted-state"
    shutil.copytree(t.plant.folder / "controller" / "keys", state / "keys")
    with contextlib.closing(_copied(t, state)):
        argv = [
            *(str(Path(BIN) / "framegate-controller"), "run", "--state", str(state)),
            *("--join-port", "0", "--fleet-port", "0", "--ready-file", str(ready)),
        ]
        with subprocess.Popen(argv, cwd=folder, stderr=subprocess.DEVNULL) as running:
            try:
                wait_for("it to serve, or to be taken", lambda: _there(ready, taken), STARTED_S)
            finally:
                running.terminate()
    told = taken.read_text() if taken.exists() else "nothing"
    return Seen(told == "nothing" and ready.exists(), f"{told} of that folder ran")


def _copied(t: Target, state: Path) -> Any:
    """The target's registry, copied for a controller beside it."""
    import sqlite3

    target = sqlite3.connect(state / "registry.db")
    with contextlib.closing(sqlite3.connect(t.plant.folder / "controller" / "registry.db")) as kept:
        kept.backup(target)
    (state / "registry.db").chmod(0o600)
    return target


def _there(*files: Path) -> bool:
    return any(file.exists() for file in files)


@attempt("N222", "connections that say nothing, three times as many as a witness takes")
def n222(t: Target) -> Seen:
    witness = PlantWitness(t.plant, "crowded")
    witness.start()
    try:
        with silent_connections(witness.port, SILENT):
            answered = 0
            for _ in range(5):
                with contextlib.suppress(OSError):
                    url = f"http://127.0.0.1:{witness.port}/"
                    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                        answered += answer.status == 200
    finally:
        witness.stop()
    return Seen(answered == 5, f"{SILENT} silent; {answered} of 5 questions answered")


@attempt("N229", "operators who hang up while their calls wait for a thread, four hundred times")
def n229(t: Target) -> Seen:
    t.sign_in_again()
    before = t.plant.process("controller").pid
    with t.fleet_channel((t.context.key, t.context.certificate)) as channel:
        stub = rpc.OperatorStub(channel)
        stub.WhoAmI(pb.WhoAmIRequest(), timeout=TIMEOUT_S)
        for number in range(HANG_UPS):
            call = stub.WhoAmI.future(pb.WhoAmIRequest())
            time.sleep(0.0005 * (number % 20))
            call.cancel()
        answered = reason_of(partial(stub.WhoAmI, pb.WhoAmIRequest(), timeout=TIMEOUT_S))
    running = t.plant.process("controller")
    lives = running.pid == before and running.poll() is None
    told = "the controller lives" if lives else "THE CONTROLLER DIED"
    return Seen(lives and not answered.refused, f"{HANG_UPS} hung up; {told}")
