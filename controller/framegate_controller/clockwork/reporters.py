"""Gateways and lines that report nothing for too long: that itself is told, once."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from framegate.identity.names import Kind
from framegate.machines.lifecycle import State
from framegate.record.site_events import ReportWithheld
from framegate.registry.model import ReporterSeen
from framegate.signed.report import EVERY_MS
from framegate_controller.events.notices import Notice
from framegate_controller.record.reports import is_gateway
from framegate_controller.store.ports import CONTROLLER, Store, Transaction

SILENT_MS: Final = 3 * EVERY_MS
"""Three reports that were due: one may be on its way, one may have met a broker that restarts."""


class ReportWatch:
    """Looks who is silent. What was missed while no controller ran is nobody's silence."""

    def __init__(self, store: Store) -> None:
        self._store, self._since_ms = store, 0

    def look(self) -> tuple[Notice, ...]:
        """Tell of each reporter that is due and silent; a gateway's host that stands, of which no
        report ever came, is waited for from now on.
        """
        with self._store.reading() as tx:
            self._since_ms = self._since_ms or tx.now_ms
            if not self._silent(tx) and not _unheard(tx):
                return ()
        with self._store.writing() as tx:
            for name in _unheard(tx):
                tx.reports.put_seen(ReporterSeen(reporter=name, heard_ms=tx.now_ms, silent=False))
            for seen in self._silent(tx):
                told = ReportWithheld(
                    device=seen.reporter, silent_s=(tx.now_ms - seen.heard_ms) // 1000
                )
                tx.record(told, by=CONTROLLER)
                tx.reports.put_seen(replace(seen, silent=True))
        return ()

    def _silent(self, tx: Transaction) -> list[ReporterSeen]:
        return [
            seen
            for seen in tx.reports.reporters()
            if not seen.silent
            and tx.now_ms - max(seen.heard_ms, self._since_ms) > SILENT_MS
            and (not is_gateway(seen.reporter) or _stands(tx, seen.reporter))
        ]


def _stands(tx: Transaction, host: str) -> bool:
    """Whether reports of this host are due: it is trusted, vouches for a gateway process, and is
    not being worked on.
    """
    device = tx.devices.get(host)
    return (
        device is not None
        and device.state == State.TRUSTED
        and not device.serviced(tx.now_ms)
        and bool(tx.gateways.of_host(host))
    )


def _unheard(tx: Transaction) -> list[str]:
    known = {seen.reporter for seen in tx.reports.reporters()}
    hosts = tx.devices.ids(kind=Kind.GATEWAY.value, states=(State.TRUSTED,))
    return [str(h) for h in hosts if str(h) not in known and _stands(tx, str(h))]
