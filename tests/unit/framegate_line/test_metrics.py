"""What a line adapter shows: what it did, who answers, and when it is not ready."""

from framegate_host.telemetry.listener import Watched
from framegate_line.metrics import LineMetrics
from framegate_line.reach import Reach
from support.line import CAM1, CAM2
from support.scrape import get, listening, promtool_is_pleased, series


async def shown(metrics, path="/metrics"):
    watched = Watched("line", metrics.exposition, metrics.checks, metrics.read)
    async with listening(watched) as at:
        return await get(at.port, path)


async def test_parts_reasons_and_peers(bench_line, tmp_path):
    reach = Reach(tmp_path / "reach")
    metrics = LineMetrics(adapter=bench_line.adapter, reach=reach, quota=1 << 30)
    status, page = await shown(metrics, "/readyz?verbose")
    assert status == 503 and "no broker was tried so far" in page
    for sequence in (1, 2):
        bench_line.trigger(sequence, at_ms=bench_line.now)
        for camera in (CAM1, CAM2):
            outcome = "PASS" if sequence == 1 else "UNINSPECTED"
            bench_line.adapter.verdict(bench_line.verdict(camera, sequence, outcome))
    bench_line.trigger(2, at_ms=bench_line.now)
    await bench_line.settled()
    bench_line.adapter.keeper.tell_fill()
    reach.heard("broker 127.0.0.1:8883")
    reach.heard("PLC 10.0.0.5:502")
    assert (await shown(metrics, "/readyz"))[0] == 200
    reach.lost("PLC 10.0.0.5:502", "no route")
    status, page = await shown(metrics, "/readyz?verbose")
    assert status == 503 and "[-]outputs failed: PLC 10.0.0.5:502: no route" in page
    _, page = await shown(metrics)
    told = series(page)
    assert told["framegate_line_parts_total", (("outcome", "PASS"),)] == 1
    assert told["framegate_line_parts_total", (("outcome", "UNINSPECTED"),)] == 1
    assert told["framegate_line_uninspected_total", (("reason", "stale"),)] == 1
    assert told["framegate_line_uninspected_in_a_row", ()] == 1
    assert told["framegate_line_triggers_repeated_total", ()] == 1
    assert told["framegate_line_peers", (("answers", "no"), ("peer", "plc"))] == 1
    assert told["framegate_line_ledger_bytes", ()] > 0
    promtool_is_pleased(page)
