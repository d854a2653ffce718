"""N114, N123 and the rules of a line: a part passes only by a verified PASS of every camera that comes in time; everything else diverts."""

import asyncio
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed, Reason, Unavailable
from framegate.identity.certificates import Purpose, from_ms
from framegate.identity.pem import private_pem
from framegate.signed.decision import Decision, Notice, verify_decision
from framegate.signed.statement import Outcome, Verdict
from framegate_controller.ca.issue import certify, issue_line
from framegate_controller.ca.keys import SigningKey
from framegate_controller.ca.template import leaf_template
from framegate_line.adapter import Adapter, parse_trigger, trigger_json
from framegate_line.credentials import load_credentials
from framegate_line.ledger import NOT_TAKEN, SENT, Ledger, PartKey
from framegate_line.outputs import FileOutput, ModbusOutput
from framegate_line.rules import Rules, Ruling, Trigger, deadline_of, rule
from framegate_simulators.plant.line import ModbusPlc, Part

CAM1, CAM2 = "camera.line-1.cam1", "camera.line-1.cam2"
RULES = Rules("press-7", "line-1", (CAM1, CAM2), deadline_ms=1000, stop_after=3, hold_ms=500)


class Recorder:
    """An output that remembers, and can be made to fail."""

    def __init__(self) -> None:
        self.decisions, self.stops, self.beats, self.broken = [], [], 0, False

    async def decide(self, decision, envelope):
        if self.broken:
            raise Unavailable.of(Reason.LINE_OUTPUT, "an output", "broken")
        self.decisions.append((decision, envelope))

    async def beat(self, count, envelope):
        self.beats += 1

    async def ask_stop(self, notice, envelope):
        self.stops.append(notice)

    async def close(self):
        pass


class Bench:
    def __init__(self, fleet, folder) -> None:
        self.fleet, self.folder = fleet, folder
        self.now = time.time_ns() // 1_000_000
        key = ec.generate_private_key(ec.SECP256R1())
        (folder / "line.key").touch(0o600)
        (folder / "line.key").write_bytes(private_pem(key))
        (folder / "line.pem").write_bytes(issue_line(fleet, "press-7", key.public_key()).public_bytes(Encoding.PEM))
        (folder / "root.pem").write_bytes(fleet.root.pem)
        (folder / "authorities.pem").write_bytes(b"".join(k.pem for k in fleet.issuing.values()))
        self.output = Recorder()
        self.gateway = self.signer("gateway.line-1.gw1")
        self.open()

    def open(self) -> None:
        self.ledger = Ledger(self.folder / "ledger.db", "press-7")
        self.adapter = Adapter(RULES, self.ledger, load_credentials(self.folder, "press-7"), (self.output,), lambda: self.now)

    def signer(self, name, purpose=Purpose.VERDICT, label="gateway-ca") -> SigningKey:
        key = ec.generate_private_key(ec.SECP256R1())
        return SigningKey(key, certify(self.fleet.issuing[label], leaf_template(purpose, name, key.public_key(), timedelta(minutes=10), datetime.now(UTC))))

    def verdict(self, camera=CAM1, sequence=1, outcome="PASS", by=None, **changes) -> bytes:
        by = by or self.gateway
        made = Verdict(
            verdict_id=f"{camera[-1]}{sequence}", gateway="gateway.line-1.gw1", device=camera, zone="line-1", part=f"p{sequence}", part_type="t", trigger_sequence=sequence, outcome=outcome,
            reason="stale" if outcome == "UNINSPECTED" else "", defects=({"kind": "open", "score": 0.9, "box": [0, 0, 1, 1]},) if outcome == "DEFECT" else (),
            model_sha256="aa", golden_sha256="bb", input_sha256="cc", result_id="r", session="s", counter=0, issued_at_ms=self.now, valid_until_ms=self.now + 30_000,
        )  # fmt: skip
        return replace(made, **changes).seal(by.der, by.sign)

    def trigger(self, sequence=1, **changes) -> None:
        self.adapter.trigger(Trigger(f"p{sequence}", "t", sequence, **changes))

    async def settled(self):
        while self.adapter._tasks:
            await asyncio.gather(*self.adapter._tasks)
        return [d.outcome for d, _ in self.output.decisions]


@pytest.fixture
def bench_line(keys, tmp_path):
    made = Bench(keys, tmp_path)
    yield made
    made.ledger.close()


async def test_a_part_passes_when_every_camera_says_so(bench_line):
    b = bench_line
    b.trigger()
    b.adapter.verdict(b.verdict(CAM1))
    assert await b.settled() == []
    b.adapter.verdict(b.verdict(CAM2))
    assert await b.settled() == ["PASS"]
    decision, envelope = b.output.decisions[0]
    assert decision.verdicts == ("11", "21") and b.ledger.latest(1)[0].emitted == SENT
    assert verify_decision(envelope, "press-7", b.fleet.intermediates, b.fleet.root.certificate, from_ms(b.now)) == decision


@pytest.mark.parametrize("outcome", ["DEFECT", "UNINSPECTED"])
async def test_one_view_that_is_not_pass_decides(bench_line, outcome):
    b = bench_line
    b.trigger()
    b.adapter.verdict(b.verdict(CAM2, outcome=outcome))
    b.adapter.verdict(b.verdict(CAM1))
    assert await b.settled() == [outcome]
    assert b.ledger.counts()[3] == 1, "the second verdict is logged as late"


async def test_the_first_verdict_of_a_camera_stands(bench_line):
    b = bench_line
    b.trigger()
    b.adapter.verdict(b.verdict(CAM1))
    b.adapter.verdict(b.verdict(CAM1, outcome="DEFECT", verdict_id="second"))
    b.adapter.verdict(b.verdict(CAM2))
    assert await b.settled() == ["PASS"]


async def test_verdicts_that_overtake_their_trigger(bench_line):
    b = bench_line
    b.adapter.verdict(b.verdict(CAM1))
    b.adapter.verdict(b.verdict(CAM2))
    assert await b.settled() == []
    b.trigger()
    assert await b.settled() == ["PASS"]


async def test_n114_n123_no_verdict_in_time_diverts_and_a_late_pass_is_never_sent(bench_line):
    b = bench_line
    b.trigger()
    b.adapter.verdict(b.verdict(CAM1))
    b.now += 1000
    b.adapter.verdict(b.verdict(CAM2))
    assert await b.settled() == ["UNINSPECTED"]
    row = b.ledger.latest(1)[0]
    assert (row.outcome, row.reason) == ("UNINSPECTED", "timeout") and b.ledger.counts()[3] == 1


async def test_the_deadline_fires_by_itself(keys, tmp_path):
    b = Bench(keys, tmp_path)
    b.adapter.rules = replace(RULES, deadline_ms=20)
    b.trigger()
    await asyncio.sleep(0.1)
    assert await b.settled() == ["UNINSPECTED"]
    b.ledger.close()


@pytest.mark.parametrize(
    "forge",
    [
        lambda b: b.verdict(CAM1, by=b.signer("gateway.line-1.gw2")), lambda b: b.verdict(CAM1, by=b.signer("gateway.line-1.gw1", Purpose.DEVICE, "device-ca")),
        lambda b: b.verdict(CAM1, by=b.signer("gateway.line-1.gw1", Purpose.VERDICT, "broker-ca")), lambda b: b.verdict(CAM1, issued_at_ms=b.now - 60_000, valid_until_ms=b.now - 30_000),
        lambda b: b.verdict(CAM1, zone="line-2"), lambda b: b.verdict("camera.line-1.cam9"), lambda b: b.verdict(CAM1, gateway="gateway.line-2.gw1", by=b.signer("gateway.line-2.gw1")),
        lambda b: b.verdict(CAM1)[:-9], lambda b: b"", lambda b: b"\xff" * 99, lambda b: b.verdict(CAM1).replace(b'"sig":"M', b'"sig":"N'), lambda b: b.verdict(CAM1, outcome="OK"),
    ],
)  # fmt: skip
async def test_n114_verdicts_that_are_forged_replayed_or_of_others_change_nothing(bench_line, forge):
    b = bench_line
    b.trigger()
    b.adapter.verdict(b.verdict(CAM2))
    b.adapter.verdict(forge(b))
    assert await b.settled() == [] and b.adapter.refused == 1


async def test_n114_a_verdict_for_another_part_opens_nothing(bench_line):
    b = bench_line
    b.trigger(1)
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera, sequence=2))
        b.adapter.verdict(b.verdict(camera, part="p1", trigger_sequence=2))
    assert await b.settled() == []


async def test_a_second_trigger_is_the_same_part(bench_line):
    b = bench_line
    b.trigger()
    b.trigger()
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera))
    b.trigger()
    assert await b.settled() == ["PASS"] and b.adapter.duplicates == 2 and sum(b.ledger.counts()[0].values()) == 1


async def test_n_in_a_row_ask_for_a_stop(bench_line):
    b = bench_line
    for sequence in range(1, 8):
        b.trigger(sequence)
        b.adapter.verdict(b.verdict(CAM1, sequence, outcome="PASS" if sequence == 4 else "UNINSPECTED"))
        if sequence == 4:
            b.adapter.verdict(b.verdict(CAM2, sequence))
        await b.settled()
    assert [n.count for n in b.output.stops] == [3, 3] and b.output.stops[0].reason == "stale"


async def test_n123_after_a_kill_nothing_old_passes_and_nothing_is_lost(bench_line):
    b = bench_line
    for sequence in (1, 2, 3):
        b.trigger(sequence)
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera, 1))  # decided in the ledger; the process dies before its output has it
    b.adapter.verdict(b.verdict(CAM1, 2))
    for task in b.adapter._tasks:
        task.cancel()
    b.adapter._tasks.clear()
    b.ledger.close()
    b.now += 500
    b.open()
    await b.adapter.settle()
    assert await b.settled() == ["PASS"], "in time: handed over again, it is the same decision"
    b.adapter.verdict(b.verdict(CAM2, 2))
    assert await b.settled() == ["PASS", "PASS"], "a part within its time waits on"
    b.ledger.close()
    b.now += 5_000
    b.open()
    await b.adapter.settle()
    assert await b.settled() == ["PASS", "PASS", "UNINSPECTED"]
    assert b.ledger.latest(10)[0].outcome and b.ledger.counts()[1] == {"restarted": 1} and b.ledger.counts()[2] == 0


async def test_n123_a_pass_that_was_not_handed_over_in_time_stays_here(bench_line):
    b = bench_line
    b.trigger()
    b.adapter._spawn = lambda work: work.close()
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera))
    b.ledger.close()
    b.now += 1000
    b.open()
    await b.adapter.settle()
    assert await b.settled() == [] and b.ledger.latest(1)[0].emitted == NOT_TAKEN


async def test_an_output_that_does_not_take_it_is_noted(bench_line):
    b = bench_line
    b.output.broken = True
    b.trigger()
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera))
    await b.settled()
    assert b.ledger.latest(1)[0].emitted == NOT_TAKEN


def test_two_adapters_of_one_ledger(bench_line):
    with pytest.raises(Unavailable):
        Ledger(bench_line.folder / "ledger.db", "press-7")


def test_late_triggers_do_not_get_more_time():
    assert deadline_of(RULES, Trigger("p", "t", 1, at_ms=10_000_000), 10_004_000) == 10_001_000
    assert deadline_of(RULES, Trigger("p", "t", 1, at_ms=10_009_000), 10_000_000) == 10_001_000, "a PLC whose clock runs ahead gains nothing"
    assert deadline_of(RULES, Trigger("p", "t", 1), 10_000_000) == 10_001_000


_RULINGS = st.dictionaries(st.sampled_from([CAM1, CAM2, "camera.line-1.cam9"]), st.sampled_from(list(Outcome)).map(lambda o: Ruling(o, "x" if o == Outcome.UNINSPECTED else "")))


@given(_RULINGS)
def test_pass_needs_every_view(views):
    found = rule(RULES, views)
    mine = [views[c].outcome for c in RULES.cameras if c in views]
    if found is not None and found.outcome == Outcome.PASS:
        assert mine == [Outcome.PASS, Outcome.PASS]
    elif found is None:
        assert set(mine) <= {Outcome.PASS} and len(mine) < 2
    else:
        assert found.outcome in mine


@given(st.binary(max_size=300))
def test_triggers_that_are_anything(raw):
    try:
        found = parse_trigger(raw)
    except Malformed:
        return
    assert parse_trigger(trigger_json(found)) == found


@pytest.mark.parametrize(
    "raw", [b'{"part":"","part_type":"t","trigger_sequence":1}', b'{"part":"p","part_type":"t","trigger_sequence":-1}', b'{"part":"p","part_type":"t","trigger_sequence":true}',
            b'{"part":"p\\u001b[2J","part_type":"t","trigger_sequence":1}', b'{"part":"p","part_type":"t","trigger_sequence":1,"x":1}', b"[]", b"{}", b"\xff"]
)  # fmt: skip
def test_n29_triggers_that_are_refused(raw):
    with pytest.raises(Malformed):
        parse_trigger(raw)


@pytest.mark.parametrize(
    "change", [{"cameras": ()}, {"cameras": (CAM1, CAM1)}, {"cameras": ("camera.line-2.cam1",)}, {"deadline_ms": 0}, {"deadline_ms": 10**9}, {"stop_after": 0}, {"line": "Press 7"}]
)
def test_rules_that_make_no_sense(change):
    with pytest.raises(FramegateError):
        replace(RULES, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"line": "press-8"},
        {"outcome": "GO"},
        {"verdicts": ()},
        {"reason": "x"},
        {"valid_until_ms": 1},
        {"valid_until_ms": 2**40},
        {"issued_at_ms": 2**43, "valid_until_ms": 2**43 + 5},
    ],
)
def test_n114_decisions_that_a_diverter_refuses(bench_line, change):
    b = bench_line
    good = Decision("d", "press-7", "p", 1, "PASS", "", ("v",), b.now, b.now + 1000)
    held = load_credentials(b.folder, "press-7")
    check = lambda d: verify_decision(d.seal(held.der, held.sign), "press-7", b.fleet.intermediates, b.fleet.root.certificate, from_ms(b.now))  # noqa: E731
    assert check(good) == good
    with pytest.raises(FramegateError):
        check(replace(good, **change))
    other = b.signer("line.press-7", Purpose.VERDICT)
    with pytest.raises(FramegateError):
        verify_decision(good.seal(other.der, other.sign), "press-7", b.fleet.intermediates, b.fleet.root.certificate, from_ms(b.now))


def test_credentials_of_another_line(bench_line):
    with pytest.raises(FramegateError) as caught:
        load_credentials(bench_line.folder, "press-8")
    assert "line-certificate press-8" in str(caught.value)
    (bench_line.folder / "line.key").chmod(0o644)
    with pytest.raises(FramegateError):
        load_credentials(bench_line.folder, "press-7")


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
    assert [next(iter(json.loads(line))) for line in (tmp_path / "decisions.jsonl").read_text().splitlines()] == ["decision", "notice"]


def test_a_reader_beside_the_adapter(bench_line):
    bench_line.ledger.open_part(Trigger("p", "t", 1), 1, 2)
    beside = Ledger(bench_line.folder / "ledger.db", "press-7", reading=True)
    assert beside.waiting(PartKey("p", 1)) and beside.latest(5)[0].outcome == ""
    beside.close()
