"""N197 to N199: other sites. Somebody answers in a site's place, a receipt is said to be another
site's, somebody comes in as a site's person.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.federation.bundle import bundle_of, parse_bundle
from framegate.identity.pem import private_pem
from framegate_controller.ca.issue import issue_bundle_endpoint, issue_visitor
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import found_fleet
from framegate_operator.connection import sign_in_stub
from framegate_operator.session_credentials import certificate_request
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.target import Seen, Target, attempt, reason_of
from framegate_simulators.plant.processes import wait_for

ANSWER_S: Final = 60.0
NORTH: Final = "north"
UNUSED: Final = "127.0.0.1:9"


class _Abroad:
    """Two fleets that the plant knows nothing of until it pins one."""

    def __init__(self, folder: Path) -> None:
        self.north = found_fleet(folder / "abroad-north", NORTH)
        self.stranger = found_fleet(folder / "abroad-stranger", NORTH)

    def close(self) -> None:
        """Their keys lie in the plant's folder, and go with it."""


class _Impostor(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """A bundle, to whoever still asks."""
        self.server.asked += 1  # type: ignore[attr-defined]
        self.send_error(500)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def _abroad(t: Target) -> _Abroad:
    return _Abroad(t.plant.folder)


def _pinned(t: Target, endpoint: str) -> _Abroad:
    t.sign_in_again()
    abroad = t.once(_abroad)
    file = t.plant.folder / "north.bundle.json"
    file.write_bytes(bundle_of([abroad.north.root.certificate], refresh_s=10))
    t.plant.framegate("site", "withdraw", NORTH, check=False)
    t.plant.framegate("site", "add", NORTH, "--bundle", file, "--endpoint", endpoint)
    return abroad


@contextmanager
def _answering(keys: FleetKeys, folder: Path) -> Iterator[HTTPServer]:
    """Somebody with the certificate of an endpoint of `keys`' fleet."""
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = issue_bundle_endpoint(keys, key.public_key()).public_bytes(Encoding.PEM)
    file = folder / "impostor.pem"
    file.write_bytes(private_pem(key) + leaf + keys.issuing["server-ca"].pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server = HTTPServer(("127.0.0.1", 0), _Impostor)
    server.asked = 0  # type: ignore[attr-defined]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def _shown(t: Target) -> dict[str, Any]:
    return dict(t.plant.ask("site", "show", NORTH))


@attempt("N197", "a fleet that calls itself north answers where north's bundle is fetched")
def n197(t: Target) -> Seen:
    abroad = t.once(_abroad)
    with _answering(abroad.stranger, t.plant.folder) as server:
        _pinned(t, f"127.0.0.1:{server.server_address[1]}")
        row = wait_for("a refusal", lambda: (r := _shown(t))["error"] and r, ANSWER_S)
        own = sorted(parse_bundle(bundle_of([abroad.north.root.certificate])).keys)
        asked: int = server.asked  # type: ignore[attr-defined]
    refused = str(row["error"]).partition(":")[0]
    return Seen(
        not asked and row["keys"] == own and row["seen_ms"] is None,
        f"{refused}; asked {asked} times; the pinned key counts on",
    )


@attempt("N198", "this plant's receipts, handed over as another site's", control="frame")
def n198(t: Target) -> Seen:
    _pinned(t, UNUSED)
    file = t.plant.folder / "ours.jsonl"
    wanted = ("receipt", "export", "--out", file, "--since", "1h", "--limit", "3")
    wait_for(
        "a receipt that is signed",
        lambda: not t.plant.framegate(*wanted, check=False).returncode,
        ANSWER_S,
        every_s=0.5,
    )
    loose = ("--without-camera", "--without-log", "-o", "json")
    argv = ("receipt", "verify", file, "--site", NORTH, *loose)
    body = json.loads(t.plant.framegate(*argv, check=False).stdout)
    whys = {row["why"].partition(":")[0] for row in body["refused"]}
    return Seen(
        not body["good"] and not body["pending"] and whys == {"site"},
        f"{body['good']} taken; refused by {', '.join(sorted(whys))}",
    )


@attempt("N199", "a person whom another site vouches for, and nobody here maps")
def n199(t: Target) -> Seen:
    abroad = _pinned(t, UNUSED)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = issue_visitor(abroad.north, "anna", key.public_key(), "plant", datetime.now(UTC))
    chain = [leaf.public_bytes(Encoding.DER), abroad.north.issuing["operator-ca"].der]
    asked = pb.VisitRequest(chain=chain, csr=certificate_request(key))
    with sign_in_stub(t.context) as stub:
        return reason_of(lambda: stub.Visit(asked))
