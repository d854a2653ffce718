"""N150: a sink that is down, slow, lies, or is fed twice."""

import json
import time
from pathlib import Path

import pytest

from framegate.ocsf.copy import TrustedHeads, verify_copy
from framegate.ocsf.event import ocsf_event
from framegate.ocsf.logged import LoggedEvent
from framegate.receipt_verifier import leaf_hash
from framegate.record.entry import Act, entry_bytes, event_entry
from framegate.record.fleet_events import RegistryRestored
from framegate.record.merkle import Frontier
from framegate.record.verify import AuditRefused, LogAnchor
from framegate.registry.sink import SinkKind
from framegate.signed.receipt import Checkpoint
from framegate_controller.forwarding.forwarder import Forwarder
from framegate_controller.sinks.messages import BATCH_ENTRIES
from framegate_host.private_files import write_private
from framegate_simulators.bench.sinks import kills
from support.audit_log import quarantined
from support.paths import ROOT
from support.sinks import add_sink, entries_of, fill, sink_of
from support.waiting import until

AT_MS = 1_790_000_000_000


def test_n150_forwarder_and_sink_killed_again_and_again_lose_nothing(tmp_path):
    """Forwarder, sink's process and sink in turn; 200 times over 100,000 entries in make load."""
    done = kills(tmp_path, 1_000, 3)
    assert done["missing"] == 0
    assert done["again"] <= 3 * BATCH_ENTRIES
    assert done["kills_before_the_end"] >= 2


@pytest.mark.parametrize(
    "way",
    ["beyond", "before", "everything-dead", "nothing-said", "garbage", "endless", "half"],
)
async def test_n150_a_sinks_process_that_lies_moves_no_cursor(bench, tmp_path, monkeypatch, way):
    module = "framegate_controller.forwarding.sink_process._MODULE"
    monkeypatch.setattr(module, "support.rogue_sink")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    fill(bench.store, 3)
    add_sink(bench.store, SinkKind.WEBHOOK, f"https://{way}.example.net")
    forwarder = Forwarder(bench.store, "plant", tmp_path)
    await forwarder.start()
    await until(lambda: sink_of(bench.store).failures >= 1)
    await forwarder.stop()
    sink = sink_of(bench.store)
    assert (sink.confirmed, sink.dead) == (0, 0)
    assert "its process" in sink.error
    assert bench.events("siem-dead-letter") == []


async def test_n150_no_file_of_the_host_is_sent_but_from_the_sinks_own_folder(bench, tmp_path):
    """Whoever adds a sink names an address, and no file."""
    fill(bench.store, 1)
    (tmp_path / "keys").mkdir()
    write_private(tmp_path / "keys" / "token", b"precious")
    add_sink(bench.store, SinkKind.FILE)
    forwarder = Forwarder(bench.store, "plant", tmp_path)
    await forwarder.start()
    await until(lambda: sink_of(bench.store).confirmed == len(entries_of(bench.store)))
    await forwarder.stop()
    made = {p.relative_to(tmp_path) for p in (tmp_path / "sinks").rglob("*")}
    assert made == {Path("sinks/siem"), Path("sinks/siem/events.jsonl")}
    assert (tmp_path / "sinks/siem").stat().st_mode & 0o77 == 0


class Branch:
    """A record of which entries 10 to 14 were lost with a registry."""

    def __init__(self, keys, seen: int = 15) -> None:
        self.keys = keys
        self.before: list[bytes] = []
        for number in range(15):
            self._log(self.before, quarantined(number))
        self.now = self.before[:10]
        restored = RegistryRestored(
            number=1, kept=10, seen=seen, revision=1, source="b", withdrawn=()
        )
        self._log(self.now, restored)
        for number in range(4):
            self._log(self.now, quarantined(100 + number))

    def _log(self, raws: list[bytes], event) -> None:
        previous = leaf_hash(raws[-1]) if raws else None
        body = event_entry(event, Act(actor="controller"), AT_MS + len(raws))
        raws.append(entry_bytes(len(raws), previous, body))

    def head(self, raws: list[bytes], restorations: int, at_ms: int) -> bytes:
        frontier = Frontier()
        for raw in raws:
            frontier.append(leaf_hash(raw))
        signer = self.keys.signing["log"]
        head = Checkpoint("plant", len(raws), frontier.root.hex(), at_ms, restorations)
        return head.seal(signer.der, signer.sign)


def event_of(raw: bytes, restorations: int = 0):
    return ocsf_event(LoggedEvent.parse("plant", raw, restorations))


@pytest.fixture
def branch(keys):
    return Branch(keys)


def trusted(branch):
    heads = [branch.head(branch.now, 1, time.time_ns() // 1_000_000)]
    return TrustedHeads(heads, LogAnchor(root=branch.keys.root.certificate), "plant")


def test_n150_numbers_that_were_given_again_are_two_entries(branch):
    events = [event_of(raw) for raw in branch.before]
    events += [event_of(raw, 1) for raw in branch.now[10:]]
    assert len({e["metadata"]["uid"] for e in events}) == len(events)
    done = verify_copy(events, trusted(branch))
    assert (done.entries, done.lost) == (15, 5)


@pytest.mark.parametrize("at", [10, 12, 14])
def test_n150_a_lost_entry_does_not_stand_in_for_the_one_that_has_its_number(branch, at):
    events = [event_of(raw) for raw in branch.before]
    events += [event_of(raw, 1) for n, raw in enumerate(branch.now) if n >= 10 and n != at]
    with pytest.raises(AuditRefused) as error:
        verify_copy(events, trusted(branch))
    assert error.value.entry in {at, at - 1}


def test_n150_an_id_of_a_restoration_that_was_none_is_altered(branch):
    events = [event_of(raw) for raw in branch.now[:10]]
    events += [event_of(raw, 1) for raw in branch.now[10:]]
    events[4] = event_of(branch.now[4], 3)
    with pytest.raises(AuditRefused, match="altered at entry 4"):
        verify_copy(events, trusted(branch))
    assert json.loads(branch.now[10])["event"] == "registry-restored"
