"""A machine's watch: what it hears, and when the registry is asked whether it still stands."""

from types import SimpleNamespace

import pytest

from framegate.errors import Reason
from framegate.machines.lifecycle import Event as Edge
from framegate_controller.events.bus import InMemoryBus
from framegate_controller.events.notices import AttestNow, DeviceChanged
from framegate_controller.rpc import fleet as port
from framegate_controller.rpc.fleet import FleetService
from framegate_controller.rpc.recheck import WatchedMachine
from framegate_controller.timing import Timing
from framegate_proto.v1 import framegate_pb2 as pb

NAME = "camera.line-1.cam1"
LONG_S = 400_000.0


class Ended(Exception):
    """What gRPC raises where a call is ended."""


class Context:
    """Of a call by the machine."""

    async def abort(self, code, details, trailing_metadata=()):
        raise Ended(details)

    def time_remaining(self):
        return None

    def peer(self):
        return "ipv4:127.0.0.1:1"


@pytest.fixture
def service(bench, monkeypatch) -> FleetService:
    """With a machine that calls; `asked`: how often the registry was asked for it."""
    monkeypatch.setattr(port, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(Timing, "standing_s", 3600.0)
    bench.enrol()
    key = bench.device().tls.spki_sha256
    verifier = SimpleNamespace(store=bench.store, fleet=bench.fleet)
    service = FleetService(verifier, None, InMemoryBus(bench.store, bench.fleet), None)
    service.asked, look = 0, service._standing

    def standing(context):
        service.asked += 1
        return look(context)

    service._standing, service._key = standing, lambda _: key
    return service


def watch(service):
    return service.Watch(pb.WatchRequest(), Context())


async def heard(stream, most=50) -> list[int]:
    """Kinds of what comes, up to the first that is no heartbeat."""
    kinds = []
    for _ in range(most):
        kinds.append((await anext(stream)).kind)
        if kinds[-1] != pb.WatchEvent.HEARTBEAT:
            break
    return kinds


async def test_heartbeats_of_a_machine_of_which_nothing_is_told_ask_the_registry_nothing(service):
    stream = watch(service)
    assert (await anext(stream)).kind == pb.WatchEvent.STATE
    assert await heard(stream, 5) == [pb.WatchEvent.HEARTBEAT] * 5
    assert service.asked == 2, "as it opened its watch, and once more when somebody listened"
    await stream.aclose()


async def test_every_so_often_it_is_asked_for_though_nothing_was_told(service, monkeypatch, bench):
    monkeypatch.setattr(Timing, "standing_s", 0.0)
    stream = watch(service)
    await anext(stream)
    await heard(stream, 3)
    assert service.asked == 4
    bench.move(Edge.RETIRE)  # nobody tells
    with pytest.raises(Ended, match=Reason.CERTIFICATE.value):
        await heard(stream)


async def test_a_machine_whose_certificate_ends_hears_nothing_more(service, bench):
    stream = watch(service)
    await anext(stream)
    await heard(stream, 2)
    bench.clock.pass_s(LONG_S)
    with pytest.raises(Ended, match=Reason.CERTIFICATE_EXPIRED.value):
        await heard(stream)


async def test_a_machine_that_is_retired_hears_that_and_nothing_after_it(service, bench):
    stream = watch(service)
    await anext(stream)
    bench.move(Edge.RETIRE)
    await service._bus.publish((DeviceChanged(NAME),))
    assert (await heard(stream))[-1] == pb.WatchEvent.STATE
    with pytest.raises(Ended, match=Reason.CERTIFICATE.value):
        await heard(stream, 1)


async def test_what_is_asked_of_a_machine_is_told_it_while_it_stands_alone(service, bench):
    stream = watch(service)
    await anext(stream)
    await service._bus.publish((AttestNow(NAME),))
    assert (await heard(stream))[-1] == pb.WatchEvent.ATTEST_NOW and service.asked >= 2
    bench.move(Edge.RETIRE)
    await service._bus.publish((AttestNow(NAME),))
    with pytest.raises(Ended):
        while await heard(stream) == [pb.WatchEvent.HEARTBEAT]:
            pass


async def test_standing_is_known_until_something_is_told_or_its_end():
    standing = WatchedMachine(3600.0)
    assert standing.due(0)
    standing.read(SimpleNamespace(certificate_expires_ms=1_000))
    assert not standing.due(1_000) and standing.due(1_001)
    standing.told()
    assert standing.due(0)
    standing.read(SimpleNamespace(certificate_expires_ms=2_000))
    assert not standing.due(1_500)
    standing = WatchedMachine(-1.0)
    standing.read(SimpleNamespace(certificate_expires_ms=2_000))
    assert standing.due(1_500)
