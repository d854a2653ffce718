"""N187 to N192, N228, N246: who never shows who they are: storms of connections, connections that
say nothing, strangers who use the console as their way to the controller; a package beside another
of its name; secrets that everybody reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from framegate.signed.release import SIGNED_NAME, Provenance, sign_release
from framegate_gateway.ports.options import DESCRIPTORS, MAX_CONNECTIONS
from framegate_host.descriptors import require_descriptors
from framegate_host.private_files import private_folder, write_private
from framegate_simulators.attack.console import OURS, PAGE, Website
from framegate_simulators.attack.floor import Floor
from framegate_simulators.attack.target import TIMEOUT_S, Seen, Target, attempt
from framegate_simulators.plant.processes import BIN

STORM_S: Final = 10.0
"""A server that took up a new configuration at every connection lasted three to seven seconds."""
THREADS: Final = 16
PROGRAM_S: Final = 240.0
"""For a program to start and say no, on a machine that is busy with attacks."""
CROWD: Final = 1_400
"""More than a gateway's port takes, 1,024."""
SPARE: Final = 400
"""A gateway's descriptors of everything else."""
HELD_S: Final = 3.0
"""Of the handshake's ten seconds."""
RENEWED_S: Final = 0.02
RETURNS: Final = 3
BACK_S: Final = 15.0
"""For one return among strangers: a grant, a handshake, and a second after each that failed."""
SILENT: Final = 600
"""More than a console has places for, 512."""
TRIES: Final = 40
"""More than the controller takes of one address before it locks it out, thirty."""


def _knocks(port: int, until_s: float) -> int:
    """Connections of strangers that say nothing and go again, as many as go until then: a server
    makes its end of a handshake for each, before a byte of it came.
    """
    made = [0] * THREADS

    def knock(number: int) -> None:
        while time.monotonic() < until_s:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), TIMEOUT_S).close()
                made[number] += 1

    threads = [threading.Thread(target=knock, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(made)


@attempt(
    "N187",
    "connections of strangers, many at once, at the fleet port and at a gateway's frames port",
    control="frame",
)
def n187(t: Target) -> Seen:
    floor = t.once(Floor)
    frames, _ = t.plant.gateway_ports(floor.gateway)
    names = ("controller", f"gateway-{floor.gateway.name}")
    made, ended = 0, []
    for name, port in zip(names, (t.plant.fleet_port, frames), strict=True):
        made += _knocks(port, time.monotonic() + STORM_S)
        if t.plant.process(name).poll() is not None:
            ended.append(name)
    return Seen(
        not ended and made > THREADS,
        f"{made} connections; {', '.join(ended) or 'no process'} ended",
    )


@contextlib.contextmanager
def silent_connections(port: int, count: int) -> Iterator[None]:
    """So many connections to a port of this host that say nothing."""
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            with contextlib.suppress(OSError):
                opened.append(socket.create_connection(("127.0.0.1", port), TIMEOUT_S))
        yield
    finally:
        for each in opened:
            each.close()


@attempt(
    "N228", "1,400 connections that say nothing, at a gateway's port for frames", control="frame"
)
def n228(t: Target) -> Seen:
    floor = t.once(Floor)
    frames, _ = t.plant.gateway_ports(floor.gateway)
    held = Path(f"/proc/{t.plant.process(f'gateway-{floor.gateway.name}').pid}/fd")
    require_descriptors(DESCRIPTORS, "an attacker")
    with silent_connections(frames, CROWD):
        until_s, most = time.monotonic() + HELD_S, 0
        while time.monotonic() < until_s:
            most = max(most, sum(1 for _ in held.iterdir()))
            time.sleep(0.1)
    within = MAX_CONNECTIONS <= most < MAX_CONNECTIONS + SPARE
    return Seen(
        within, f"{CROWD} silent; the gateway has {most} descriptors: {'few' if within else 'ALL'}"
    )


@contextlib.contextmanager
def _renewed_connections(port: int, count: int) -> Iterator[None]:
    """So many connections that say nothing, each of which comes again when it is ended."""
    over = threading.Event()

    def renew() -> None:
        while not over.is_set():
            for number, each in enumerate(opened):
                if each is None or _is_ended(each):
                    opened[number] = _silent(port)
            over.wait(RENEWED_S)

    opened = [_silent(port) for _ in range(count)]
    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for each in filter(None, opened):
            each.close()


def _silent(port: int) -> socket.socket | None:
    try:
        made = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
    except OSError:
        return None
    made.setblocking(False)
    return made


def _is_ended(connection: socket.socket) -> bool:
    """Whether the other end is closed; ours is, then."""
    try:
        ended = not connection.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        ended = True
    connection.close()
    return ended


def _comes_back(floor: Floor) -> bool:
    """Whether a camera's new connection has its offer in time; it tries again, as cameras do."""
    until_s = time.monotonic() + BACK_S
    while time.monotonic() < until_s:
        with (
            contextlib.suppress(RuntimeError, TimeoutError, grpc.RpcError),
            floor.conversation() as talk,
        ):
            talk.offered()
            return True
    return False


@attempt(
    "N246",
    "1,400 connections that say nothing and come again, at a gateway's port that a camera returns"
    " to",
    control="frame",
)
def n246(t: Target) -> Seen:
    floor = t.once(Floor)
    frames, _ = t.plant.gateway_ports(floor.gateway)
    require_descriptors(DESCRIPTORS, "an attacker")
    with _renewed_connections(frames, CROWD):
        back = sum(_comes_back(floor) for _ in range(RETURNS))
    return Seen(back == RETURNS, f"{CROWD} silent; a camera came back {back} times of {RETURNS}")


@attempt("N188", "a stranger's forty keys through the console, which is one address to everybody")
def n188(t: Target) -> Seen:
    site = t.once(Website)
    form = {"operator": "x", "password": "x", "code": "000000"}
    said = [site.post("/signin", OURS, form).body for _ in range(TRIES)]
    locked = sum("locked" in each for each in said)
    log = t.plant.log_tail("controller", 100_000)
    served = site.get("/signin", PAGE).status
    return Seen(
        locked >= TRIES - 10 and served == 200 and "too many from" not in log,
        f"{locked} of {TRIES} locked here; a sign-in page meanwhile: {served}",
    )


@attempt("N189", "connections that say nothing, at the controller's listener for metrics")
def n189(t: Target) -> Seen:
    port = (t.plant.metrics or {})["controller"]
    with silent_connections(port, 100):
        answered = 0
        for _ in range(5):
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_S) as r,
            ):
                answered += r.status == 200
    return Seen(answered == 5, f"100 silent; {answered} of 5 scrapes answered")


@attempt("N190", "six hundred connections that say nothing, at the web console")
def n190(t: Target) -> Seen:
    site = t.once(Website)
    with silent_connections(site.port, SILENT):
        seen = [site.get("/signin", PAGE).status for _ in range(5)]
    return Seen(seen == [200] * 5, f"{SILENT} silent; pages meanwhile: {seen}")


@attempt("N191", "a package that was changed, beside the true one of the same name")
def n191(t: Target) -> Seen:
    folder = private_folder(t.plant.folder / "release")
    key, name = ec.generate_private_key(ec.SECP256R1()), "framegate-agent_1.0_amd64.deb"
    files = {name: hashlib.sha256(b"as released").digest()}
    bundle = sign_release(Provenance("1.0", "ab" * 20, {}, files), key)
    write_private(folder / SIGNED_NAME, bundle)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_private(folder / "key.pem", pem)
    paths = [private_folder(folder / each) / name for each in ("true", "changed")]
    for path, content in zip(paths, (b"as released", b"changed"), strict=True):
        write_private(path, content)
    asked = ["release", "verify", "--key", folder / "key.pem", "--signature", folder / SIGNED_NAME]
    sound = _framegate(*asked, paths[0])
    codes = [_framegate(*asked, *order) for order in (paths, paths[::-1])]
    return Seen(
        sound.returncode == 0 and all("do not install it" in done.stderr for done in codes),
        "; ".join(f"exit {done.returncode}: do not install it" for done in codes),
    )


def _framegate(*words: object) -> subprocess.CompletedProcess[str]:
    argv = [str(Path(BIN) / "framegate"), *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=PROGRAM_S, check=False)


@attempt("N192", "a controller told of a database's password in a file that everybody reads")
def n192(t: Target) -> Seen:
    file = t.plant.folder / "database-password"
    write_private(file, b"hunter2\n")
    file.chmod(0o644)
    argv = [
        *(str(Path(BIN) / "framegate-controller"), "run"),
        *("--state", str(t.plant.folder / "controller")),
        *("--store", "postgresql://framegate@127.0.0.1:1/framegate"),
        *("--store-password-file", str(file)),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PROGRAM_S, check=False)
    told = "everybody reads it" in done.stderr
    shown = "hunter2" in done.stderr + done.stdout
    return Seen(
        done.returncode != 0 and told and not shown,
        f"exit {done.returncode}: {'everybody reads it' if told else done.stderr[-200:]}",
    )
