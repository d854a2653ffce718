"""Sinks are served from the record: each entry once it is there, from the cursor on."""

import asyncio
import json
import os
import signal
import socket
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from framegate.registry.sink import SinkKind
from framegate_controller.forwarding import forwarder as forwarder_module
from framegate_controller.forwarding.forwarder import Forwarder
from framegate_controller.forwarding.sink_process import SinkProcess
from framegate_controller.sinks.messages import BATCH_ENTRIES
from support.sinks import Elastic, add_sink, entries_of, fill, serving, sink_of
from support.waiting import until

pytestmark = pytest.mark.slow  # each test starts processes of sinks


@asynccontextmanager
async def forwarding(bench, folder):
    forwarder = Forwarder(bench.store, "plant", folder)
    await forwarder.start()
    try:
        yield forwarder
    finally:
        await forwarder.stop()


def confirmed(bench, name="siem"):
    return sink_of(bench.store, name).confirmed


def lines(folder, name="siem"):
    text = (folder / "sinks" / name / "events.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


async def test_a_file_gets_every_entry_in_order_and_what_comes_later(bench, tmp_path):
    fill(bench.store, 3)
    add_sink(bench.store, SinkKind.FILE)
    async with forwarding(bench, tmp_path):
        size = len(entries_of(bench.store))
        await until(lambda: confirmed(bench) == size)
        fill(bench.store, 2)
        await until(lambda: confirmed(bench) == size + 2)
    assert [e["metadata"]["sequence"] for e in lines(tmp_path)] == list(range(size + 2))
    assert [e["raw_data"].encode() for e in lines(tmp_path)] == entries_of(bench.store)


async def test_a_process_that_is_killed_costs_at_most_one_batch_again(bench, tmp_path):
    fill(bench.store, 2 * BATCH_ENTRIES)
    elastic = Elastic()
    with serving(elastic) as stub:
        add_sink(bench.store, SinkKind.ELASTIC, stub.address, channel="ocsf")
        killed = 0
        async with forwarding(bench, tmp_path) as forwarder:
            for goal in (1, BATCH_ENTRIES):
                await until(lambda goal=goal: confirmed(bench) >= goal)
                process = forwarder.sinks["siem"].process
                if process is not None:
                    os.kill(process.pid, signal.SIGKILL)
                    killed += 1
            size = len(entries_of(bench.store))
            await until(lambda: confirmed(bench) == size)
    assert killed
    assert len(elastic.documents) == size
    assert sum(elastic.times.values()) - size <= killed * BATCH_ENTRIES
    assert max(Counter(elastic.times).values()) <= 1 + killed


async def test_a_sink_that_was_away_is_tried_with_two_entries_and_then_gets_whole_batches(
    bench, tmp_path
):
    fill(bench.store, 20)
    size, sizes = len(entries_of(bench.store)), []

    def answer(_path, body, _headers):
        sizes.append(len(json.loads(body)))
        return (503, {}, {}) if len(sizes) <= 2 else (200, {}, {})

    with serving(answer) as stub:
        add_sink(bench.store, SinkKind.WEBHOOK, stub.address)
        async with forwarding(bench, tmp_path):
            await until(lambda: confirmed(bench) == size)
    assert sizes == [size, 2, 2, size - 2]


async def test_a_sink_that_comes_back_and_refuses_everything_has_no_dead_letter(bench, tmp_path):
    fill(bench.store, 20)
    asked = []

    def answer(_path, body, _headers):
        asked.append(body)
        return (503, {}, {}) if len(asked) <= 1 else (400, {}, {})

    with serving(answer) as stub:
        add_sink(bench.store, SinkKind.WEBHOOK, stub.address)
        async with forwarding(bench, tmp_path):
            await until(lambda: sink_of(bench.store).failures >= 4)
    sink = sink_of(bench.store)
    assert (sink.confirmed, sink.dead) == (0, 0) and not bench.events("siem-dead-letter")


async def test_a_controller_that_starts_again_goes_on_at_the_cursor(bench, tmp_path):
    fill(bench.store, 3)
    add_sink(bench.store, SinkKind.FILE)
    size = len(entries_of(bench.store))
    async with forwarding(bench, tmp_path):
        await until(lambda: confirmed(bench) == size)
    fill(bench.store, 2)
    async with forwarding(bench, tmp_path):
        await until(lambda: confirmed(bench) == size + 2)
    assert [e["metadata"]["sequence"] for e in lines(tmp_path)] == list(range(size + 2))


async def test_a_sink_that_was_removed_gets_nothing_more_and_its_process_ends(bench, tmp_path):
    fill(bench.store, 1)
    add_sink(bench.store, SinkKind.FILE)
    async with forwarding(bench, tmp_path) as forwarder:
        await until(lambda: confirmed(bench) == len(entries_of(bench.store)))
        pid = forwarder.sinks["siem"].process.pid
        with bench.store.writing() as tx:
            tx.sinks.remove("siem")
        await until(lambda: not Path(f"/proc/{pid}").exists())
        before = len(lines(tmp_path))
        fill(bench.store, 1)
        add_sink(bench.store, SinkKind.FILE, name="other")
        await until(lambda: confirmed(bench, "other") == len(entries_of(bench.store)))
        assert len(lines(tmp_path)) == before


@pytest.mark.parametrize("at", ["a batch is read", "its process starts"])
async def test_a_sink_that_is_removed_before_anything_was_sent_gets_nothing(
    bench, tmp_path, monkeypatch, at
):
    fill(bench.store, 1)
    begun, go_on, read = asyncio.Event(), asyncio.Event(), forwarder_module.next_batch
    loop, spawn, started = asyncio.get_running_loop(), SinkProcess.spawn, []

    def reads(*given):
        batch = read(*given)
        if at == "a batch is read":
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(30)
        return batch

    async def starts(setup):
        started.append(await spawn(setup))
        begun.set()
        await go_on.wait()
        return started[-1]

    monkeypatch.setattr(forwarder_module, "next_batch", reads)
    monkeypatch.setattr(SinkProcess, "spawn", starts)
    add_sink(bench.store, SinkKind.FILE)
    async with forwarding(bench, tmp_path) as forwarder:
        await asyncio.wait_for(begun.wait(), 60)
        with bench.store.writing() as tx:
            tx.sinks.remove("siem")
        await until(lambda: not forwarder.sinks)
        go_on.set()
        await until(lambda: not forwarder._leaving)
    assert not (tmp_path / "sinks" / "siem" / "events.jsonl").exists()
    assert len(started) == (at == "its process starts")
    assert not [one for one in started if Path(f"/proc/{one.pid}").exists()]


@pytest.mark.parametrize("fault", [BrokenPipeError(), asyncio.CancelledError()], ids=repr)
async def test_a_process_that_is_not_told_its_setup_is_ended(bench, tmp_path, monkeypatch, fault):
    told = []

    async def fails(self, _message):
        told.append(self)
        raise fault

    monkeypatch.setattr(SinkProcess, "_send", fails)
    sink = add_sink(bench.store, SinkKind.FILE)
    setup = forwarder_module.setup_of(sink, "plant", tmp_path, unconfined=False)
    with pytest.raises(type(fault)):
        await SinkProcess.spawn(setup)
    assert not Path(f"/proc/{told[0].pid}").exists()


async def test_a_sink_that_came_again_under_its_name_begins_anew(bench, tmp_path):
    fill(bench.store, 1)
    add_sink(bench.store, SinkKind.FILE)
    async with forwarding(bench, tmp_path):
        size = len(entries_of(bench.store))
        await until(lambda: confirmed(bench) == size)
        add_sink(bench.store, SinkKind.FILE, added_ms=2)
        await until(lambda: confirmed(bench) == size)
    sequence = [e["metadata"]["sequence"] for e in lines(tmp_path)]
    assert sequence == [*range(size), *range(size)]


async def test_a_sink_that_is_down_holds_up_no_other(bench, tmp_path):
    fill(bench.store, 2)
    add_sink(bench.store, SinkKind.WEBHOOK, "http://127.0.0.1:9", name="down")
    add_sink(bench.store, SinkKind.FILE)
    async with forwarding(bench, tmp_path):
        await until(lambda: confirmed(bench) == len(entries_of(bench.store)))
        await until(lambda: sink_of(bench.store, "down").failures >= 1)
    down = sink_of(bench.store, "down")
    assert down.confirmed == 0
    assert "ConnectionError" in down.error
    assert down.failing_ms


async def test_a_sink_that_never_answers_is_removed_at_once_and_holds_no_end_up(bench, tmp_path):
    fill(bench.store, 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}"
        add_sink(bench.store, SinkKind.WEBHOOK, address)
        forwarder = Forwarder(bench.store, "plant", tmp_path)
        await forwarder.start()
        await until(lambda: forwarder.sinks.get("siem") and forwarder.sinks["siem"].process)
        mute.settimeout(30)
        connection, _ = await asyncio.to_thread(mute.accept)  # the batch is under way
        pid = forwarder.sinks["siem"].process.pid
        with bench.store.writing() as tx:
            tx.sinks.remove("siem")
        await until(lambda: not Path(f"/proc/{pid}").exists())
        await forwarder.stop()
        connection.close()
    assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("sink")]
