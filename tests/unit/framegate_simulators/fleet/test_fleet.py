"""The fleet simulator: its plan, its machines, and what it calls wrong."""

import random
import sqlite3
import subprocess
import sys
from collections import Counter

import pytest

from framegate.errors import FramegateError, Reason, Unavailable
from framegate.machines.lifecycle import State
from framegate_host.console import Terminal
from framegate_simulators.fleet import controllers as fleet_controllers
from framegate_simulators.fleet import cost
from framegate_simulators.fleet import device as fleet_device
from framegate_simulators.fleet.controllers import Usage
from framegate_simulators.fleet.cost import exponent
from framegate_simulators.fleet.device import MODEL, FleetDevice, FleetForge, Ports
from framegate_simulators.fleet.plan import Act, Plan, Shares
from framegate_simulators.fleet.report import lines
from framegate_simulators.fleet.run import wrong
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.machine.tpm import TpmMaker
from framegate_simulators.process_readings import resident_kib


def test_shares_are_drawn_as_they_were_told():
    chance = random.Random(7)  # noqa: S311 - a simulation
    shares = Shares(reboots=20, updates=10, tampered=5, late=5)
    drawn = Counter(shares.draw(chance) for _ in range(20_000))
    for act, percent in ((Act.REBOOT, 20), (Act.UPDATE, 10), (Act.TAMPER, 5), (Act.RENEW, 60)):
        assert abs(drawn[act] / 200 - percent) < 1.5
    assert all(Shares.parse("").draw(chance) == Act.RENEW for _ in range(100))


def test_shares_as_text():
    assert Shares.parse("reboots=2,late=0.5") == Shares(2.0, 0.0, 0.0, 0.5)


@pytest.mark.parametrize(
    "text", ["reboots", "reboots=x", "boots=1", "late=-1", "late=60,reboots=60", "late=nan", "=1"]
)
def test_shares_that_are_none(text):
    with pytest.raises(FramegateError) as caught:
        Shares.parse(text)
    assert caught.value.reason == Reason.USAGE


def test_a_plan_goes_to_another_process_and_back():
    plan = Plan(10, 60.0, 300.0, 2, 1, True, Shares(late=3))
    assert Plan.of(plan.body()) == plan


def test_what_a_registry_holds_is_told_while_it_still_stands_in_its_journal(tmp_path):
    registry = sqlite3.connect(tmp_path / "registry.db")
    registry.execute("PRAGMA journal_mode=WAL")
    registry.execute("CREATE TABLE row (body BLOB)")
    registry.execute("INSERT INTO row VALUES (?)", (bytes(400_000),))
    registry.commit()
    assert (tmp_path / "registry.db").stat().st_size < 100_000
    controllers = fleet_controllers.Controllers(
        tmp_path, Plan(10, 60.0, 300.0, 2, 1, True, Shares())
    )
    assert 400_000 < controllers.registry_bytes() < 500_000
    registry.close()


def test_machines_of_one_firmware_share_what_is_alike_and_no_key():
    maker, firmware = TpmMaker.found(), Firmware(MODEL)
    one, two = FleetForge(maker, firmware), FleetForge(maker, firmware)
    assert one.log is two.log and one.ima is two.ima
    assert len({k.public.spki() for f in (one, two) for k in (f.ek, f.ak, f.tls)}) == 6
    one.firmware = firmware.tampered()
    one.boot()
    assert one.log != two.log and one.pcrs[4] != two.pcrs[4]


@pytest.mark.parametrize(("power", "costs"), [(1.0, [100, 1000, 10000]), (2.0, [1, 100, 10000])])
def test_the_exponent_of_a_cost(power, costs):
    assert exponent([100, 1000, 10000], costs) == pytest.approx(power)


@pytest.mark.parametrize(
    ("sizes", "rate", "kept"),
    [
        ([100, 500], 25.0, True),
        ([100, 1000], 25.0, False),  # every 40 s: a connection that is silent for 30 is cut
        ([100, 1000], 100.0, True),
        ([100, 10_000], 1000.0, False),  # more than a port takes
    ],
)
def test_machines_of_all_sizes_keep_their_connections_or_none_do(monkeypatch, sizes, rate, kept):
    plans = []

    def run(plan, _say):
        plans.append(plan)
        return result(plan={**PLAN, "devices": plan.devices, "interval_s": plan.interval_s})

    monkeypatch.setattr(cost, "run_fleet", run)
    grown = cost.curve(sizes, cost.Served(1, False, 1.0, rate), Terminal(quiet=True))
    assert [(plan.devices, plan.keep) for plan in plans] == [(n, kept) for n in sizes]
    assert grown["cpu_exponent"] == pytest.approx(1.0), "1 ms each, whatever the size"


PLAN = {"controllers": 1, "database": False, "share": 0.0}


def result(**changes):
    body = {
        "plan": {**PLAN, "devices": 2, "interval_s": 60.0},
        "enrolments": {"joined": 2, "per_s": 1.0, "p50_ms": 1.0, "p99_ms": 1.0},
        "attestations": dict.fromkeys(
            (
                "done",
                "per_s",
                "p50_ms",
                "p99_ms",
                "controller_cpu_ms",
                "controller_cores",
                "database_cpu_ms",
                "machines_cpu_ms",
                "share_used_up",
            ),
            1,
        ),
        "acts": {"renewals": 3},
        "turns": {"held": 0.5, "elsewhere": 0.2, "at_disk": 0.1, "waiting": 0.3, "wait_ms": 12.34},
        "errors": {},
        "said": {},
        "late_devices": 0,
        "states": {"trusted": 2},
        "entries": 9,
        "went_over": 0,
        "silent": 0,
        "restarts": [],
        "controller": {"kib_a_device": 1.0, "registry_kib_a_device": 2.0},
    }
    each = ("controller_cpu_ms", "database_cpu_ms", "machines_cpu_ms")
    body["enrolments"] |= {"turns_meanwhile": 0, **dict.fromkeys(each, 12.34)}
    return body | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"late_devices": 1},
        {"errors": {"tampered: is trusted": 1}},
        {"enrolments": {**result()["enrolments"], "joined": 1}},
        {"restarts": [{"name": "controller-1", "code": 1, "ended_s": 2.0, "back_s": 3.0}]},
    ],
)
def test_what_is_wrong_is_said(changes):
    assert not wrong(result()) and len(wrong(result(**changes))) == 1


def test_a_report_fits_a_terminal():
    said = list(lines(result()))
    assert len(said) == 10 and max(map(len, said)) <= 80
    plan = PLAN | {"devices": 10_000, "interval_s": 60.0, "controllers": 2, "database": True}
    plan["share"] = 25.0
    restarts = [{"name": f"controller-{n}", "code": 0, "ended_s": 12.34} for n in (1, 2)]
    told = {f"a connection to postgresql://{n}/{'x' * 99}, got none": n for n in range(1, 9)}
    enrolments = {**result()["enrolments"], "turns_meanwhile": 123_456}
    said = list(lines(result(plan=plan, restarts=restarts, said=told, enrolments=enrolments)))
    assert len(said) == 20 and max(map(len, said)) <= 80
    assert [line.split()[1] for line in said if line.startswith("refused")] == ["8", "7", "6", "5"]


@pytest.mark.parametrize(
    "wrong", [{"controllers": 2}, {"rolling": True}, {"rolling": True, "database": True}]
)
def test_plans_that_need_more_than_they_say(wrong):
    with pytest.raises(FramegateError) as caught:
        Plan(10, 60.0, 300.0, 2, 1, True, Shares(), **wrong)
    assert caught.value.reason == Reason.USAGE and caught.value.failures[0].hint


class Controllers:
    """Of which some do not answer."""

    def __init__(self, away: set[int]) -> None:
        self.away, self.asked = away, []

    async def once(self, at: int) -> State:
        self.asked.append(at)
        if at in self.away:
            raise Unavailable.of(Reason.UNAVAILABLE, "an answer", "none")
        return State.TRUSTED


@pytest.fixture
def device(monkeypatch) -> FleetDevice:
    monkeypatch.setattr(fleet_device, "AGAIN_S", 0.0)
    return FleetDevice("camera.line-1.cam7", FleetForge(TpmMaker.found(), Firmware(MODEL)), 7)


async def test_a_machine_goes_over_to_the_controller_that_answers_and_stays(device):
    ports, there = Ports(("a", "b"), ("c", "d"), b"", b""), Controllers({1})
    assert await device._somewhere(ports, there.once) == State.TRUSTED
    assert await device._somewhere(ports, there.once) == State.TRUSTED
    assert there.asked == [1, 0, 0] and device.went_over == 1


async def test_a_machine_that_nobody_answers_says_so_in_the_end(device):
    ports, there = Ports(("a", "b"), ("c", "d"), b"", b""), Controllers({0, 1})
    with pytest.raises(Unavailable):
        await device._somewhere(ports, there.once)
    assert len(there.asked) == 2 * fleet_device.TRIES
    alone = Controllers({0})
    with pytest.raises(Unavailable):
        await device._somewhere(Ports(("a",), ("c",), b"", b""), alone.once)
    assert alone.asked == [0], "one that is away is an error of the run"


HELD_KIB = 64 * 1024
GROWN = f"held = b'x' * {HELD_KIB * 1024}; print('up', flush=True); input()"
BY_A_THREAD = f"""
import subprocess, sys, threading
from subprocess import PIPE

def begin():
    argv = [sys.executable, "-c", {GROWN!r}]
    with subprocess.Popen(argv, stdin=PIPE, stdout=PIPE) as child:
        print(child.stdout.readline().decode(), end="", flush=True)
        input()  # a child goes over to another thread where its own has ended
        child.communicate(b"\\n")

thread = threading.Thread(target=begin)
thread.start()
thread.join()
"""


def test_what_a_process_uses_is_that_of_children_of_all_its_threads():
    """As the join port's, which a thread of the controller begins. Of a process that nobody else
    has children of: those of other tests end when they like.
    """
    argv = [sys.executable, "-c", BY_A_THREAD]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"up\n"
        used = Usage.of(process.pid).resident_kib
        assert used - resident_kib(process.pid) > HELD_KIB
    finally:
        process.communicate(b"\n")


def test_a_process_that_is_gone_has_used_nothing():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert Usage.of(gone.pid) == Usage(0.0, 0)
