"""A witness over HTTP: every status of tlog-witness, and what is bounded."""

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from framegate.record.merkle import consistency_path, data_tree
from framegate.transparency.cosignature import cosignatures
from framegate.transparency.head import TreeHead, sign_head
from framegate.transparency.note import KeyType, Note, NoteKey, parse_note, parse_signatures
from framegate.transparency.submission import MAX_SUBMISSION_BYTES, Submission
from framegate_host.token_buckets import Rate, TokenBuckets
from framegate_witness import service
from framegate_witness.state import watch_log
from support.decided import Witness

ORIGIN = "log.other.example/0"
ENTRIES = [b"%d" % n for n in range(9)]


class Log:
    """A log with an Ed25519 key, as others have them."""

    def __init__(self, origin: str = ORIGIN) -> None:
        self.private = ed25519.Ed25519PrivateKey.generate()
        raw = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key = NoteKey(origin, KeyType.ED25519, raw)
        self.tree = data_tree(ENTRIES)

    def note(self, size: int, root: bytes = b"") -> Note:
        root = root or data_tree(ENTRIES[:size]).root
        head = TreeHead(self.key.name, size, root)
        return parse_note(sign_head(head, self.key, self.private.sign))

    def body(self, old: int, size: int, **how) -> bytes:
        path = consistency_path(old, size, self.tree.node) if 0 < old <= size else []
        return Submission(old, tuple(path), self.note(size, **how)).body


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def witness(tmp_path, log) -> Iterator[Witness]:
    witness = Witness(tmp_path / "w", "witness.example/w")
    watch_log(witness.folder, log.key)
    witness.start()
    yield witness
    witness.stop()


class Answer:
    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status, self.kind = answer.status, answer.getheader("Content-Type")
        self.text = answer.read().decode()


def post(witness: Witness, body: bytes, path="/add-checkpoint", **headers) -> Answer:
    connection = http.client.HTTPConnection(witness.url.removeprefix("http://"), timeout=30)
    connection.request("POST", path, body, headers)
    answer = Answer(connection.getresponse())
    connection.close()
    return answer


def test_a_log_that_grows_is_cosigned_and_cosigned_again(witness, log):
    for old, size in ((0, 3), (3, 3), (3, 8), (8, 9)):
        answer = post(witness, log.body(old, size))
        assert answer.status == 200
        note = Note(log.note(size).text, parse_signatures(answer.text))
        (one,) = cosignatures(note, (witness.key,), 2**40)
        assert one.witness == witness.key


def test_an_empty_log_is_cosigned_as_what_it_is(witness, log):
    assert post(witness, log.body(0, 0)).status == 200
    assert post(witness, log.body(0, 4)).status == 200


def test_each_way_to_be_declined_has_its_status(witness, log):
    stranger, other = Log("log.strange.example/0"), Log()
    assert post(witness, log.body(0, 5)).status == 200
    for body, status in (
        (b"", 400),
        (b"old 0\n", 400),
        (log.body(0, 5).replace(b"old 0", b"old 6"), 400),  # larger than the head
        (stranger.body(0, 5), 404),
        (other.body(5, 5), 403),  # the same origin, another key
        (Submission(5, (), Note(log.note(8).text, log.note(5).signatures)).body, 403),
        (log.body(0, 8), 409),
        (log.body(3, 8), 409),
        (log.body(5, 5, root=b"\1" * 32), 409),
        (Submission(5, (b"\2" * 32,), log.note(8)).body, 422),
        (log.body(5, 8, root=b"\1" * 32), 422),
        (Submission(5, (b"\2" * 32,), log.note(5)).body, 422),  # a proof where none is due
    ):
        answer = post(witness, body)
        assert answer.status == status, (body[:20], answer.text)
        if status == 409:
            assert (answer.kind, answer.text) == ("text/x.tlog.size", "5\n")
    assert post(witness, log.body(5, 9)).status == 200  # nothing of that changed what it knows


def test_a_proof_from_nothing_is_empty(witness, log):
    body = Submission(0, (b"\1" * 32,), log.note(5)).body
    assert post(witness, body).status == 422
    wrong_empty = Submission(0, (), log.note(0, root=b"\1" * 32)).body
    assert post(witness, wrong_empty).status == 422


def test_two_logs_are_watched_side_by_side(witness, log, tmp_path):
    witness.stop()
    second = Log("log.second.example/0")
    assert watch_log(witness.folder, second.key)
    assert not watch_log(witness.folder, second.key)
    witness.start()
    assert post(witness, log.body(0, 5)).status == 200
    assert post(witness, second.body(0, 7)).status == 200
    assert post(witness, log.body(5, 9)).status == 200
    assert post(witness, second.body(5, 9)).text == "7\n"


def test_heads_last_over_a_restart(witness, log):
    post(witness, log.body(0, 5))
    witness.stop()
    witness.start()
    assert post(witness, log.body(0, 8)).text == "5\n"
    assert post(witness, log.body(5, 8)).status == 200


def test_what_is_bounded(witness, log, monkeypatch):
    assert post(witness, b"x", **{"Content-Length": str(MAX_SUBMISSION_BYTES + 1)}).status == 413
    assert post(witness, b"x", **{"Content-Length": "-1"}).status == 411
    assert post(witness, b"0\r\n\r\n", **{"Transfer-Encoding": "chunked"}).status == 411
    assert post(witness, b"", path="/other").status == 404
    witness.server.rates = TokenBuckets(Rate(1, 0.0001), 10)
    assert post(witness, log.body(0, 5)).status == 200
    assert post(witness, log.body(5, 5)).status == 429


@pytest.mark.parametrize("path", ["/", "/other"])
def test_n222_asking_for_the_key_is_a_request_too(witness, path):
    witness.server.rates = TokenBuckets(Rate(2, 0.0001), 10)
    statuses = []
    for _ in range(4):
        connection = http.client.HTTPConnection(witness.url.removeprefix("http://"), timeout=30)
        connection.request("GET", path)
        statuses.append(connection.getresponse().status)
        connection.close()
    assert statuses == [200 if path == "/" else 404] * 2 + [429] * 2


def test_who_sends_a_byte_now_and_then_is_cut_off_and_holds_up_nobody(witness, log, monkeypatch):
    begun, cut_off = threading.Event(), service._cut_off

    @contextlib.contextmanager
    def told(request):
        with cut_off(request):
            begun.set()
            yield

    port = witness.server.server_address[1]
    with monkeypatch.context() as brief:  # for this one alone: who asks may take its time
        brief.setattr(service, "CONNECTION_S", 0.2)
        brief.setattr(service, "_cut_off", told)
        slow = socket.create_connection(("127.0.0.1", port), timeout=30)
        slow.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 500\r\n\r\nold")
        assert begun.wait(30)
    assert post(witness, log.body(0, 5)).status == 200
    assert slow.recv(100) == b""  # ended by the witness
    slow.close()


def test_of_more_connections_than_there_is_room_for_the_quietest_gives_way(witness):
    """Whoever says nothing once kept whoever had something to ask out (N222)."""
    port = witness.server.server_address[1]
    silent = []
    for _ in range(service.CONNECTIONS):
        silent.append(socket.create_connection(("127.0.0.1", port), timeout=30))
    late = socket.create_connection(("127.0.0.1", port), timeout=30)
    late.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert late.recv(100).startswith(b"HTTP/1.1 200")
    assert silent[0].recv(100) == b""
    for one in (*silent, late):
        one.close()


def test_whoever_asks_reads_whose_key_it_is(witness):
    connection = http.client.HTTPConnection(witness.url.removeprefix("http://"), timeout=30)
    connection.request("GET", "/")
    assert Answer(connection.getresponse()).text == witness.key.text + "\n"
    connection.close()
