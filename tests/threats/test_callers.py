"""N126: who may speak on the agent's socket. What is said there is quoted as a gateway's."""

import hashlib
import os
import shutil
import socket
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import support
from framegate.errors import Reason, Refused
from framegate.wire import GatewayPublics, VaultBlob, VaultSecret
from framegate_agent.callers import Callers
from framegate_gateway.trust.keys import GatewayKeys

AGENT = str(Path(support.__path__[0]) / "agent_process.py")
ASK = """
import ctypes, os, socket, struct, sys
{before}
s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])
r = bytes.fromhex(sys.argv[2])
try:
    s.sendall(struct.pack(">I", len(r)) + r)
    print(len(s.recv(4096)))
except ConnectionError:
    print(0)
"""
BLOB = VaultBlob(sealed=b"blob", reason="").marshal()


class RunningAgent:
    """An agent that is no ancestor of those who ask it."""

    def __init__(self, folder: Path, *programs: str) -> None:
        self.path = folder / "agent.sock"
        self.process = subprocess.Popen(
            [sys.executable, AGENT, str(self.path), *programs],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.told() == "ready"

    def told(self) -> str:
        return self.process.stdout.readline().strip()

    def ask(self) -> bytes:
        """What it answers to this very process."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(20)
            link.connect(str(self.path))
            link.sendall(struct.pack(">I", len(BLOB)) + BLOB)
            try:
                return link.recv(4096)[4:]
            except ConnectionError:
                return b""

    def announce(self, publics: bytes) -> str:
        """What it says when a gateway process announces these publics."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(20)
            link.connect(str(self.path))
            link.sendall(struct.pack(">I", len(publics)) + publics)
            return self.told()

    def ask_by(self, program: str = sys.executable, before: str = "", **environment: str) -> bool:
        """Whether it answers a child of this process."""
        done = subprocess.run(
            [program, "-c", ASK.format(before=before), str(self.path), BLOB.hex()],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return int(done.stdout) > 0

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


@pytest.fixture
def agent(tmp_path):
    running = RunningAgent(tmp_path)
    yield running
    running.end()


def test_a_gateway_is_answered(agent):
    assert agent.ask_by(), "a gateway whose parent has not spoken"
    assert VaultSecret.parse(agent.ask()).secret == b"the-secret-of-the-vault-32-bytes"
    assert agent.ask(), "and again, on another connection"


def test_n126_what_a_gateway_starts_has_nothing_to_say(agent):
    assert agent.ask(), "this process is a gateway from here on"
    assert not agent.ask_by()
    assert "descends from" in agent.told()
    grandchild = "os.fork() and (os.wait(), os._exit(0))"
    assert not agent.ask_by(before=grandchild)
    assert "descends from" in agent.told()
    assert agent.ask(), "the gateway itself is heard again"


def test_n126_what_the_agent_starts_has_nothing_to_say(tmp_path):
    callers = Callers({os.getuid()})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "agent.sock"))
        listener.listen()
        child = subprocess.Popen(
            [sys.executable, "-c", ASK.format(before=""), listener.getsockname(), "00"],
            stdout=subprocess.DEVNULL,
        )
        connection, _ = listener.accept()
        with connection, pytest.raises(Refused, match="descends from") as caught:
            callers.admit(connection)
        assert caught.value.reason == Reason.UNAUTHENTICATED
        child.wait(20)


def test_n126_another_program_is_refused_whatever_its_uid(tmp_path):
    interpreter = Path(sys.executable).resolve()
    other = tmp_path / "python"
    shutil.copy(interpreter, other)
    home = {"PYTHONHOME": sys.base_prefix}
    running = RunningAgent(tmp_path)
    assert not running.ask_by(str(other), **home)
    assert str(other) in running.told()
    running.end()
    running = RunningAgent(tmp_path, str(other))
    assert running.ask_by(str(other), **home), "the agent was told of it"
    assert not running.ask_by()
    assert str(interpreter) in running.told()
    running.end()


@pytest.fixture
def other(tmp_path) -> Path:
    """The interpreter as a container has it: the same bytes, another file."""
    copy = tmp_path / "python"
    shutil.copy(Path(sys.executable).resolve(), copy)
    return copy


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_n126_a_program_that_was_named_by_its_bytes_is_heard_from_another_file(tmp_path, other):
    running = RunningAgent(tmp_path, f"sha256:{digest_of(other)}")
    home = {"PYTHONHOME": sys.base_prefix}
    assert running.ask_by(str(other), **home)
    assert running.ask_by(), "the agent's own is heard as before"
    running.end()


def test_n126_another_program_of_the_gateways_uid_is_not_heard(tmp_path, other):
    running = RunningAgent(tmp_path, f"sha256:{digest_of(other)}")
    home = {"PYTHONHOME": sys.base_prefix}
    assert running.ask_by(str(other), **home)
    with other.open("ab") as program:  # a byte more, at the same place, after it was read once
        program.write(b"\0")
    assert not running.ask_by(str(other), **home)
    assert str(other) in running.told()
    running.end()


@pytest.mark.parametrize("digest", ["00" * 32, ""], ids=["another digest", "none"])
def test_n126_a_copy_that_nobody_named_is_not_heard(tmp_path, other, digest):
    running = RunningAgent(tmp_path, *([f"sha256:{digest}"] if digest else []))
    assert not running.ask_by(str(other), PYTHONHOME=sys.base_prefix)
    assert str(other) in running.told()
    running.end()


def test_n126_a_program_of_any_size_is_not_read(other):
    callers = Callers({os.getuid()}, (Path("/nowhere"),), {digest_of(other)})
    home = {**os.environ, "PYTHONHOME": sys.base_prefix}
    child = subprocess.Popen([other, "-c", "input()"], env=home, stdin=subprocess.PIPE)
    assert callers._has_digest(child.pid)
    child.communicate(b"\n")
    os.truncate(other, 2**27)
    child = subprocess.Popen([other, "-c", "input()"], env=home, stdin=subprocess.PIPE)
    callers._digests = frozenset({digest_of(other)})
    assert not callers._has_digest(child.pid)
    child.communicate(b"\n")
    assert not callers._has_digest(child.pid), "nor one that has ended"


def test_n126_a_process_of_another_user_namespace_is_refused(agent):
    leave = "assert ctypes.CDLL(None).unshare(0x10000000) == 0"
    try:
        answered = agent.ask_by(before=leave)
    except subprocess.CalledProcessError:
        pytest.skip("this kernel gives no user namespaces")
    assert not answered
    # nobody of that namespace is the uid that was asked for, or it is seen to be in another
    assert "user namespace" in agent.told()


def test_n126_a_connection_ends_with_the_process_that_made_it(agent):
    # the caller leaves its open connection to a child, and ends
    before = (
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "r = bytes.fromhex(sys.argv[2]); s.sendall(struct.pack('>I', len(r)) + r)\n"
        "assert s.recv(4096)\n"
        "if os.fork(): os._exit(0)\n"
        "s.settimeout(20)\n"
        "print(len(s.recv(1)) or 'closed', flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(before=before), str(agent.path), BLOB.hex()],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "closed"


def test_n126_another_uid_is_refused(tmp_path):
    callers = Callers({os.getuid() + 1})
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs, pytest.raises(Refused, match="uid"):
        callers.admit(ours)


def test_n126_a_caller_that_ended_is_not_served():
    callers = Callers({os.getuid()})
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        caller = callers.admit(ours)
        callers.still(caller)
        done = subprocess.Popen([sys.executable, "-c", ""])
        pidfd = os.pidfd_open(done.pid)
        done.wait(20)
        ended = type(caller)(caller.process, pidfd)
        with pytest.raises(Refused, match="ended"):
            callers.still(ended)
        ended.close()
        another = type(caller)(type(caller.process)(caller.process.pid, 1), caller.pidfd)
        with pytest.raises(Refused, match="ended"):
            callers.still(another)
        caller.close()


def test_a_gateway_that_hides_its_memory_shows_itself_to_the_agent(agent):
    hide = "from framegate_host.process_memory import hide_memory, memory_shown; hide_memory()"
    assert agent.ask_by(before=f"{hide}; looking = memory_shown(); looking.__enter__()")
    if os.getuid():  # root sees all
        assert not agent.ask_by(before=hide)
        assert "a program that the agent sees" in agent.told()


def test_n85_a_process_whose_keys_are_no_good_costs_its_host_nothing(agent):
    """Its host's evidence with them would be refused, and its other processes with it."""
    sound = GatewayKeys("a:1", "a:2", b"m" * 32).newest.publics
    parsed = GatewayPublics.parse(sound)
    twice = replace(parsed, verdict_csr=parsed.tls_csr).marshal()
    assert Reason.PUBLICS in agent.announce(twice)
    assert Reason.PUBLICS in agent.announce(replace(parsed, tls_csr=b"no request").marshal())
    assert agent.announce(sound) == "1"
