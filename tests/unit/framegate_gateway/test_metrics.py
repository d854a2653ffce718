"""What a gateway shows of itself, of which cameras, and when it is not ready."""

from types import SimpleNamespace

import pytest

from framegate.errors import Reason, Refused
from framegate_gateway.metrics import INSPECTION, GatewayMetrics
from framegate_gateway.ports.gateway_status import StatusReport
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.verdicts.journal import Journal
from framegate_host.telemetry.listener import Watched
from framegate_simulators.fixtures.frames import passed
from support.scrape import get, listening, promtool_is_pleased, series

CAM1 = "camera.line-1.cam1"
NOW = 1_790_000_000_000


@pytest.fixture
def metrics(tmp_path):
    receipts = ReceiptStore(tmp_path)
    view = SimpleNamespace(open=True, known={CAM1}, now_ms=lambda: NOW)
    view.knows = lambda device: device in view.known
    report = StatusReport(
        keys=SimpleNamespace(credentials=object(), refused=""),
        view=view,
        models=SimpleNamespace(barred=None),
        journal=Journal(),
        broker=SimpleNamespace(connected=True),
    )
    yield GatewayMetrics(report=report, receipts=receipts, vault_open=True)
    receipts.close()


async def shown(metrics, path="/metrics"):
    watched = Watched("gateway", metrics.exposition, metrics.checks, metrics.read)
    async with listening(watched) as at:
        return await get(at.port, path)


async def test_verdicts_reasons_and_how_long_they_took(metrics):
    journal = metrics.report.journal
    journal.took = metrics.exposition.timings(INSPECTION).took
    journal.add(passed(NOW, device=CAM1), b"", None)
    journal.took(0.03)
    journal.gap(CAM1, 3, NOW)
    journal.unanswered[Reason.FRAME_SESSION.value] += 2
    metrics.receipts.add_batch(1, 1, 1, b"p", b"e")
    _, page = await shown(metrics)
    told = series(page)
    assert told["framegate_gateway_verdicts_total", (("outcome", "PASS"),)] == 1
    assert told["framegate_gateway_verdicts_total", (("outcome", "UNINSPECTED"),)] == 3
    gaps = (("reason", Reason.FRAME_GAP.value),)
    assert told["framegate_gateway_uninspected_total", gaps] == 3
    unopened = (("reason", Reason.FRAME_SESSION.value),)
    assert told["framegate_gateway_unanswered_total", unopened] == 2
    assert told["framegate_gateway_inspection_duration_seconds_count", ()] == 1
    assert told["framegate_gateway_unlogged_batches", ()] == 1
    promtool_is_pleased(page)


async def test_n151_a_camera_has_a_series_only_while_the_feed_speaks_of_it(metrics):
    key = ("framegate_gateway_camera_frame_timestamp_seconds", (("camera", CAM1),))
    metrics.report.journal.add(passed(NOW, device=CAM1), b"", None)
    metrics.report.journal.add(passed(NOW, device="camera.line-1.stranger"), b"", None)
    _, page = await shown(metrics)
    assert series(page)[key] == NOW / 1000 and "stranger" not in page
    metrics.report.view.known.clear()
    assert key not in series((await shown(metrics))[1])


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("warrant", lambda r: setattr(r.keys, "credentials", None)),
        ("trust-feed", lambda r: setattr(r.view, "open", False)),
        ("broker", lambda r: setattr(r.broker, "connected", False)),
        (
            "model",
            lambda r: setattr(
                r.models, "barred", Refused.of(Reason.KNOWN_ANSWER, "an answer", "another")
            ),
        ),
    ],
)
async def test_ready_is_all_that_inspection_takes(metrics, check, change):
    assert (await shown(metrics, "/readyz"))[0] == 200
    change(metrics.report)
    status, page = await shown(metrics, "/readyz?verbose")
    assert status == 503 and f"[-]{check} failed" in page


async def test_a_receipt_store_that_failed_is_said(metrics):
    metrics.receipts.failed = "disk full"
    assert "[-]receipts failed: disk full" in (await shown(metrics, "/readyz?verbose"))[1]
