"""N80 to N86, N225: the service plane: calls without the right certificate, streams that stay,
floods.
"""

from __future__ import annotations

import socket
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.certificates import Purpose
from framegate.identity.pem import private_pem
from framegate_controller.ca.issue import certify
from framegate_controller.ca.open import found_fleet
from framegate_controller.ca.template import leaf_template
from framegate_proto.caller_share import MAX_CALLS
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.attack.target import TIMEOUT_S, Seen, Target, attempt, reason_of

PATIENCE_S = 120.0
"""For a machine that is busy with attacks to open them all."""
CROWD = 90
"""Connections of one machine: more than its share of calls."""
_OPERATOR: dict[str, Any] = {
    "Invite": pb.InviteRequest(kind="camera", name="x", zone="z", profile="p"),
    "List": pb.ListRequest(),
    "Show": pb.DeviceRequest(device="x"),
    "Change": pb.ChangeRequest(device="x", event="release"),
    "AddTpmCa": pb.TpmCa(),
    "FleetStatus": pb.ListRequest(),
    "Events": pb.EventsRequest(),
    "ImportProfile": pb.ImportProfileRequest(),
    "RevokeSigner": pb.RevokeSignerRequest(),
    "Observe": pb.DeviceRequest(device="x"),
    "StartRollout": pb.StartRolloutRequest(),
    "ChangeRollout": pb.ChangeRolloutRequest(),
    "ShowRollouts": pb.RolloutRequest(),
    "SetMasks": pb.SetMasksRequest(),
}


def certificate_of(
    t: Target, label: str, purpose: Purpose, name: str, life_s: float = 600, *, fleet: Any = None
) -> tuple[bytes, bytes]:
    """(key, chain) in PEM of a certificate that some CA of the fleet might have issued."""
    keys = fleet or t.keys
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = certify(
        keys.issuing[label],
        leaf_template(
            purpose, name, key.public_key(), timedelta(seconds=life_s), datetime.now(UTC)
        ),
    )
    return private_pem(key), leaf.public_bytes(Encoding.PEM) + keys.issuing[label].pem


def _operators_calls(t: Target, pair: tuple[bytes, bytes] | None) -> list[Seen]:
    with t.fleet_channel(pair) as channel:
        stub = rpc.OperatorStub(channel)
        return [
            reason_of(partial(getattr(stub, name), request, timeout=TIMEOUT_S))
            for name, request in _OPERATOR.items()
        ]


@attempt(
    "N80",
    "every operator's call with no certificate, a device's, an expired one, another fleet's, a"
    " verdict key's",
)
def n80(t: Target) -> Seen:
    other = found_fleet(Path(tempfile.mkdtemp(prefix="fg-")) / "keys", "plant")
    pairs = [
        None,
        certificate_of(t, "device-ca", Purpose.DEVICE, "camera.line-1.a1"),
        certificate_of(t, "operator-ca", Purpose.OPERATOR, "operator.eve", -30),
        certificate_of(t, "operator-ca", Purpose.OPERATOR, "operator.eve", fleet=other),
        certificate_of(t, "gateway-ca", Purpose.GATEWAY, "operator.eve"),
    ]
    seen = [s for pair in pairs for s in _operators_calls(t, pair)]
    return Seen(
        all(s.refused for s in seen),
        f"{len(seen)} calls: " + "; ".join(sorted({s.reason for s in seen}))[:160],
    )


@attempt("N81", "a trusted camera's own certificate on operators' calls")
def n81(t: Target) -> Seen:
    forge, _, certificate = t.enrol()
    seen = _operators_calls(t, t.pair(forge, certificate))
    return Seen(all(s.refused for s in seen), "; ".join(sorted({s.reason for s in seen})))


@attempt("N82", "a stream that stays open after its device was retired")
def n82(t: Target) -> Seen:
    forge, device, certificate = t.enrol()
    with t.fleet_channel(t.pair(forge, certificate)) as channel:
        call = rpc.FleetStub(channel).Watch(pb.WatchRequest(), timeout=TIMEOUT_S)
        next(call)
        t.change(device, "retire")
        return reason_of(lambda: [None for _ in call])


@attempt("N225", "an enrolled machine's ninety connections to the fleet port, a watch on each")
def n225(t: Target) -> Seen:
    forge, device, certificate = t.enrol()
    pair, seen, calls = t.pair(forge, certificate), Counter[str](), list[Any]()
    with ExitStack() as held:
        for _ in range(CROWD):
            channel = held.enter_context(t.fleet_channel(pair))
            calls.append(rpc.FleetStub(channel).Watch(pb.WatchRequest(), timeout=PATIENCE_S))
            seen[reason_of(partial(next, calls[-1])).reason] += 1
        _, other, _ = t.enrol()
    return Seen(
        seen["accepted"] == MAX_CALLS and seen["too-many-tries"] == CROWD - MAX_CALLS,
        f"{', '.join(f'{k} {v}' for k, v in seen.items())}; meanwhile another joins: "
        f"{t.state(other)}, and it is {t.state(device)} itself",
    )


@attempt(
    "N83", "the fleet port without a certificate, again with what the first connection left behind"
)
def n83(t: Target) -> Seen:
    seen = []
    for _ in range(2):  # a resumed session would skip the chain
        with t.fleet_channel(None) as channel:
            begin = rpc.FleetStub(channel).Begin
            seen.append(reason_of(partial(begin, pb.BeginRequest(), timeout=5)))
    return Seen(all(s.refused for s in seen), seen[-1].reason)


@attempt(
    "N84",
    "300 half-open connections, 40 kB of headers, 16 MiB messages; a sound camera must still"
    " get in",
)
def n84(t: Target) -> Seen:
    silent = [
        socket.create_connection(("127.0.0.1", t.plant.join_port), source_address=(t.source, 0))
        for _ in range(300)
    ]
    with t.joining() as stub:
        headers = reason_of(
            lambda: stub.Begin(
                pb.BeginRequest(), metadata=(("x", "y" * 40_000),), timeout=TIMEOUT_S
            )
        )
        large = reason_of(
            lambda: stub.Begin(pb.BeginRequest(hello=bytes(16 * 1024 * 1024)), timeout=TIMEOUT_S)
        )
    _, device, _ = t.enrol()
    for connection in silent:
        connection.close()
    return Seen(
        headers.refused and large.refused and t.state(device) == "trusted",
        f"{headers.reason}; {large.reason}; a camera joined meanwhile",
    )


@attempt(
    "N85",
    "evidence broken at 39 places: whatever happens inside, nobody is trusted by it and the old"
    " state stands",
)
def n85(t: Target) -> Seen:
    forge, device, certificate = t.enrol()
    seen = []
    members = ("boot_log", "posture", "quote_attest", "quote_signature")

    def broken_at(place: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
        member = members[place % 4]

        def cut(p: dict[str, Any]) -> dict[str, Any]:
            return {**p, member: p[member][: len(p[member]) * place // 40]}

        return cut

    for place in range(1, 40):
        forge.change_evidence = broken_at(place)
        hello = forge.attest_hello()
        seen.append(t.attest(forge, certificate, hello=hello).certificate is None)
    state = t.state(device)
    return Seen(
        all(seen) and state == "suspect",
        f"evidence broken {len(seen)} times, no certificate; those that its TPM vouched for made it"
        f" {state}",
    )


@attempt("N86", "a flood of unfinished sessions, and an attempt to end another's")
def n86(t: Target) -> Seen:
    victim = t.forge()
    code, _ = t.invite(victim)
    hello = victim.hello(code)
    begun = t.begin(hello)
    other, _, _ = t.enrol()
    flood = Seen(False, "")
    for _ in range(80):
        flood = reason_of(lambda: t.begin(other.hello()))
        if flood.refused:
            break
    mac, evidence = victim.answer(t.fleet, hello, begun.challenge)
    survived = t.complete(begun.state, mac, evidence).certificate is not None
    return Seen(
        flood.refused and survived,
        f"{flood.reason}; the victim's session {'survived' if survived else 'IS GONE'}",
    )
