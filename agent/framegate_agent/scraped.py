"""An agent's metrics and health, for whoever scrapes them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from framegate_agent.camera.stream import CameraStream
from framegate_agent.progress import Progress
from framegate_agent.settings import AgentSettings


def scraped(
    settings: AgentSettings, progress: Callable[[], Progress], streams: Sequence[CameraStream]
) -> contextlib.AbstractAsyncContextManager[object]:
    """Serve them meanwhile, where that is asked for: an agent that is not scraped does not wait for
    what writes metrics to load.
    """
    if not settings.metrics:
        return contextlib.nullcontext()
    from framegate_agent.metrics import AgentMetrics  # noqa: PLC0415 - see above
    from framegate_host.telemetry.listener import Watched, watching  # noqa: PLC0415 - see above

    shown = AgentMetrics(progress=progress, streams=streams)
    watched = Watched("agent", shown.exposition, shown.checks, shown.read)
    return watching(settings.metrics, settings.metrics_tls, watched)
