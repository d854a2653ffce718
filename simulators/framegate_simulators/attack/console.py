"""N170 to N175, N230, N231, N238: the web console, asked as other sites, guessers and old cookies
would ask it, and with what no page of it sends.
"""

from __future__ import annotations

import contextlib
import html
import http.client
import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from framegate.signed.dsse import parse_envelope
from framegate.signed.mask import MaskStatement
from framegate_operator.connection import operator_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.target import TIMEOUT_S, Seen, Target, attempt
from framegate_simulators.fixtures.access import PASSWORD, totp_now, wait_for_next_code
from framegate_simulators.plant.operators import OPERATOR
from framegate_simulators.plant.processes import PlantError, free_port, wait_for
from framegate_simulators.process_readings import descriptors_of, resident_kib

SCRIPT: Final = "<script>alert(1)</script>"
ROLE: Final = {"role": "auditor", "minutes": "1", "reason": f"to look {SCRIPT}"}
PAGE: Final = {
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
OURS: Final = {"Sec-Fetch-Site": "same-origin"}
CHUNK: Final = b"1000\r\n" + b"a" * 0x1000 + b"\r\n"
ENDLESS: Final = 64 * 1024 * 1024
"""Bytes that no buffer between two programs takes."""
LARGE: Final = 1_000_000
THEIRS: Final = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: status, where it leads, the cookie that is set, and the body."""

    status: int
    leads: str
    cookie: str
    body: str


class Website:
    """A console that runs before the target's controller, and somebody who is signed in there."""

    def __init__(self, t: Target) -> None:
        self._plant, self.port, self._cookie = t.plant, free_port(), ""
        ready = t.plant.folder / "attacked-console.json"
        ready.unlink(missing_ok=True)
        argv = ("run", "--context", t.plant.context, "--listen", f"127.0.0.1:{self.port}")
        self.process = t.plant.start("console", "framegate-console", *argv, "--ready-file", ready)
        wait_for("the console to serve", ready.exists)

    def close(self) -> None:
        """Stop it."""
        self._plant.stop("console")

    def get(self, path: str, headers: Mapping[str, str], cookie: str = "") -> Reply:
        """A request as `headers` say who asks."""
        return self._ask("GET", path, headers, cookie)

    def post(
        self, path: str, headers: Mapping[str, str], form: Mapping[str, str], cookie: str = ""
    ) -> Reply:
        """A form, sent as `headers` say."""
        return self._ask("POST", path, headers, cookie, urlencode(form))

    def post_text(self, path: str, headers: Mapping[str, str], body: str) -> Reply:
        """What calls itself a form."""
        return self._ask("POST", path, headers, "", body)

    def post_json(self, path: str, headers: Mapping[str, str], body: str) -> Reply:
        """What calls itself JSON."""
        return self._ask("POST", path, {**headers, "Content-Type": "application/json"}, "", body)

    def cookie(self) -> str:
        """The cookie of the operator's session, who signs in at the first call."""
        for _ in range(3):
            if self._cookie:
                return self._cookie
            code = totp_now(self._plant.authenticators[OPERATOR])
            form = {"operator": OPERATOR, "password": PASSWORD, "code": code}
            self._cookie = self.post("/signin", OURS, form).cookie
            if not self._cookie:
                wait_for_next_code()
        if not self._cookie:
            raise PlantError(f"{OPERATOR} could not sign in at the console")
        return self._cookie

    def sign_out(self) -> None:
        """End that session; the next `cookie` is of another."""
        self.post("/signout", OURS, {}, self.cookie())
        self._cookie = ""

    def _ask(
        self, method: str, path: str, headers: Mapping[str, str], cookie: str, body: str = ""
    ) -> Reply:
        sent = {"Host": f"localhost:{self.port}", **headers}
        if cookie:
            sent["Cookie"] = cookie
        if method == "POST":
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body or None, sent)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            given = answer.getheader("set-cookie", "").partition(";")[0]
            return Reply(answer.status, answer.getheader("location", ""), given, text)
        finally:
            connection.close()


@attempt("N170", "a script as the reason of a request, which everybody who approves is shown")
def n170(t: Target) -> Seen:
    site = t.once(Website)
    asked = site.post("/approvals/role", OURS, ROLE, site.cookie())
    page = site.get("/approvals", PAGE, site.cookie())
    as_text = html.escape(SCRIPT) in page.body
    refused = asked.status == 303 and as_text and SCRIPT not in page.body
    return Seen(refused, "shown as text" if as_text else f"{asked.status}, {page.status}")


@attempt("N171", "another site asks for a role with the browser's cookie, and frames the page")
def n171(t: Target) -> Seen:
    site = t.once(Website)
    forged = site.post("/approvals/role", THEIRS, ROLE, site.cookie())
    framed = {**THEIRS, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    page = site.get("/", framed, site.cookie())
    return Seen((forged.status, page.status) == (403, 403), forged.body)


@attempt("N172", "a cookie that was copied, after its person signed out; one of the attacker's own")
def n172(t: Target) -> Seen:
    site = t.once(Website)
    copied = site.cookie()
    before = site.get("/cameras", PAGE, copied)
    site.sign_out()
    replies = [site.get("/cameras", PAGE, c) for c in (copied, "__Host-framegate=my-own")]
    refused = before.status == 200 and all(r.leads.startswith("/signin") for r in replies)
    return Seen(refused, "; ".join(f"{r.status} {r.leads}" for r in replies))


@attempt("N173", "whoever is in the console's process looks for what the controller keeps")
def n173(t: Target) -> Seen:
    site, kept = t.once(Website), t.plant.folder / "controller"
    opened = [
        file for _, file in descriptors_of(site.process.pid) if Path(file).is_relative_to(kept)
    ]
    given = Path(f"/proc/{site.process.pid}/cmdline").read_bytes().decode().split("\0")
    told = [word for word in given if str(kept) in word]
    seen = f"{len(opened)} files of the controller, {len(told)} of its places"
    return Seen(not opened and not told, seen)


@attempt(
    "N174", "pictures, receipts and proofs by their addresses, with no cookie and a made up one"
)
def n174(t: Target) -> Seen:
    site, name = t.once(Website), "ab" * 32
    picture = [
        site.get(f"/picture/{name}/frame.png", OURS, c).status for c in ("", "__Host-framegate=x")
    ]
    others = [site.get(p, PAGE).status for p in (f"/verdict/{name}/receipt.json", "/root.pem")]
    return Seen(picture == [401, 401] and others == [303, 303], f"{picture}, {others}")


@attempt("N175", "a name of the attacker's that was rebound to the console's address")
def n175(t: Target) -> Seen:
    site = t.once(Website)
    rebound = {**OURS, "Host": f"evil.example:{site.port}"}
    replies = [site.get("/signin", rebound), site.post("/signin", rebound, {"operator": "x"})]
    return Seen(all(r.status == 421 for r in replies), replies[0].body)


@attempt("N230", "a stranger's body in chunks beside a length, without end; one of a megabyte")
def n230(t: Target) -> Seen:
    site, sent = t.once(Website), 0
    lines = [
        "POST /language HTTP/1.1",
        f"Host: localhost:{site.port}",
        "Sec-Fetch-Site: same-origin",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
    ]
    before = resident_kib(site.process.pid)
    with socket.create_connection(("127.0.0.1", site.port), TIMEOUT_S) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        with contextlib.suppress(OSError):  # hung up on
            while sent < ENDLESS:
                sent += connection.send(CHUNK)
        grown = (resident_kib(site.process.pid) - before) / 1024
    large = site.post("/language", OURS, {"language": "x" * LARGE})
    kept = grown > ENDLESS / 2**20 / 4
    return Seen(
        not kept and large.status == HTTPStatus.BAD_REQUEST,
        f"{'kept' if kept else 'none kept'} of 64 MiB; a megabyte: {large.status}",
    )


@attempt(
    "N231", "a stranger's numbers of thousands of digits, half a surrogate pair, forms cut off"
)
def n231(t: Target) -> Seen:
    site = t.once(Website)
    replies = [
        site.get(f"/picture/golden/{'9' * 5000}/x", OURS),
        site.post_json("/signin/key/begin", OURS, r'{"operator": "\ud800"}'),
        site.post_text("/language", OURS, "a"),
        site.post_text("/signin", OURS, "operator=a&operator=b"),
    ]
    codes = [int(r.status) for r in replies]
    return Seen(codes == [401, 400, 400, 400], f"{codes}")


@attempt("N238", "masks drawn over those of before, while somebody else put others in force")
def n238(t: Target) -> Seen:
    site = t.once(Website)
    t.sign_in_again()
    _, device, _ = t.enrol()
    page = site.get(f"/camera/{device}/masks", PAGE, site.cookie())
    over = re.search(r'name="over" value="(\d+)"', page.body)
    corner = [{"points": [[0.9, 0.9], [1, 0.9], [1, 1]]}, {"channel": "microphone"}]
    asked = pb.SetMasksRequest(device=device, regions=json.dumps(corner).encode())
    with operator_stub(t.context) as stub:
        stub.SetMasks(asked)
    if over is None:
        return Seen(False, f"no masks to draw over: {page.status} {page.leads}")
    form = {"regions": "[]", "over": over[1], "reason": "nothing to hide"}
    answer = site.post(f"/camera/{device}/masks", OURS, form, site.cookie())
    with operator_stub(t.context) as stub:
        stands = (
            b"points"
            in parse_envelope(
                stub.ShowMasks(pb.DeviceRequest(device=device)).envelope, MaskStatement.TYPE
            ).payload
        )
    refused = answer.status == HTTPStatus.CONFLICT and stands
    return Seen(refused, f"{answer.status}; the masks {'stand' if stands else 'ARE GONE'}")
