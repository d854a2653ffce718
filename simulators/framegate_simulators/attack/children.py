"""N126, N127, N141, N145: children that decode, whoever speaks on an agent's socket, and passwords
of sources, at programs that run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from unittest import mock

from framegate.errors import FramegateError
from framegate.wire import ENCODING_JPEG, VaultBlob
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.jobs import CameraFrame
from framegate_gateway.inference.parts import GoldenImages
from framegate_host.cages import CAGES
from framegate_simulators.attack import rogue_worker
from framegate_simulators.attack.floor import Floor, picture
from framegate_simulators.attack.target import Seen, Target, attempt
from framegate_simulators.plant.processes import wait_for
from framegate_simulators.process_readings import children_of

REFUSED: Final = frozenset({"EPERM", "EACCES", "ENOSYS", "SIGSYS"})
"""The kernel's no: to a call, to a path, as if it were not there, and for good."""
OUTSIDE: Final = ("read a file", "socket AF_UNIX", "ptrace", "process_vm_readv", "unshare", "setns")
"""What a maker's program may do none of, whose cage leaves it processes and the network."""
SECRET: Final = "S3cr3t-of-the-camera"  # noqa: S105 - nobody's
CHILD_S: Final = 120.0


def _hostile(cage: str, folder: Path) -> dict[str, str]:
    """What came of each call that a child makes which was taken over, in this cage."""
    secret = folder / "key.pem"
    secret.write_text("secret")
    path = folder / "a.sock"
    path.unlink(missing_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        argv = [str(secret), str(tcp.getsockname()[1]), str(os.getpid()), str(path)]
        done = subprocess.run(
            [sys.executable, "-m", "framegate_simulators.attack.hostile_child", cage, *argv],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHILD_S,
            start_new_session=True,
        )
    return dict(json.loads(done.stdout))


def _got_out(answers: dict[str, str], calls: tuple[str, ...] = ()) -> list[str]:
    return [c for c, came in answers.items() if came not in REFUSED and (not calls or c in calls)]


def _inference_child(t: Target) -> dict[str, str]:
    """/proc's status of the running gateway's inference child."""
    gateway = t.plant.process(f"gateway-{t.once(Floor).gateway.name}")
    return _child_of(gateway.pid, b"inference.worker")


def _child_of(parent: int, module: bytes) -> dict[str, str]:
    """/proc's status of the process below `parent` that runs a module of that name."""
    for child in children_of(parent):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            status = Path(f"/proc/{child}/status").read_text().splitlines()
            if module in Path(f"/proc/{child}/cmdline").read_bytes():
                return dict(line.split(":\t", 1) for line in status)
    return {}


@attempt(
    "N126",
    "a child that was taken over makes every call that leads out of the inference cage; another"
    " program asks the gateway's agent for its vault",
    control="frame",
)
def n126(t: Target) -> Seen:
    folder = Path(tempfile.mkdtemp(prefix="fg-"))
    free, caged = _hostile("none", folder), _hostile("inference", folder)
    running = _inference_child(t)
    confined = running.get("Seccomp", "").strip() == "2" and running["NoNewPrivs"].strip() == "1"
    said = _asks_agent(t, folder)
    shutil.rmtree(folder)
    return Seen(
        not _got_out(caged) and "read a file" in _got_out(free) and confined and said == "",
        f"{len(caged)} calls, {len(_got_out(caged))} lead out ({len(_got_out(free))} of {len(free)}"
        f" outside); running child: seccomp {running.get('Seccomp', '?').strip()}; another program"
        f" at the agent: {said or 'unauthenticated'}",
    )


_ASK: Final = """
import socket, struct, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])
r = bytes.fromhex(sys.argv[2])
try:
    s.sendall(struct.pack(">I", len(r)) + r); print(len(s.recv(4096)))
except ConnectionError:
    print(0)
"""


def _asks_agent(t: Target, folder: Path) -> str:
    """What the agent answers to a copy of its own interpreter, which is another program."""
    other = folder / "python"
    shutil.copy(Path(sys.executable).resolve(), other)
    blob = VaultBlob(sealed=b"blob", reason="").marshal().hex()
    path = str(t.plant.agent_socket(t.once(Floor).gateway))
    done = subprocess.run(
        [str(other), "-c", _ASK, path, blob],
        env={**os.environ, "PYTHONHOME": sys.base_prefix},
        capture_output=True,
        text=True,
        check=True,
        timeout=CHILD_S,
    )
    return "" if int(done.stdout) == 0 else f"ANSWERED {done.stdout.strip()} bytes"


@attempt(
    "N127",
    "the same child in every cage of a camera's source: folders, network cameras, makers' programs",
    control="frame",
)
def n127(t: Target) -> Seen:
    folder, seen = Path(tempfile.mkdtemp(prefix="fg-")), {}
    for name, cage in CAGES.items():
        if name != "inference":
            answers = _hostile(name, folder)
            if cage.looks_up:  # it asks name servers: the cage says so, and the threat model
                answers.pop("socket UDP")
            seen[name] = _got_out(answers, OUTSIDE if cage.foreign else ())
    shutil.rmtree(folder)
    return Seen(
        bool(seen) and not any(seen.values()),
        "; ".join(f"{n}: {', '.join(out) or 'nothing leads out'}" for n, out in seen.items()),
    )


@attempt(
    "N244",
    "the same child in the cages of the join port and of the bundle's, beside the join port that"
    " runs",
)
def n244(t: Target) -> Seen:
    folder = Path(tempfile.mkdtemp(prefix="fg-"))
    out = {name: _got_out(_hostile(name, folder)) for name in ("join-port", "bundle-port")}
    shutil.rmtree(folder)
    running = _child_of(t.plant.process("controller").pid, b"joinport.process")
    confined = running.get("Seccomp", "").strip() == "2" and running["NoNewPrivs"].strip() == "1"
    told = "; ".join(f"{n}: {', '.join(c) or 'nothing leads out'}" for n, c in out.items())
    said = running.get("Seccomp", "?").strip()
    return Seen(confined and not any(out.values()), f"{told}; running port: seccomp {said}")


@attempt(
    "N141",
    "a camera's password in a flag, and in the file that address:FILE names, of an agent that runs",
    control="frame",
)
def n141(t: Target) -> Seen:
    plant, address = t.plant, f"rtsp://admin:{SECRET}@127.0.0.1:9/stream"
    flag = plant.command(
        "framegate-agent", "run", "--state", plant.folder / "x", "--source", address, check=False
    )
    site = plant.add_machine("cam9")
    plant.join(site, plant.invite(site))
    file = plant.folder / "address"
    file.write_text(address + "\n")
    file.chmod(0o600)
    plant.start_agent(site, "--source", f"address:{file}")
    log = plant.logs / f"agent-{site.name}.log"
    try:
        wait_for("its source to fail", lambda: b"127.0.0.1" in log.read_bytes(), CHILD_S)
        told = {"log": log.read_bytes(), "status": json.dumps(site.status()).encode()}
        told["arguments"] = b"".join(_arguments())
    finally:
        plant.stop_agent(site)
    told["flag"] = (flag.stdout + flag.stderr).encode()
    leaks = [where for where, text in told.items() if SECRET.encode() in text]
    return Seen(
        flag.returncode == 2 and "address:FILE" in flag.stderr and not leaks,
        f"as a flag: exit {flag.returncode}, says address:FILE; shown in: {leaks or 'nothing'}",
    )


def _arguments() -> Iterator[bytes]:
    """Command lines of everything that runs here but this process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes()


LIES: Final = ("another's number", "box of NaN", "score past one", "no defects at all", "huge head")


@attempt(
    "N145",
    "an inference child that was taken over lies in its answers: numbers, shapes, ranges, sizes",
    control="frame",
)
def n145(t: Target) -> Seen:
    seen = asyncio.run(_lied_to(t.plant.golden))
    return Seen(
        all(reason == "inference, then sound" for reason in seen.values()),
        "; ".join(f"{lie}: {reason}" for lie, reason in seen.items()),
    )


async def _lied_to(golden: Path) -> dict[str, str]:
    """What an engine makes of a child that lies, and of the one that it starts in its place."""
    return {lie: await _lie(lie, golden) for lie in LIES}


async def _lie(lie: str, golden: Path) -> str:
    real = subprocess.Popen
    started: list[subprocess.Popen[bytes]] = []

    def popen(argv: list[str], **options: Any) -> Any:
        if not started:
            at = argv.index("-m")
            argv = [sys.executable, rogue_worker.__file__, lie, *argv[at + 2 :]]
        started.append(real(argv, **options))
        return started[-1]

    engine = Engine(load_bundle(DEFAULT_BUNDLE), GoldenImages((golden,)), threads=1)
    with mock.patch("framegate_gateway.inference.child.subprocess.Popen", popen):
        await engine.start()
        serving = asyncio.create_task(engine.run())
        said = []
        for number in (1, 2):
            try:
                await engine.inspect(
                    CameraFrame("cam", "drawn-1", picture(number), ENCODING_JPEG, 640, 640)
                )
                said.append("sound")
            except FramegateError as error:
                said.append(error.reason.value)
        serving.cancel()
        await engine.stop()
    ended = started[0].returncode == -signal.SIGKILL
    return ", then ".join(said) if ended else "THE CHILD LIVES"
