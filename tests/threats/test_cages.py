"""N103, N126, N127, N150: what a child that was taken over can do from its cage, call by call."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from framegate.errors import Reason, Unavailable
from framegate_agent.camera.capture import Capture
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.parts import GoldenImages
from framegate_host.cages import CAGES, CAPTURE_PROGRAM

TESTS = Path(__file__).parents[1]
REFUSED = {"EPERM", "EACCES", "ENOSYS", "SIGSYS"}
"""The kernel's no: to a call, to a path, as if it were not there, and for good."""
STRICT = sorted(n for n, cage in CAGES.items() if not (cage.foreign or cage.looks_up))


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """cage → {call: what came of it}, by a child that makes every call in each."""
    folder = tmp_path_factory.mktemp("hostile")
    secret = folder / "key.pem"
    secret.write_text("secret")
    secret.chmod(0o600)
    answers = {}
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(folder / "agent.sock"))
        unix.listen()
        port, pid = str(tcp.getsockname()[1]), str(os.getpid())
        for name in (*CAGES, "none"):
            argv = [str(secret), port, pid, str(folder / "agent.sock")]
            done = subprocess.run(
                [sys.executable, "-m", "framegate_simulators.attack.hostile_child", name, *argv],
                check=False,
                cwd=TESTS,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
                start_new_session=True,
            )
            assert done.returncode == 0, done.stderr
            answers[name] = json.loads(done.stdout)
        secret_after = secret.read_text()
    assert secret_after == "secret"
    return answers


@pytest.mark.parametrize("name", STRICT)
def test_n126_n127_no_call_leads_out_of_a_cage(tried, name):
    assert {call: came for call, came in tried[name].items() if came not in REFUSED} == {}


def test_n150_a_library_that_looks_names_up_has_udp_and_nothing_else(tried):
    assert {c for c, came in tried["sink-library"].items() if came not in REFUSED} == {"socket UDP"}


def test_n127_a_makers_program_does_what_its_row_says_and_nothing_else(tried):
    answers = tried[CAPTURE_PROGRAM.name]
    assert {call for call, came in answers.items() if came not in REFUSED} == {
        # processes, memory and code of its own, sockets of the Internet's protocols
        "clone",
        "dup",
        "fork",
        "io_setup",
        "kill everybody",  # the kernel says yes and spares whoever is outside
        "memfd_create",
        "mmap PROT_EXEC",
        "mprotect PROT_EXEC",
        "pidfd_send_signal",
        "pkey_mprotect",
        "prctl PR_SET_DUMPABLE",
        "setsid",
        "socket AF_INET",
        "socket AF_NETLINK",
        "socket UDP",
        "socketpair",
        "vfork",
    }


def test_the_calls_that_cages_refuse_work_outside(tried):
    assert {call: came for call, came in tried["none"].items() if came in REFUSED} == {}
    assert tried["none"]["read a file"] == tried["none"]["socket AF_UNIX"] == "done"


@pytest.fixture
def no_seccomp(tmp_path, monkeypatch):
    """A machine without libseccomp, as a child meets it."""
    folder = tmp_path / "shadow"
    folder.mkdir()
    (folder / "pyseccomp.py").write_text("raise RuntimeError('Unable to find libseccomp')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))


async def test_n127_a_gateway_does_not_serve_where_its_child_cannot_be_confined(
    tmp_path, no_seccomp
):
    engine = Engine(load_bundle(DEFAULT_BUNDLE), GoldenImages((tmp_path,)), threads=1)
    with pytest.raises(Unavailable) as caught:
        await engine.start()
    assert caught.value.reason == Reason.UNCONFINED and "libseccomp" in str(caught.value)
    await engine.stop()


async def test_n127_unconfined_is_said_first(tmp_path, no_seccomp):
    bundle, parts = load_bundle(DEFAULT_BUNDLE), GoldenImages((tmp_path,))
    engine = Engine(bundle, parts, threads=1, unconfined=True)
    await engine.start()
    assert engine.isolation.startswith("unconfined: lacks system calls (seccomp: Unable to find")
    assert "no files" in engine.isolation, "what can be had is had"
    await engine.stop()


async def test_n127_a_capture_child_takes_no_picture_where_it_cannot_be_confined(
    tmp_path, no_seccomp, capfd
):
    cv2.imwrite(str(tmp_path / "p.png"), np.zeros((8, 8), np.uint8))
    source = f"folder:{tmp_path}"
    capture = Capture(source, part_type="p", rate=0, repeat=False)
    assert [frame async for frame in capture.frames()] == []
    assert "unconfined: expected" in capfd.readouterr().err
    capture = Capture(source, part_type="p", rate=0, repeat=False, unconfined=True)
    assert len([frame async for frame in capture.frames()]) == 1
    assert "lacks system calls" in capfd.readouterr().err
