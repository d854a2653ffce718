"""What an agent shows of itself, and when it is not ready."""

from collections import Counter
from dataclasses import dataclass, field

from framegate.errors import Failure, Reason
from framegate_agent.camera.tally import Tally
from framegate_agent.metrics import AgentMetrics
from framegate_agent.progress import Progress
from framegate_agent.state import AgentState
from framegate_host.telemetry.listener import Watched
from support.scrape import get, listening, promtool_is_pleased, series


@dataclass
class Stream:
    source_ended: bool = False
    lease: object = None
    captured: int = 7
    tally: Tally = field(default_factory=Tally)


def progress(state="trusted", life_s=60.0, behind=False, failures=()):
    known = AgentState("j", "f", "n", "", state=state)
    return Progress(known, life_s, 3, 1, failures, behind, 2)


async def shown(now, streams=(), path="/metrics"):
    metrics = AgentMetrics(progress=lambda: now, streams=streams)
    watched = Watched("agent", metrics.exposition, metrics.checks, metrics.read)
    async with listening(watched) as at:
        return await get(at.port, path)


async def test_states_streams_and_failures():
    streams = [Stream(), Stream(lease=object()), Stream(source_ended=True)]
    streams[0].tally.outcomes = Counter(PASS=4)
    failures = (Failure(Reason.STALE, "x", "y"),)
    _, page = await shown(progress("stale", failures=failures), streams)
    told = series(page)
    assert told["framegate_agent_state", (("state", "stale"),)] == 1
    assert told["framegate_agent_state", (("state", "trusted"),)] == 0
    assert told["framegate_agent_failures", (("reason", "stale"),)] == 1
    assert told["framegate_agent_frames_total", ()] == 21
    assert told["framegate_agent_verdicts_total", (("outcome", "PASS"),)] == 4
    standings = {k[1][0][1]: v for k, v in told.items() if k[0] == "framegate_agent_sources"}
    assert standings == {"streaming": 1, "waiting": 1, "ended": 1}
    promtool_is_pleased(page)


async def test_ready_is_trusted_with_a_certificate_and_a_controller_that_goes_on():
    assert await shown(progress(), path="/readyz") == (200, "ok\n")
    for now, check in (
        (progress("suspect"), "trusted failed: suspect"),
        (progress(life_s=0.0), "certificate failed"),
        (progress(behind=True), "controller failed"),
    ):
        status, page = await shown(now, path="/readyz?verbose")
        assert status == 503 and check in page
