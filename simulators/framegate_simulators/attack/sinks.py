"""N150: sinks of the record that are down, silent or lie, and a SIEM's copy that was changed."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

from framegate_simulators.attack.target import Seen, Target, attempt
from framegate_simulators.plant.processes import wait_for

CONFIRM_S: Final = 60.0
CHANGED: Final = 3
"""The entry that the SIEM's keeper takes away, or changes."""


class Liar(BaseHTTPRequestHandler):
    """Confirms every batch with the ids of another one."""

    def do_POST(self) -> None:
        """A 200 that says that all went well."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        count = body.count(b"\n") // 2
        items = [{"create": {"_id": f"other:{n}", "status": 201}} for n in range(count)]
        reply = json.dumps({"errors": False, "items": items}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@attempt(
    "N150",
    "sinks that refuse, never answer, and confirm what they were not sent, beside a good one; then"
    " a copy without an entry, and one with an entry changed",
    control="attest",
)
def n150(t: Target) -> Seen:
    mute, liar = socket.create_server(("127.0.0.1", 0)), HTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=liar.serve_forever, daemon=True).start()
    bad = {
        "down": ("webhook", "http://127.0.0.1:9"),
        "mute": ("webhook", f"http://127.0.0.1:{mute.getsockname()[1]}"),
        "liar": ("elastic", f"http://127.0.0.1:{liar.server_address[1]}"),
    }
    try:
        for name, (kind, address) in bad.items():
            t.plant.framegate("siem", "add", name, "--kind", kind, "--address", address)
        t.plant.framegate("siem", "add", "good", "--kind", "file")
        t.plant.framegate("siem", "test", "good")
        wait_for("the others to fail", lambda: all(_row(t, n)["failures"] for n in bad), CONFIRM_S)
        moved = [name for name in bad if _row(t, name)["confirmed"]]
        return _seen(t, moved)
    finally:
        for name in (*bad, "good"):
            t.plant.framegate("siem", "remove", name, check=False)
        liar.shutdown()
        liar.server_close()
        mute.close()


def _seen(t: Target, moved: list[str]) -> Seen:
    """What the operator is told of the good sink's copy, and of two that somebody changed."""
    kept = t.plant.folder / "controller" / "sinks" / "good" / "events.jsonl"
    events = [json.loads(line) for line in kept.read_text().splitlines()]
    less = [e for e in events if e["metadata"]["sequence"] != CHANGED]
    changed = [_changed(e) for e in events]
    said = [_verify(t, t.plant.folder / "copy.jsonl", copy) for copy in (events, less, changed)]
    good = said[0] in {"verified", "missing"}  # entries may have come since
    return Seen(
        not moved and good and "missing" in said[1] and "altered" in said[2],
        f"bad sinks confirmed {', '.join(moved) or 'nothing'}; the whole copy: {said[0]};"
        f" without an entry: {said[1]}; with one changed: {said[2]}",
    )


def _changed(event: dict[str, Any]) -> dict[str, Any]:
    mine = event["metadata"]["sequence"] == CHANGED
    return event | {"message": "nothing happened"} if mine else event


def _verify(t: Target, file: Path, events: list[dict[str, Any]]) -> str:
    file.write_text("".join(json.dumps(e) + "\n" for e in events))
    said = t.plant.ask("siem", "verify", file)
    if said["verified"]:
        return "verified"
    late = said["entry"] is not None and said["entry"] >= len(events)
    return str(said["check"]) if late else f"{said['check']} at entry {said['entry']}"


def _row(t: Target, name: str) -> dict[str, Any]:
    row: dict[str, Any] = next(s for s in t.plant.ask("siem", "status") if s["sink"] == name)
    return row
