"""Outputs to a diverter and to a file."""

import json
import socket
from dataclasses import replace

import pytest

from framegate.errors import Unavailable
from framegate.signed.decision import Decision, Notice
from framegate_line import outputs
from framegate_line.outputs import FileOutput, ModbusOutput
from framegate_simulators.plant.diverter import Part
from framegate_simulators.plant.modbus_plc import ModbusPlc
from support.waiting import until


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """The PLC is a thread of this process: both may stand still for as long as a busy machine has
    them wait.
    """
    monkeypatch.setattr(outputs, "MODBUS_TIMEOUT_S", 30.0)


async def test_modbus_opens_for_one_part_once(bench_line):
    plc = ModbusPlc()
    output = ModbusOutput("127.0.0.1", plc.port)
    decision = Decision("d", "press-7", "p", "t", 70_005, 0, "PASS", "", ("v",), 1, 60_000)
    part = Part("p", "t", 70_005, 0, True, 0, 0)
    await output.decide(decision, b"")
    assert not plc.permits(part), "no heartbeat, no permission"
    await output.decide(decision, b"")
    await output.beat(1, b"")
    assert plc.permits(part) and not plc.permits(part)
    await output.decide(decision, b"")
    assert not plc.permits(replace(part, sequence=70_005 + 16)), "the same slot, another part"
    await output.decide(replace(decision, outcome="DEFECT"), b"")
    assert not plc.permits(part)
    await output.ask_stop(Notice("press-7", "line-stop", 3, "timeout", 1), b"")
    assert plc.stop_asked == 3
    await output.decide(decision, b"")
    await output.close()
    assert not plc.permits(part), "an adapter that ends takes its permissions back"
    plc.close()
    with pytest.raises(Unavailable):
        await output.decide(decision, b"")


async def test_a_plc_that_takes_a_connection_and_says_nothing_is_unavailable(monkeypatch):
    monkeypatch.setattr(outputs, "MODBUS_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        output = ModbusOutput("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(Unavailable):
            await output.beat(1, b"")
        await output.close()


async def test_n128_a_permit_ends_with_its_decision_and_when_its_number_comes_again():
    plc, output = ModbusPlc(), None
    try:
        output = ModbusOutput("127.0.0.1", plc.port)
        decision = Decision("d", "press-7", "p", "t", 5, 0, "PASS", "", ("v",), 1, 60_000)
        await output.beat(1, b"")
        await output.decide(decision, b"")
        assert plc.coils[5]
        await output.expect(5 + 16 * 4096)
        assert not plc.coils[5], "another part entered under a number of that slot"
        await output.decide(replace(decision, valid_until_ms=2), b"")
        await until(lambda: not plc.coils[5])
        assert plc.registers[16 + 4 * 5 + 2] == 1, "the register still says PASS: the coil decides"
    finally:
        if output is not None:
            await output.close()
        plc.close()


async def test_n128_permits_of_a_process_that_was_killed_are_gone_before_the_first_beat():
    plc, output = ModbusPlc(), None
    try:
        plc.coils[:] = [True] * 16  # a predecessor left them and died
        plc.registers[16 + 4 * 3 : 20 + 4 * 3] = [0, 3, 1, 0]
        output = ModbusOutput("127.0.0.1", plc.port)
        await output.beat(7, b"")
        assert plc.coils == [False] * 16
        assert not plc.permits(Part("p", "t", 3, 0, True, 0, 0))
    finally:
        if output is not None:
            await output.close()
        plc.close()


async def test_n128_permits_that_a_plc_has_when_its_connection_comes_back_are_gone(monkeypatch):
    plc, output = ModbusPlc(), None
    try:
        output = ModbusOutput("127.0.0.1", plc.port)
        await output.beat(1, b"")
        plc.coils[:] = [True] * 16  # it starts with what it had kept
        output._client.close()

        async def away() -> bool:
            return False

        with monkeypatch.context() as cut:
            cut.setattr(output._client, "connect", away)
            with pytest.raises(Unavailable):
                await output.beat(2, b"")
        assert plc.coils == [True] * 16
        await output.beat(3, b"")
        assert plc.coils == [False] * 16
    finally:
        if output is not None:
            await output.close()
        plc.close()


async def test_file_output(tmp_path):
    output = FileOutput(tmp_path / "decisions.jsonl")
    await output.decide(Decision("d", "l", "p", "t", 1, 0, "DEFECT", "", ("v",), 1, 2), b"")
    await output.ask_stop(Notice("l", "line-stop", 3, "timeout", 1), b"")
    await output.close()
    assert [
        next(iter(json.loads(line)))
        for line in (tmp_path / "decisions.jsonl").read_text().splitlines()
    ] == ["decision", "notice"]
