"""Sign in at a provider (OpenID Connect): in this machine's browser, or with a device code."""

from __future__ import annotations

import http.server
import threading
import time
import urllib.parse
import webbrowser
from typing import Any, Final

from framegate.errors import Reason, Refused
from framegate_host.console import safe, talk
from framegate_proto.v1 import framegate_pb2 as pb

BROWSER_WAIT_S: Final = 300.0
_DONE: Final = (
    b"<!doctype html><title>Framegate</title><p>Signed in. "
    b"You may close this window and go back to the terminal."
)


def sign_in_at_provider(stub: Any, csr: bytes, *, device_code: bool) -> pb.SignedIn:
    """A session for the key of `csr`. Raises Refused where the provider does not answer in time."""
    return _by_device_code(stub, csr) if device_code else _by_browser(stub, csr)


def _by_device_code(stub: Any, csr: bytes) -> pb.SignedIn:
    flow = stub.OidcBegin(pb.OidcBeginRequest(flow="device"))
    talk.print(safe(flow.grants))
    talk.print("enter it yourself, and never one that somebody sent you", style="yellow")
    where = f"on any device with a browser, open {safe(flow.url)}"
    talk.print(f"{where} and enter the code [bold]{safe(flow.user_code)}[/]", soft_wrap=True)
    end = time.monotonic() + flow.expires_s
    while time.monotonic() < end:
        session: pb.SignedIn = stub.OidcComplete(pb.OidcCompleteRequest(state=flow.state, csr=csr))
        if not session.pending:
            return session
        time.sleep(max(1, flow.interval_s))
    wanted = f"an answer at the provider within {flow.expires_s} s"
    raise Refused.of(Reason.SIGN_IN, wanted, "none", "framegate login --oidc --device-code")


def _by_browser(stub: Any, csr: bytes) -> pb.SignedIn:
    with Loopback() as loopback:
        flow = stub.OidcBegin(pb.OidcBeginRequest(flow="code", redirect_uri=loopback.uri))
        talk.print(f"your browser opens; if it does not: {safe(flow.url)}", soft_wrap=True)
        webbrowser.open(flow.url)
        answer = loopback.wait(flow.state.hex())
    request = pb.OidcCompleteRequest(state=flow.state, answer=answer, csr=csr)
    session: pb.SignedIn = stub.OidcComplete(request)
    return session


class Loopback:
    """Where the provider sends the browser back to: a port of this machine, for one answer.

    Source: RFC 8252, 7.3.
    """

    def __enter__(self) -> Loopback:
        self._answers: list[dict[str, list[str]]] = []
        self._came = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(_DONE)
                if {"state"} <= set(query):
                    outer._answers.append(query)
                    outer._came.set()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, state: str) -> str:
        """The provider's code for this very sign-in. Raises Refused."""
        if not self._came.wait(BROWSER_WAIT_S):
            wanted = f"the browser's return within {BROWSER_WAIT_S:g} s"
            hint = "framegate login --oidc --device-code, where there is no browser"
            raise Refused.of(Reason.SIGN_IN, wanted, "nothing", hint)
        query, hint = self._answers[0], "framegate login --oidc"
        if query["state"] != [state]:
            raise Refused.of(Reason.SIGN_IN, "the answer to this sign-in", "one to another", hint)
        if "code" not in query:
            came = ascii(" ".join(query.get("error", ["nothing"]))[:80])
            raise Refused.of(Reason.SIGN_IN, "the provider's consent", came, hint)
        return query["code"][0]
