"""Sinks of the record for tests: contract stubs over HTTP, and a record that is sent to them."""

import json
import ssl
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from framegate.ocsf.event import ocsf_event
from framegate.ocsf.logged import LoggedEvent, OcsfVersion
from framegate.registry.sink import Sink, SinkKind
from framegate_controller.sinks.delivery import Outgoing
from framegate_controller.store.ports import EntryQuery
from support.audit_log import quarantined

V1_8 = OcsfVersion.V1_8


def outgoing(raw: bytes, restorations: int = 0, fleet: str = "plant") -> Outgoing:
    logged = LoggedEvent.parse(fleet, raw, restorations)
    return Outgoing(logged.uid, logged.index, logged.text("device"), ocsf_event(logged))


def fill(store, count: int, device: str = "camera.line-1.cam1") -> None:
    """Record `count` entries."""
    with store.writing() as tx:
        for number in range(count):
            tx.record(quarantined(number, device=device), by="operator.anna")


def entries_of(store) -> list[bytes]:
    with store.reading() as tx:
        size = tx.log.size()
        return [e.entry for e in tx.log.entries(EntryQuery(), first=0, below=size, most=size)]


def batch_of(store) -> list[Outgoing]:
    return [outgoing(raw) for raw in entries_of(store)]


def add_sink(store, kind: SinkKind, address: str = "", *, name: str = "siem", **more) -> Sink:
    given = {"channel": "", "version": V1_8, "first": 0, "confirmed": 0, "added_ms": 1} | more
    sink = Sink(name=name, kind=kind, address=address, **given)
    with store.writing() as tx:
        tx.sinks.put(sink)
    return sink


def sink_of(store, name: str = "siem") -> Sink:
    with store.reading() as tx:
        sink = tx.sinks.get(name)
    assert sink is not None
    return sink


@dataclass
class Stub:
    """A server that keeps what came; `answer` is (status, body, headers) for a request."""

    answer: object
    requests: list = field(default_factory=list)
    address: str = ""

    def bodies(self) -> list[bytes]:
        return [body for _, body, _ in self.requests]


@contextmanager
def serving(answer, context: ssl.SSLContext | None = None):
    """A contract stub: `answer(path, body, headers)` gives (status, JSON or bytes, headers)."""
    stub = Stub(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            stub.requests.append((self.path, body, dict(self.headers)))
            status, reply, headers = stub.answer(self.path, body, self.headers)
            raw = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(raw)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    scheme = "http" if context is None else "https"
    stub.address = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class Elastic:
    """Elastic's bulk interface as its documentation has it: `create`, a status an item, 409 for an
    id that is there.
    """

    def __init__(self) -> None:
        self.documents: dict[str, dict] = {}
        self.times: Counter[str] = Counter()
        self.status: dict[str, int] = {}  # what an id is answered instead

    def __call__(self, path, body, _headers):
        assert path == "/_bulk"
        assert body.endswith(b"\n")
        lines = [json.loads(line) for line in body.splitlines()]
        items = []
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            uid = action["create"]["_id"]
            self.times[uid] += 1
            status = self.status.get(uid) or (409 if uid in self.documents else 201)
            if status == 201:
                self.documents[uid] = document
            error = {"error": {"type": "said so"}} if status >= 300 else {}
            items.append({"create": {"_id": uid, "status": status, **error}})
        return 200, {"errors": any(i["create"]["status"] >= 300 for i in items), "items": items}, {}


class Splunk:
    """Splunk's event collector with indexer acknowledgement: what was posted counts once its ack
    was asked for.
    """

    def __init__(self, *, acks: bool = True, answers_after: int = 0) -> None:
        self.acks, self.answers_after = acks, answers_after
        self.posted: dict[int, list[dict]] = {}
        self.indexed: list[dict] = []
        self.asked = 0

    def __call__(self, path, body, headers):
        assert headers["Authorization"].startswith("Splunk ")
        assert headers["X-Splunk-Request-Channel"]
        if path == "/services/collector/event":
            number = len(self.posted)
            self.posted[number] = [json.loads(line) for line in body.splitlines()]
            reply = {"text": "Success", "code": 0} | ({"ackId": number} if self.acks else {})
            return 200, reply, {}
        assert path.startswith("/services/collector/ack?channel=")
        self.asked += 1
        done = self.asked > self.answers_after
        numbers = json.loads(body)["acks"]
        if done:
            for number in numbers:
                self.indexed += self.posted.pop(number, [])
                self.posted[number] = []
        return 200, {"acks": {str(n): done for n in numbers}}, {}
