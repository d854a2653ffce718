"""N151: floods of labels. Whoever has not shown who they are adds no series, whatever they say."""

import contextlib
import os
from dataclasses import replace
from types import SimpleNamespace

import grpc
import pytest

from framegate.errors import Reason
from framegate.identity.certificates import Purpose
from framegate.identity.names import Kind, device_id
from framegate.machines.lifecycle import State
from framegate.record.machine_events import StrangersRefused
from framegate.record.people_events import SignInFailed, VerbDenied
from framegate.registry.device import Device, Standing
from framegate_agent.metrics import FAMILIES as AGENT
from framegate_controller.events.bus import InMemoryBus
from framegate_controller.joinport.messages import PortBeat
from framegate_controller.metrics.families import FAMILIES as CONTROLLER
from framegate_controller.metrics.families import REFUSALS
from framegate_controller.metrics.readings import ControllerMetrics
from framegate_controller.record.counts import EventCounts
from framegate_gateway.metrics import FAMILIES as GATEWAY
from framegate_gateway.metrics import UNANSWERED
from framegate_host.telemetry.exposition import summed
from framegate_host.telemetry.families import each
from framegate_host.telemetry.listener import Watched
from framegate_line.metrics import FAMILIES as LINE
from framegate_proto.call_times import CALLS, CallTimes, call_of
from support.fleet_port import channel, credentials
from support.scrape import get, listening, promtool_is_pleased, series

DEVICES = 1000
MOST = 3_000
"""Series of a controller with a thousand machines."""
OPEN = {"device", "camera", "zone", "version", "check", "chore"}
"""Labels whose values the registry gave out, or the program itself: never a peer."""


BEAT = PortBeat(connections=3, calls=2, passed=17, turned_away=5)
PORT = SimpleNamespace(pid=os.getpid(), trouble="", last=BEAT)


class NoClockwork:
    progress = ()


@pytest.fixture
def metrics(bench):
    return ControllerMetrics(
        store=bench.store,
        fleet=bench.fleet,
        bus=InMemoryBus(bench.store, bench.fleet),
        clockwork=NoClockwork(),
        counts=EventCounts(bench.store),
        join_port=lambda: PORT,
    )


async def shown(metrics: ControllerMetrics) -> dict:
    watched = Watched("controller", metrics.exposition, metrics.checks, metrics.read)
    async with listening(watched) as at:
        status, page = await get(at.port, "/metrics")
    assert status == 200
    promtool_is_pleased(page)
    return series(page)


@pytest.mark.parametrize("families", [AGENT, CONTROLLER, GATEWAY, LINE])
def test_n151_every_label_has_a_closed_list_or_values_that_no_peer_gives(families):
    labels = [label for family in families for label in family.labels]
    assert {label.name for label in labels if label.values is None} <= OPEN
    assert len({f.name for f in families}) == len(families)


def test_n151_a_million_random_ids_add_no_series():
    """What a stranger can name: a reason, a call, an id. At every family that counts them."""
    ids = [f"{n:032x}" for n in range(1_000_000)]
    for family, some in ((REFUSALS, ids), (UNANSWERED, ids[:10_000])):
        told = summed([family], each(family, dict.fromkeys(some, 1)))[family.name]
        closed = {(v,) for v in family.labels[0].values}
        assert set(told) == closed | {("other",)}
        assert told["other",] == len(some)
    assert {call_of(f"/{i}/{i}") for i in ids[:10_000]} == {"other"}


async def test_n151_strangers_words_in_the_record_make_no_series(bench, metrics):
    before = await shown(metrics)
    with bench.store.writing() as tx:
        for n in range(300):
            tx.record(
                StrangersRefused(reason=f"r{n}", source=f"10.0.0.{n}", count=1), by="join-port"
            )
            tx.record(SignInFailed(what="x", source=f"10.1.0.{n}", claimed=f"who{n}"), by="sign-in")
            denied = VerbDenied(verb=f"v{n}", about=f"a{n}", reason=Reason.POLICY_DENIED)
            tx.record(denied, by=f"operator.p{n}")
    metrics.counts.read()
    after = await shown(metrics)
    refused = [key for key in after if key[0] == "framegate_refusals_total"]
    assert set(after) - set(before) == {("framegate_refusals_total", (("reason", "other"),))}
    assert after["framegate_refusals_total", (("reason", "other"),)] == 300
    assert after["framegate_sign_ins_failed_total", ()] == 300
    assert len(refused) == len(REFUSALS.labels[0].values) + 1


async def test_n151_a_thousand_machines_are_at_most_three_thousand_series(bench, metrics):
    states = [s for s in State if s is not State.RETIRED]
    with bench.store.writing() as tx:
        for n in range(DEVICES):
            zone, kind = f"line-{n % 20}", Kind.GATEWAY if n % 20 == 0 else Kind.CAMERA
            device = Device(
                id=device_id(kind, zone, f"m{n}"),
                kind=kind,
                zone=zone,
                name=f"m{n}",
                state=State.TRUSTED if n % 10 else states[n // 10 % len(states)],
                since_ms=tx.now_ms,
                profile="simulated-camera",
                standing=Standing(result_ms=tx.now_ms),
            )
            tx.devices.add(device)
    for call in CALLS:
        for outcome in ("ok", "refused", "failed", "cancelled"):
            metrics.calls.over(call, outcome, 0.1, streams=False)
    told = await shown(metrics)
    devices = [k for k in told if k[0] == "framegate_device_result_timestamp_seconds"]
    assert DEVICES * 0.9 <= len(devices) <= DEVICES
    assert len(told) <= MOST


async def test_n151_a_machine_that_is_retired_has_no_series_any_more(bench, metrics):
    bench.enrol("cam1")
    key = ("framegate_device_result_timestamp_seconds", (("device", "camera.line-1.cam1"),))
    assert key in await shown(metrics)
    with bench.store.writing() as tx:
        device = tx.devices.get("camera.line-1.cam1")
        tx.devices.put(replace(device, state=State.RETIRED))
    assert key not in await shown(metrics)


async def test_n151_a_caller_names_no_call(controller):
    """What a stranger asks for at the fleet port is `other`, and one refusal."""
    running, fleet = controller
    pair = credentials(fleet, "device-ca", Purpose.DEVICE, "camera.line-1.cam1")
    times: CallTimes = running.metrics.calls
    async with channel(running, fleet, pair) as opened:
        for n in range(20):
            call = opened.unary_unary(f"/framegate_proto.v1.Fleet/Call{n}")
            with contextlib.suppress(grpc.aio.AioRpcError):
                await call(b"", timeout=30)
    assert times.ended == {("other", "refused"): 20}


async def test_the_join_ports_process_is_shown_through_its_controller(metrics):
    page = await shown(metrics)
    told = {name.removeprefix("framegate_join_port_"): v for (name, _), v in page.items()}
    wanted = {"connections": 3, "calls": 2, "passed_total": 17, "turned_away_total": 5}
    assert {name: told[name] for name in wanted} == wanted
    assert told["resident_memory_bytes"] > 10**6


@pytest.mark.parametrize(
    ("port", "says"),
    [
        (None, "not open yet"),
        (SimpleNamespace(pid=0, trouble="its process does not run", last=None), "does not run"),
        (SimpleNamespace(pid=2**30, trouble="it has said nothing", last=BEAT), "said nothing"),
    ],
    ids=["none", "dead", "stuck"],
)
async def test_a_join_port_that_does_not_answer_makes_a_controller_unready(metrics, port, says):
    metrics = replace(metrics, join_port=lambda: port)
    watched = Watched("controller", metrics.exposition, metrics.checks, metrics.read)
    async with listening(watched) as at:
        status, page = await get(at.port, "/readyz?verbose")
        assert status == 503 and says in page
        assert (await get(at.port, "/livez"))[0] == 200
        status, page = await get(at.port, "/metrics")
    assert status == 200 and "\nframegate_join_port_resident_memory_bytes " not in page
