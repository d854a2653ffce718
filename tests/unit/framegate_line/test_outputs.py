"""Outputs to a diverter and to a file."""

import json
from dataclasses import replace

import pytest

from framegate.errors import Unavailable
from framegate.signed.decision import Decision, Notice
from framegate_line.outputs import FileOutput, ModbusOutput
from framegate_simulators.plant.diverter import Part
from framegate_simulators.plant.modbus_plc import ModbusPlc


async def test_modbus_opens_for_one_part_once(bench_line):
    plc = ModbusPlc()
    output = ModbusOutput("127.0.0.1", plc.port)
    decision = Decision("d", "press-7", "p", 70_005, "PASS", "", ("v",), 1, 2)
    part = Part("p", 70_005, True, 0, 0)
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


async def test_file_output(tmp_path):
    output = FileOutput(tmp_path / "decisions.jsonl")
    await output.decide(Decision("d", "l", "p", 1, "DEFECT", "", ("v",), 1, 2), b"")
    await output.ask_stop(Notice("l", "line-stop", 3, "timeout", 1), b"")
    await output.close()
    assert [
        next(iter(json.loads(line)))
        for line in (tmp_path / "decisions.jsonl").read_text().splitlines()
    ] == ["decision", "notice"]
