"""N150: a collector whose answer takes over the process that speaks to it."""

import json
import os
import socket
import subprocess
import sys

import pytest

from support.paths import ROOT

KINDS = {
    "file": "",
    "mqtt": "127.0.0.1:{port}",
    "kafka": "127.0.0.1:{port}",
    "webhook": "http://127.0.0.1:{port}",
}
"""One of each cage, and the one whose library is least like the others."""


@pytest.fixture
def taken_over(tmp_path):
    """What a process of a sink reaches that was taken over: takes its kind and what it tries."""
    for name, text in (("sinks/siem/token", "own"), ("sinks/other/token", "x"), ("ca/root", "x")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)

    with socket.create_server(("127.0.0.1", 0)) as open_port:
        port = open_port.getsockname()[1]

        def asked(kind, *attempts, unconfined=False, env=()):
            argv = [kind, KINDS[kind].format(port=port), str(tmp_path / "sinks/siem")]
            argv += ["unconfined" if unconfined else "confined", *attempts]
            done = subprocess.run(
                [sys.executable, "-m", "support.hostile_sink", *argv],
                check=False,
                capture_output=True,
                text=True,
                timeout=120,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}/tests", **dict(env)},
            )
            assert done.returncode == 0, done.stderr[-2000:]
            return json.loads(done.stdout)

        asked.port = port
        yield asked


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_n150_what_takes_a_sinks_process_has_its_folder_and_its_port(taken_over, tmp_path, kind):
    with socket.create_server(("127.0.0.1", 0)) as other:
        state, elsewhere = tmp_path, other.getsockname()[1]
        attempts = {
            f"read:{state}/sinks/siem/token": "done",
            f"read:{state}/sinks/other/token": "PermissionError",
            f"read:{state}/ca/root": "PermissionError",
            "read:/etc/passwd": "PermissionError",
            f"write:{state}/sinks/siem/events.jsonl": "done" if kind == "file" else "refused",
            f"write:{state}/ca/root": "PermissionError",
            f"port:{taken_over.port}": "refused" if kind == "file" else "done",
            f"port:{elsewhere}": "refused",
            "name:example.net": "refused",
            "run": "refused",
        }
        came = taken_over(kind, *attempts)
    assert "system calls" in came.pop("isolation")
    for attempt, wanted in attempts.items():
        assert came[attempt] == wanted or (wanted == "refused" and came[attempt] != "done"), attempt
    assert (state / "ca/root").read_text() == "x"


@pytest.fixture
def no_seccomp(tmp_path):
    """The environment of a machine without libseccomp."""
    folder = tmp_path / "shadow"
    folder.mkdir()
    (folder / "pyseccomp.py").write_text("raise RuntimeError('Unable to find libseccomp')\n")
    return {"PYTHONPATH": f"{folder}:{ROOT}/tests"}.items()


def test_n150_a_sink_is_not_served_where_its_process_cannot_be_confined(taken_over, no_seccomp):
    came = taken_over("webhook", env=no_seccomp)
    assert "libseccomp" in came["refused"] and "sink-network" in came["refused"]


def test_n150_unconfined_is_said_first(taken_over, no_seccomp):
    came = taken_over("webhook", unconfined=True, env=no_seccomp)
    assert came["isolation"].startswith("lacks system calls (seccomp: Unable to find")
