"""Run the controller."""

from __future__ import annotations

import asyncio
import contextlib

from framegate_controller.commands.options import errors
from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings
from framegate_controller.store.running import running
from framegate_host.logs import start_logging, started
from framegate_host.one_processor import on_one_processor
from framegate_host.ready_file import write_ready
from framegate_host.rereading import Rereader
from framegate_host.service_manager import service_manager
from framegate_host.setting_flags import with_settings
from framegate_host.signals import run_service, until_stopped
from framegate_host.watchdog import watched_over


@with_settings(ControllerSettings)
def run(settings: ControllerSettings, reader: Rereader) -> None:
    """Run the controller: the join port and the fleet port."""
    start_logging(verbose=settings.verbose)
    with errors(), contextlib.suppress(KeyboardInterrupt):
        run_service(_serve(settings, reader))


async def _serve(settings: ControllerSettings, reader: Rereader) -> None:
    with running(settings.state):
        async with on_one_processor(wanted=not settings.all_processors):
            await _serve_on(settings, reader)


async def _serve_on(settings: ControllerSettings, reader: Rereader) -> None:
    controller = Controller(settings)
    await controller.start()
    join, fleet = controller.join_address, controller.fleet_address
    interval_s = settings.timing.interval_ms / 1000
    started.info("join port %s, fleet port %s, attest interval %g s", join, fleet, interval_s)
    if settings.ready_file is not None:
        write_ready(settings.ready_file, {"join": join, "fleet": fleet})
    manager = service_manager()
    async with watched_over(manager, lambda: controller.clockwork.promises):
        manager.ready(f"fleet {controller.fleet.name}: join port {join}, fleet port {fleet}")
        await until_stopped(asyncio.Event().wait(), manager=manager, reload=reader.read_again)
    await controller.stop()
