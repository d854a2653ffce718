"""make bench --only feeds: a hundred gateways follow one controller's trust feed. How long all of
them take to have a snapshot, and from an operator's quarantine to the change at each of them.

The gateways are their processes' connections alone, in one process of their own, which shares the
processors with the controller: what it takes for a hundred TLS connections is in the times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Final

import grpc
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.pem import private_pem
from framegate.wire import sha256
from framegate_controller.ca.open import load_fleet
from framegate_operator.connection import load_context, operator_stub
from framegate_proto.edge import evidence_parts
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.bench.gateway_publics import gateway_publics
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.plant.plant import Plant

GATEWAYS: Final = 100
CAMERA: Final = "cam1"
TRIES: Final = 100
AIM_MS: Final = 250.0
"""From the quarantine to all gateways, in 99 of 100 cases."""
INTERVAL_S: Final = 600.0
"""Nobody attests meanwhile."""
JOINING: Final = 8
"""Machines that join at once."""
WAIT_S: Final = 60.0
_OPTIONS: Final = (
    ("grpc.ssl_target_name_override", "controller.plant.framegate"),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True, slots=True)
class Follower:
    """What a gateway's process reaches the feed with: its private key and its chain, in PEM."""

    key: str
    chain: str


@dataclass(frozen=True, slots=True)
class Feed:
    """Where the feed is, the fleet's root (PEM), and who follows."""

    address: str
    root: str
    followers: tuple[Follower, ...]


async def _follow(feed: Feed, number: int, say: Callable[[dict[str, Any]], None]) -> None:
    """One gateway: its snapshot, and each change of the camera, with the time at which it came."""
    one = feed.followers[number]
    tls = grpc.ssl_channel_credentials(feed.root.encode(), one.key.encode(), one.chain.encode())
    async with grpc.aio.secure_channel(feed.address, tls, options=_OPTIONS) as channel:
        async for update in rpc.FleetStub(channel).TrustFeed(pb.TrustFeedRequest()):
            came_s = time.time()
            if update.snapshot:
                say({"snapshot": number, "at_s": came_s, "bytes": update.ByteSize()})
                continue
            for device in update.devices:
                if device.device.endswith(f".{CAMERA}"):
                    say({"gateway": number, "at_s": came_s, "state": device.state})


async def follow() -> None:
    """All gateways of the feed on standard input; what comes, a line of JSON each."""
    told = json.loads(sys.stdin.readline())
    followers = tuple(Follower(**one) for one in told.pop("followers"))
    feed = Feed(**told, followers=followers)

    def say(body: dict[str, Any]) -> None:
        print(json.dumps(body), flush=True)

    await asyncio.gather(*(_follow(feed, number, say) for number in range(len(followers))))


def bench_feeds(say: Callable[[str], None]) -> dict[str, Any]:
    """A controller, its gateways, and quarantines by an operator."""
    with Plant(interval_s=INTERVAL_S) as plant, plant.explained():
        plant.found_fleet()
        plant.start_controller()
        plant.framegate("trust", "add-tpm-ca", plant.folder / "maker.pem", check=False)
        with ThreadPoolExecutor(JOINING) as pool:
            joined = pool.map(lambda n: _joined(plant, f"gw{n}", "gateway"), range(GATEWAYS))
            followers = tuple(one for one in joined if one is not None)
        _joined(plant, CAMERA, "camera")
        say(f"{len(followers)} gateways have joined")
        root = (load_fleet(plant.folder / "controller" / "keys")).root.pem.decode()
        feed = Feed(f"127.0.0.1:{plant.fleet_port}", root, followers)
        argv = [sys.executable, "-m", "framegate_simulators.bench.feeds", "--follow"]
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                return _measured(plant, feed, process, say)
            finally:
                process.kill()


def _joined(plant: Plant, name: str, kind: str) -> Follower | None:
    """A forged machine joins by a ticket; what its gateway's process goes to the feed with."""
    process = ec.generate_private_key(ec.SECP256R1())
    publics = (gateway_publics(process),) if kind == "gateway" else ()
    forge = Forge(plant.maker, Firmware(f"simulated-{kind}"), publics=publics)
    asked = pb.InviteRequest(
        kind=kind,
        name=name,
        zone="line-1",
        profile=f"simulated-{kind}",
        ek_sha256=forge.ek_sha256.hex(),
        life_s=3_600,
    )
    with operator_stub(load_context(plant.context)) as stub:
        code = stub.Invite(asked).code
    keys = load_fleet(plant.folder / "controller" / "keys")
    tls = grpc.ssl_channel_credentials(keys.root.pem)
    with grpc.secure_channel(f"127.0.0.1:{plant.join_port}", tls, options=_OPTIONS) as channel:
        join, hello = rpc.JoinStub(channel), forge.hello(code)
        begun = join.Begin(pb.BeginRequest(hello=hello), timeout=WAIT_S)
        mac, evidence = forge.answer(sha256(keys.root.der), hello, begun.challenge)
        parts = evidence_parts(begun.state, mac, evidence)
        reply = join.Complete(parts, timeout=WAIT_S)
    if not reply.certificate:
        raise RuntimeError(f"{name} is not trusted: {reply.failures}")
    if not reply.gateways:
        return None
    own = x509.load_der_x509_certificate(reply.gateways[0].tls_certificate)
    chain = own.public_bytes(Encoding.PEM) + keys.issuing["gateway-ca"].pem
    return Follower(private_pem(process).decode(), chain.decode())


def _measured(
    plant: Plant, feed: Feed, process: subprocess.Popen[str], say: Callable[[str], None]
) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None
    begun_s, count = time.time(), len(feed.followers)
    process.stdin.write(json.dumps(asdict(feed)) + "\n")
    process.stdin.flush()

    def came(wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """The first line of each gateway that is wanted."""
        assert process.stdout is not None
        lines: list[dict[str, Any]] = []
        while len(lines) < count:
            line = json.loads(process.stdout.readline())
            if wanted(line):
                lines.append(line)
        return lines

    first = came(lambda line: "snapshot" in line)
    snapshot = {
        "last_s": round(max(one["at_s"] for one in first) - begun_s, 2),
        "bytes": max(one["bytes"] for one in first),
    }
    say(f"snapshots: {snapshot}")
    each, last = list[float](), list[float]()
    with operator_stub(load_context(plant.context)) as stub:
        for _ in range(TRIES):
            asked_s = time.time()
            stub.Change(pb.ChangeRequest(device=CAMERA, event="quarantine", reason="bench"))
            at = [one["at_s"] for one in came(lambda line: line.get("state") == "quarantined")]
            took = [1e3 * (one - asked_s) for one in at]
            each += took
            last.append(max(took))
            stub.Change(pb.ChangeRequest(device=CAMERA, event="release", reason="bench"))
            came(lambda line: line.get("state") not in {None, "quarantined"})
    result = {
        "gateways": count,
        "snapshot": snapshot,
        "quarantines": TRIES,
        "each_ms": _percentiles(each),
        "last_ms": _percentiles(last),
        "aim_p99_ms": AIM_MS,
    }
    say(f"feeds: {result}")
    return result


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    at = {f"p{p}": round(float(np.percentile(values, p)), 1) for p in (50, 90, 99)}
    return at | {"most": round(max(values), 1)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--follow", action="store_true")
    parser.parse_args()
    asyncio.run(follow())
