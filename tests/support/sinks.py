"""Sinks of the record for tests: contract stubs over HTTP, and a record that is sent to them."""

import json
import ssl
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

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

        def do_DELETE(self):
            self.do_POST()

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
        self.scrolls: dict[str, list[str]] = {}  # ids that are still to come
        self.page = 2

    def __call__(self, path, body, headers):
        if path != "/_bulk":
            return self._search(path, json.loads(body), headers)
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

    def _search(self, path, body, headers):
        """Scrolls, as Elasticsearch's and OpenSearch's documentation has them."""
        if headers.get("Authorization") != "ApiKey reader":
            return 401, {"error": {"type": "security_exception"}}, {}
        if body.get("scroll_id") and isinstance(body["scroll_id"], list):
            for identifier in body["scroll_id"]:
                del self.scrolls[identifier]
            return 200, {"succeeded": True}, {}
        if path.startswith("/_search/scroll"):
            assert body["scroll"]
            left = self.scrolls.pop(body["scroll_id"])
        else:
            assert path.startswith("/ocsf/_search?scroll=") and body["sort"] == ["_doc"]
            left = list(self.documents)
        now, after = left[: self.page], left[self.page :]
        identifier = f"scroll-{len(after)}-{len(self.scrolls)}"
        self.scrolls[identifier] = after
        hits = [{"_id": i, "_index": "ocsf", "_source": self.documents[i]} for i in now]
        answer = {"_scroll_id": identifier, "timed_out": False, "_shards": {"failed": 0}}
        return 200, answer | {"hits": {"hits": hits}}, {}


class SplunkSearch:
    """Splunk's management port: `search/jobs/export`, a line of JSON a result, previews before."""

    def __init__(self, splunk) -> None:
        self.splunk = splunk
        self.messages: list[dict] = []

    def __call__(self, path, body, headers):
        assert path == "/services/search/jobs/export"
        if headers.get("Authorization") != "Bearer reader":
            return 401, {"messages": [{"type": "WARN", "text": "not authenticated"}]}, {}
        form = {k: v for k, (v,) in parse_qs(body.decode()).items()}
        assert form["output_mode"] == "json" and form["earliest_time"] == "0"
        raws = [
            json.dumps(e["event"])
            for e in self.splunk.indexed
            if f'index="{e["index"]}"' in form["search"]
            and f'"{e["sourcetype"]}"' in form["search"]
        ]
        rows = [{"preview": True, "offset": 0, "result": {"_raw": r}} for r in raws[:1]]
        rows += [{"preview": False, "offset": n, "result": {"_raw": r}} for n, r in enumerate(raws)]
        rows += [{"messages": self.messages}] if self.messages else []
        return 200, "\n".join(map(json.dumps, rows)).encode(), {}


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
