"""An enforcer that runs: rules in before anything else, then the feed, the log, and others'
changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Final

from framegate.errors import FramegateError
from framegate.segment.nft import LOG_GROUP, closed_rules
from framegate.segment.policy import Segment
from framegate.signed.report import SegmentReport
from framegate_host.certificate_end import tell_end
from framegate_host.logs import started
from framegate_host.private_files import private_folder
from framegate_host.report_store import ReportStore
from framegate_host.reporting import Reporter
from framegate_host.service_manager import NOBODY, ServiceManager
from framegate_host.watchdog import Promise, watched_over
from framegate_segment.admission.hostapd import HostapdPort
from framegate_segment.admission.ports import Admissions
from framegate_segment.admission.switch_state import SwitchState
from framegate_segment.credentials import EnforcerCredentials
from framegate_segment.delivery import deliver_reports, sign_reports
from framegate_segment.disconnect import Switch, disconnect, load_switch
from framegate_segment.drops import DropBook
from framegate_segment.enforcement.enforcer import Enforcer
from framegate_segment.enforcement.kernel import Kernel
from framegate_segment.feed import FeedFiles, FeedView, follow_feed
from framegate_segment.netlink.links import LinkEvents
from framegate_segment.netlink.namespace import Namespace
from framegate_segment.netlink.packet_log import PacketLog
from framegate_segment.settings import SegmentSettings
from framegate_segment.sightings import Sightings

log = logging.getLogger(__name__)
TICK_S: Final = 0.5
"""How often lives are looked at; the shortest is ten of these."""
KEPT_MOST_S: Final = 20.0
"""From one look to the next where the kernel takes as long as it may: longer is a standstill."""
DROPS: Final = "drops.jsonl"


class Server:
    """Puts the parts of an enforcer together. Raises Unavailable or Refused where the kernel's
    packet filter is not to be had.
    """

    def __init__(
        self,
        settings: SegmentSettings,
        credentials: EnforcerCredentials,
        manager: ServiceManager = NOBODY,
    ) -> None:
        private_folder(settings.state)
        self._settings, self._own, self._manager = settings, credentials, manager
        self.promise = Promise("enforcement")
        namespace = Namespace(settings.namespace)
        self.kernel = Kernel(namespace)
        self.enforcer = Enforcer(self.kernel)
        self._woken = asyncio.Event()
        self.enforcer.cut_begun = self._woken.set
        self.view = FeedView(credentials, FeedFiles(settings.state), self.enforcer)
        self._store = ReportStore(settings.state / "reports")
        self.reporter = Reporter(self._store, SegmentReport, lambda: time.time_ns() // 1_000_000)
        self.sightings = Sightings(self.reporter, lambda: self.enforcer.segment)
        self.drops = DropBook(
            settings.state / DROPS, self.enforcer, settings.kept_drops, lambda: self.view.heard
        )
        self.admissions, self._links = self._admitting(namespace)
        self._switch = load_switch(settings.disconnect, settings.disconnect_secret_file)
        self._asked: set[asyncio.Task[None]] = set()
        self._followed: Segment | None = None
        state = settings.switch_state
        self._switch_state = SwitchState(state) if state is not None else None
        self._log = PacketLog(LOG_GROUP, namespace)

    async def run(self) -> None:
        """Until cancelled, or something cannot be mended. Rules and elements stay when this ends:
        what stands then ends by its own life.
        """
        if self.view.restore():
            started.info("the last policy is enforced; nobody is renewed before the controller is")
        else:
            self.kernel.install(closed_rules())
            started.info("no policy so far: nothing passes")
        if not self.kernel.strict:
            log.warning("nf_conntrack_tcp_loose is not 0: a cut stream may be taken up again")
        loop = asyncio.get_running_loop()
        loop.add_reader(self.kernel.events.channel.socket, self._changed)
        loop.add_reader(self._log.channel.socket, self._logged)
        if self.admissions is not None and self._links is not None:
            loop.add_reader(self._links.socket, self._relinked)
        own, at, name = self._own, self._settings.controller, self._settings.server_name
        try:
            async with (
                watched_over(self._manager, lambda: (self.promise,)),
                asyncio.TaskGroup() as group,
            ):
                self._manager.ready(f"enforces zone {own.zone}")
                group.create_task(follow_feed(self.view, own, at, name))
                group.create_task(self._keep())
                group.create_task(tell_end(own.brought))
                group.create_task(sign_reports(self.reporter, own, self.drops))
                group.create_task(deliver_reports(self.reporter, own, at, name))
        finally:
            loop.remove_reader(self.kernel.events.channel.socket)
            loop.remove_reader(self._log.channel.socket)
            if self.admissions is not None and self._links is not None:
                loop.remove_reader(self._links.socket)
                self.admissions.close()
                self._links.close()
            self.drops.write()
            self._store.close()
            self._log.close()
            self.kernel.close()

    async def _keep(self) -> None:
        """Finish cuts as they come due, and renew lives while the controller is heard."""
        while True:
            self.promise.within(KEPT_MOST_S)
            due = self.enforcer.next_finish_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S if due is None else min(TICK_S, due)):
                    await self._woken.wait()
            self._woken.clear()
            if self._switch_state is not None:  # before a switch asks for whom it has just cut
                now = self.enforcer.standings
                for device in self._switch_state.update(self.enforcer.segment, now):
                    self._ask_switch(device)
            for cut in self.enforcer.finish():
                self.sightings.cut(cut)
                log.info("%s is cut (%s) in %.1f ms", cut.device, cut.why, cut.verified_ms)
                self._ask_switch(cut.device)
            if self.view.heard:
                self.enforcer.renew()
            self._admit()

    def _admitting(self, namespace: Namespace) -> tuple[Admissions | None, LinkEvents | None]:
        """(ports that 802.1X opens, events of links); none where no hostapd was named."""
        folder = self._settings.hostapd
        if folder is None:
            return None, None
        admissions = Admissions(
            folder, self._settings.state, self.kernel.bridge_sets, self.sightings.admission
        )
        admissions.opened, admissions.closed = self._opened, self._closed
        with namespace.entered():
            return admissions, LinkEvents()

    def _admit(self) -> None:
        """Look after the ports that 802.1X opens."""
        segment, admissions = self.enforcer.segment, self.admissions
        if segment is not self._followed:
            self._followed = segment
            if admissions is not None:
                admissions.follow(segment)
            elif segment is not None and any(z.dot1x for z in segment.zones.values()):
                log.error("ports with dot1x stay closed: no --hostapd was named")
        if admissions is not None:
            admissions.tick()

    def _opened(self, port: str, attached: HostapdPort) -> None:
        if self.admissions is not None:
            loop = asyncio.get_running_loop()
            loop.add_reader(attached.socket, self.admissions.read, port)

    def _closed(self, attached: HostapdPort) -> None:
        asyncio.get_running_loop().remove_reader(attached.socket)

    def _relinked(self) -> None:
        if self.admissions is not None and self._links is not None:
            states = self._links.read()
            self.admissions.links(states, lost=self._links.lost)
            self._links.lost = False

    def _ask_switch(self, device: str) -> None:
        """Have the switch end its session, beside everything else."""
        segment = self.enforcer.segment
        binding = segment.named(device) if segment is not None else None
        if self._switch is not None and binding is not None and binding.mac:
            task = asyncio.create_task(self._disconnect(self._switch, device, binding.mac))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)

    async def _disconnect(self, switch: Switch, device: str, mac: str) -> None:
        begun = time.monotonic()
        try:
            await disconnect(switch, mac)
        except FramegateError as error:
            log.error("%s: %s", device, error)
            self.sightings.switch_kept(device, str(error.failures[0].actual))
        else:
            took = (time.monotonic() - begun) * 1000
            log.info("the switch ended the session of %s in %.1f ms", device, took)

    def _changed(self) -> None:
        """Somebody else changed our tables: put them right, and say who it was."""
        changes = self.kernel.events.read()
        if not changes:
            return
        heard = time.monotonic()
        try:
            if self.enforcer.segment is not None:
                self.enforcer.enforce(self.enforcer.segment)
                if self.admissions is not None:
                    self.admissions.put_again()
            else:
                self.kernel.install(closed_rules())
        except FramegateError as error:
            log.error("foreign change, not put right: %s", error)
            return
        self.sightings.repaired(changes[0].by, (time.monotonic() - heard) * 1000)

    def _logged(self) -> None:
        for packet in self._log.read():
            self.sightings.packet(packet, self.drops.explain)
