"""N220, N221, N222: answers of gateways that are none, modules in the folder that a program was
started in, and strangers who hold a witness's connections.
"""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from framegate.assessment.goals import parse_goals
from framegate.assessment.statement import parse_said
from framegate.errors import FramegateError, Malformed
from framegate.looks.kinds import Look
from framegate.profile.model import parse_profile
from framegate_controller.people.oidc import authenticated_ms
from framegate_host.child_process import OWN_PYTHON, start_module
from framegate_operator.answers import camera_names, json_object, measured_looks
from framegate_operator.verdicts import _row
from framegate_witness import service
from framegate_witness.service import Crowd

VAST = int("9" * 400)
DIGITS = "9" * 5_000
LOOK = Look.RESIDUAL.value


@pytest.mark.parametrize(
    "looks",
    [
        {"no-such-look": [1.0]},
        {LOOK: [VAST]},
        {LOOK: ["1.0"]},
        {LOOK: [True]},
        {LOOK: {"0": 1.0}},
        {LOOK: [0.1] * 2_001},
        {LOOK: [0.1], list(Look)[1].value: [0.1, 0.2]},
        {LOOK: [1e300]},
        {},
        [],
        None,
    ],
    ids=[
        "unknown",
        "vast",
        "text",
        "bool",
        "no-list",
        "many",
        "uneven",
        "range",
        "none",
        "list",
        "null",
    ],
)
def test_n220_what_a_gateway_measured_is_looked_at_before_it_is_used(looks):
    with pytest.raises(Malformed):
        measured_looks({"looks": looks})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"nul",
        b"[" * 5_000,
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        DIGITS.encode(),
        b"\xff",
    ],
    ids=["empty", "list", "cut", "deep", "nan", "twice", "digits", "bytes"],
)
def test_n220_an_answer_that_is_no_object_is_refused(raw):
    with pytest.raises(Malformed):
        json_object(raw, "an answer")


def test_n220_a_sound_answer_is_read():
    body = json.dumps({"cameras": ["camera.line-1.a"], "looks": {LOOK: [0.5, None, 1]}}).encode()
    read = json_object(body, "an answer")
    assert measured_looks(read) == [{Look.RESIDUAL: 0.5}, {}, {Look.RESIDUAL: 1.0}]
    assert camera_names(read) == ["camera.line-1.a"]


@pytest.mark.parametrize("cameras", [None, "abc", [1], ["a"] * 65, ["x" * 201]], ids=str)
def test_n220_names_of_cameras_are_names(cameras):
    with pytest.raises(Malformed):
        camera_names({"cameras": cameras})


@pytest.mark.parametrize("score", ["x", [1], VAST], ids=["text", "list", "vast"])
def test_n220_a_signed_verdict_with_odd_defects_is_a_refusal(score):
    odd = SimpleNamespace(reason="", defects=({"kind": "short", "score": score},), stage="")
    with pytest.raises(Malformed):
        _row(odd)


@pytest.mark.parametrize(
    "read",
    [
        lambda: parse_goals(f"version = {DIGITS}"),
        lambda: parse_said(f"version = {DIGITS}", (), 0),
        lambda: parse_profile(f"version = {DIGITS}".encode()),
    ],
    ids=["goals", "statements", "profile"],
)
def test_n220_numbers_that_cannot_be_read_are_a_refusal(read):
    with pytest.raises(FramegateError):
        read()


@pytest.mark.parametrize(
    "said",
    [VAST, float("inf"), float("nan"), 1e308, -1, "x"],
    ids=["vast", "inf", "nan", "big", "before", "text"],
)
def test_n206_in_what_a_provider_says_of_a_time(said):
    assert authenticated_ms({"auth_time": said}, 1_000_000) == 1_000_000


PLANTED = "import pathlib; pathlib.Path({path!r}).write_text('taken'); raise SystemExit"


async def test_n221_a_child_runs_nothing_of_the_folder_its_program_was_started_in(
    tmp_path, monkeypatch
):
    taken = tmp_path / "taken"
    for module in ("framegate_host", "json", "argparse", "logging", "socket"):
        (tmp_path / f"{module}.py").write_text(PLANTED.format(path=str(taken)))
    monkeypatch.chdir(tmp_path)
    line = [sys.executable, "-m", "framegate_host.support"]
    subprocess.run(line, cwd=tmp_path, check=False, capture_output=True, timeout=60)
    assert taken.exists(), "the attack works on an interpreter that looks there"
    taken.unlink()
    child = await start_module("framegate_controller.bundleport.process")
    child.writer.close()
    child.process.wait(60)
    assert not taken.exists()


def test_n221_whoever_starts_python_here_starts_our_own_way():
    """No other place of the product names the interpreter and `-m`."""
    root = Path(__file__).parents[2]
    for package in ("core", "agent", "controller", "proto"):
        for file in (root / package).rglob("*.py"):
            text = file.read_text("utf-8")
            if '"-m"' in text and file.name not in {"answers.py"}:
                assert "OWN_PYTHON" in text and "sys.executable,\n" not in text, file
    assert OWN_PYTHON[1] == "-P"


class Peer:
    """A connection, as a crowd holds it."""

    def __init__(self) -> None:
        self.cut = False

    def shutdown(self, _how: int) -> None:
        self.cut = True


def test_n222_whoever_says_nothing_gives_way_and_most_of_all_one_network():
    crowd, strangers, log = Crowd(8), [Peer() for _ in range(7)], Peer()
    for stranger in strangers:
        assert crowd.admit(stranger, "192.0.2.1")
    assert crowd.admit(log, "198.51.100.7")
    late = Peer()
    assert crowd.admit(late, "203.0.113.9")
    assert strangers[0].cut and not log.cut, "the longest quiet one of the network with most"
    assert not crowd.asks(strangers[0]), "and nothing is answered to it any more"
    assert crowd.asks(log)
    for _ in range(20):
        assert crowd.admit(Peer(), "192.0.2.1")
    assert not log.cut, "whoever is being answered is hung up on by nobody"


def test_n222_where_all_are_answered_the_next_has_to_come_again():
    crowd, busy = Crowd(4), [Peer() for _ in range(4)]
    for peer in busy:
        assert crowd.admit(peer, "192.0.2.1") and crowd.asks(peer)
    assert not crowd.admit(Peer(), "192.0.2.2")
    crowd.waits(busy[0], "192.0.2.1")
    assert crowd.admit(Peer(), "192.0.2.2") and busy[0].cut
    crowd.leave(busy[1])
    assert crowd.admit(Peer(), "192.0.2.3")


def test_n222_a_64_has_one_share_of_a_witness(monkeypatch):
    """N138 holds there, too."""
    taken = []
    server = SimpleNamespace(rates=SimpleNamespace(take=lambda network, _: taken.append(network)))
    handler = SimpleNamespace(
        path=service.PATH, server=server, _refuse=lambda *_: None, client_address=("2001:db8::1", 1)
    )
    handler._may_ask = lambda: service._Handler._may_ask(handler)
    for last in range(1, 4):
        handler.client_address = (f"2001:db8::{last}", 1)
        service._Handler.do_POST(handler)
        service._Handler.do_GET(handler)
    assert taken == ["2001:db8::/64"] * 6


def test_n222_silent_connections_keep_no_log_from_its_witness(monkeypatch):
    monkeypatch.setattr(service, "CONNECTIONS", 4)
    key = SimpleNamespace(text="a witness's key")
    server = service.WitnessServer(("127.0.0.1", 0), SimpleNamespace(key=key))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    strangers = [socket.create_connection(server.server_address) for _ in range(12)]
    try:
        with socket.create_connection(server.server_address) as log:
            log.settimeout(30)
            log.sendall(b"GET / HTTP/1.1\r\nHost: w\r\n\r\n")
            assert b"a witness's key" in log.recv(4096) + log.recv(4096)
    finally:
        for stranger in strangers:
            stranger.close()
        server.shutdown()
        thread.join(30)
        server.server_close()
