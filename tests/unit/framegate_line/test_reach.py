"""Who answers the adapter: said aloud when it changes, and in its status."""

import json
import logging

import pytest

from framegate.errors import Reason, Unavailable
from framegate_line import outputs
from framegate_line.outputs import ModbusOutput
from framegate_line.reach import AGAIN_S, FRESH_S, Reach, ReachedOutput, read_reach
from framegate_simulators.plant.modbus_plc import ModbusPlc
from support.waiting import until


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def reach(tmp_path, clock):
    return Reach(tmp_path / "ledger.reach", clock)


def test_changes_are_said_at_once_and_silence_again_while_it_lasts(reach, clock, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(5):
        reach.lost("PLC 10.0.0.9:502", "no connection")
    clock.now += AGAIN_S
    reach.lost("PLC 10.0.0.9:502", "no connection")
    for _ in range(5):
        reach.heard("PLC 10.0.0.9:502")
    reach.lost("PLC 10.0.0.9:502", "reset\x1b[2J")
    told = [(r.levelname, r.getMessage()) for r in caplog.records]
    away = ("WARNING", "PLC 10.0.0.9:502 does not answer: no connection; trying again")
    assert told[:3] == [away, away, ("INFO", "PLC 10.0.0.9:502 answers")]
    assert len(told) == 4 and "\x1b" not in told[3][1]


def test_status_says_who_answers_and_that_nobody_runs_any_more(reach, clock, tmp_path):
    path = tmp_path / "ledger.reach"
    assert read_reach(path, clock.now) is None
    reach.heard("broker b:8883")
    reach.lost("PLC p:502", "no connection")
    reach.write()
    peers = read_reach(path, clock.now + 1)
    assert peers["broker b:8883"].answers and not peers["PLC p:502"].answers
    assert peers["PLC p:502"].problem == "no connection"
    assert read_reach(path, clock.now + FRESH_S) is None, "what is old is not what is"
    assert read_reach(path, clock.now - 60) is None, "nor what is of a clock that was set back"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        json.dumps({"at": 1000, "peers": []}).encode(),
        json.dumps({"at": 1000, "peers": {"x": {"answers": True}}}).encode(),
        json.dumps({"at": "x", "peers": {}}).encode(),
    ],
)
def test_a_file_of_another_kind_is_no_status(body, tmp_path):
    (tmp_path / "r").write_bytes(body)
    assert read_reach(tmp_path / "r", 1000.5) is None


def test_a_folder_that_cannot_be_written_stops_no_part(clock, tmp_path, caplog):
    reach = Reach(tmp_path / "none" / "ledger.reach", clock)
    reach.write()
    assert "does not answer" in caplog.text


async def test_a_plc_that_goes_away_and_comes_back_is_told(reach, monkeypatch):
    monkeypatch.setattr(outputs, "MODBUS_TIMEOUT_S", 30.0)  # a busy machine takes its time
    plc = ModbusPlc()
    modbus = ModbusOutput("127.0.0.1", plc.port)
    output = ReachedOutput(modbus, "PLC", reach)
    await output.beat(1, b"")
    assert reach.peers["PLC"].answers
    plc.close()
    await until(lambda: not modbus._client.connected)
    with pytest.raises(Unavailable) as caught:
        await output.beat(2, b"")
    assert caught.value.reason == Reason.LINE_OUTPUT
    assert not reach.peers["PLC"].answers and reach.peers["PLC"].problem
    await output.close()
