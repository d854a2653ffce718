"""N151, N154: against those who watch: floods of labels, and deeds kept below a rule's limit."""

from __future__ import annotations

import contextlib
import re
import secrets
import urllib.error
import urllib.request
from typing import Any, Final

import grpc

from framegate.behaviour.rules import Limits
from framegate_operator.connection import load_context, operator_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.target import Seen, Target, attempt, reason_of
from framegate_simulators.plant.processes import wait_for

IDS: Final = 300
"""As many as are sent in some seconds; a test counts a million."""
JOINS: Final = 5
NOTICED_S: Final = 30.0
_SERIES: Final = re.compile(r"^([a-z_]+(?:\{[^}]*\})?) ", re.M)


def _page(t: Target, path: str = "/metrics") -> str:
    port = (t.plant.metrics or {})["controller"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=15) as reply:
        return str(reply.read().decode())


@attempt("N151", "calls, paths, names and EKs at random, by strangers and by an enrolled camera")
def n151(t: Target) -> Seen:
    forge, _, certificate = t.enrol()
    wait_for("its series", lambda: _page(t))
    before = set(_SERIES.findall(_page(t)))
    ids = [secrets.token_hex(16) for _ in range(IDS)]
    with t.fleet_channel(t.pair(forge, certificate)) as channel:
        for name in ids:
            stranger: Any = channel.unary_unary(f"/{name}/{name}")
            with contextlib.suppress(grpc.RpcError):
                stranger(b"", timeout=15)
    for name in ids:
        with contextlib.suppress(urllib.error.HTTPError):
            _page(t, f"/{name}")
    refused = [t.join(t.forge()).certificate is None for _ in range(JOINS)]

    def counted() -> bool:
        return f'call="other",outcome="refused"}} {IDS}.0' in _page(t)

    wait_for("the calls to be counted", counted, NOTICED_S)
    after = _page(t)
    new = {s for s in set(_SERIES.findall(after)) - before if 'call="other"' not in s}
    named = sum(name in after for name in ids)
    return Seen(
        not named and len(new) <= 1 and all(refused),
        f"{2 * IDS} ids sent, {named} of them in a label; {len(new)} new series",
    )


@attempt(
    "N154", "an operator probes what goes, slowly, one below the limit before and after a look"
)
def n154(t: Target) -> Seen:
    t.sign_in_again()
    person = load_context(t.plant.add_person("eve", "viewer"))
    _, device, _ = t.enrol()
    least = Limits().denials[0].least
    seen: list[Seen] = []
    with operator_stub(person) as stub:
        change = pb.ChangeRequest(device=device, event="quarantine", reason="x")
        for number in range(least):
            if number == least - 1:
                early = _noticed(t)
            seen.append(reason_of(lambda: stub.Change(change)))
    wait_for("it to be noticed", lambda: _noticed(t) > early, NOTICED_S)
    return Seen(
        all(s.refused for s in seen) and not early,
        f"{least} times {seen[0].reason}: nothing after {least - 1}, then behaviour-noticed",
    )


def _noticed(t: Target) -> int:
    """How often the record tells of this person's denials."""
    with operator_stub(t.context) as stub:
        told = stub.Events(pb.EventsRequest(limit=200)).events
    return sum(e.event == "behaviour-noticed" and "denials: eve" in e.detail for e in told)
