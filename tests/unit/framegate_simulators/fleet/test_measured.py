"""Machines that attest to be measured: one after the other, and so many at any time."""

import asyncio
import random
from collections import Counter

import pytest

from framegate.errors import Reason, Unavailable
from framegate_simulators.fleet import measured as fleet_measured
from framegate_simulators.fleet.device import How, Ports
from framegate_simulators.fleet.measured import Measured
from framegate_simulators.fleet.plan import Plan, Shares

PORTS = Ports(("a",), ("b",), b"", b"")
PLAN = Plan(10, 0.1, 60.0, 1, 1, True, Shares(0, 0, 0, 0))


class Device:
    """A machine that attests over the connection that it has, or a new one."""

    def __init__(self, asked: list, *, admitted: bool = True, fails: bool = False) -> None:
        self.asked, self.admitted, self.fails = asked, admitted, fails
        self.last_s, self.tampered, self.begin_ms = 1.0, False, 1.0
        self.how, self.stands, self.under_way = How.KEPT, True, 0

    async def drop(self) -> None:
        self.stands = False

    def reboot(self) -> None:
        self.stands = False

    async def join(self, _ports) -> None:
        self.asked.append(self)
        self.how = How.JOIN

    async def attest(self, _ports, *, keep: bool, watching: bool) -> None:
        assert not watching
        self.asked.append(self)
        self.under_way += 1
        assert self.under_way == 1, "the same machine twice at once"
        self.how, self.stands = How.KEPT if self.stands else How.NEW, keep
        await asyncio.sleep(0)
        self.under_way -= 1
        if self.fails:
            raise Unavailable.of(Reason.UNAVAILABLE, "a controller", "none")


@pytest.fixture
def asked() -> list:
    return []


def measured(devices) -> Measured:
    return Measured(devices, PLAN, random.Random(1))  # noqa: S311 - no secret


async def test_alone_they_come_as_often_as_all_do_and_what_they_wait_for_their_turn_is_counted(
    asked, monkeypatch
):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(fleet_measured.asyncio, "sleep", sleep)
    machines = [Device(asked) for _ in range(3)]
    for device in machines:
        monkeypatch.setattr(device, "attest", attested_at_once(device))
    said = await measured(machines).alone(PORTS, How.KEPT)
    assert len(said["took_ms"]) == len(said["begin_ms"]) == 3 == len(slept)
    assert all(s <= 0.015 * n for n, s in enumerate(slept, 1)), (
        "a gap is at most half as long again"
    )
    assert slept[0] > 0.004


def attested_at_once(device):
    async def attest(_ports, **_given):
        device.how = How.KEPT

    return attest


@pytest.mark.parametrize("how", [How.KEPT, How.NEW])
@pytest.mark.parametrize("at_once", [1, 4])
async def test_so_many_are_under_way_at_any_time_and_each_in_its_turn(asked, how, at_once):
    machines = [Device(asked) for _ in range(7)]
    said = await measured(machines).together(PORTS, how, at_once)
    assert len(said["took_ms"]) == fleet_measured.TOGETHER == len(asked)
    turns = Counter(id(device) for device in asked)
    assert max(turns.values()) - min(turns.values()) <= 1
    assert all(device.how == how for device in machines)
    assert all(device.stands == (how == How.KEPT) for device in machines)


async def test_those_that_press_are_others_than_those_before_where_there_are(asked, monkeypatch):
    monkeypatch.setattr(fleet_measured, "TOGETHER", 10)
    machines = [Device(asked) for _ in range(20)]
    those = measured(machines)
    for _ in range(2):
        await those.together(PORTS, How.NEW, 4)
    assert len(set(asked)) == 20


@pytest.mark.parametrize("wrong", [{"last_s": 0.0}, {"tampered": True}])
async def test_who_is_not_sound_is_not_measured(asked, wrong):
    sound, other = Device(asked), Device(asked)
    for name, value in wrong.items():
        setattr(other, name, value)
    await measured([sound, other]).together(PORTS, How.NEW, 2)
    assert other not in asked and sound in asked


async def test_whose_certificate_ran_out_is_passed_over_and_nobody_waits_for_it(asked):
    said = await measured([Device(asked, admitted=False)]).together(PORTS, How.NEW, 3)
    assert not said["took_ms"] and not asked


async def test_who_is_refused_is_counted_and_took_no_time(asked):
    those = measured([Device(asked, fails=True)])
    said = await those.together(PORTS, How.NEW, 2)
    assert not said["took_ms"]
    assert those.errors == {Reason.UNAVAILABLE.value: fleet_measured.TOGETHER}


async def test_who_went_another_way_is_not_counted_for_this_one(asked):
    """Its connection was lost: it opened a new one."""
    device = Device(asked)
    device.stands = False
    said = await measured([device]).together(PORTS, How.KEPT, 1)
    assert len(said["took_ms"]) == fleet_measured.TOGETHER - 1
