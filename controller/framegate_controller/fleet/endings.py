"""What ends by itself in a fleet, and nobody renews: certificates that people carry, what brokers
show, signatures on firmware profiles.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from framegate.errors import FramegateError, Reason
from framegate.findings.kinds import FindingKind
from framegate.identity.enforcer import PREFIX as ENFORCER
from framegate.record.fleet_events import CertificateHandedOut
from framegate.record.site_events import REPORT_KIND
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.files_that_end import OtherEnd
from framegate_controller.fleet.profiles import load_revision
from framegate_controller.store.ports import EntryQuery, Transaction

_DEPLOYED: Final = ("line.", f"{ENFORCER}.")
"""Of whom certificates are handed out by hand; a gateway gets a new one with every attestation."""
SAID: Final = timedelta(hours=26)
"""A day, and what a report may be late."""
MAX_TROUBLE: Final = 2_000
"""Entries of trouble with brokers that are looked through: of a day, each reporter's folded."""
_HANDED_OUT: Final = CertificateHandedOut.DECLARED.names[0]
HANDED_OUT: Final = timedelta(days=120)
"""What was handed out before has ended a month ago: it lives ninety days."""
MAX_HANDED_OUT: Final = 10_000
"""Entries of what was handed out that are looked through: a plant has some hundred lines."""


@dataclass(frozen=True, slots=True)
class DeployedEnd:
    """When the certificate of a line, a PLC's bridge, an enforcer or a server ends; `begins_ms` is
    0 where that is not known.
    """

    name: str
    ends_ms: int
    begins_ms: int = 0


@dataclass(frozen=True, slots=True)
class BrokerEnd:
    """What `reporter` said at `at_ms` of the certificate that its broker shows."""

    reporter: str
    said: str
    at_ms: int


def deployed_ends(tx: Transaction) -> Iterator[DeployedEnd]:
    """Of every line and enforcer that ever reported, by its last report: with that it signs. Of
    whoever reports nothing (bridges of PLCs, brokers, listeners, a line that never began) by what
    was handed out last.
    """
    reported = {one.name: one for one in _reported(tx)}
    yield from reported.values()
    yield from (one for one in _handed_out(tx) if one.name not in reported)


def _reported(tx: Transaction) -> Iterator[DeployedEnd]:
    """An entry that an earlier version took says nothing of it."""
    for seen in tx.reports.reporters():
        if seen.reporter.startswith(_DEPLOYED):
            asked = EntryQuery(device=seen.reporter, kind=REPORT_KIND)
            last = tx.log.entries(asked, first=0, below=tx.log.size(), most=1, newest_first=True)
            body = json.loads(last[0].entry) if last else {}
            if "certificate_ends_ms" in body:
                ends, begins = body["certificate_ends_ms"], body.get("certificate_begins_ms", 0)
                yield DeployedEnd(seen.reporter, int(ends), int(begins))


def _handed_out(tx: Transaction) -> Iterator[DeployedEnd]:
    """The last one of each name."""
    since_ms = tx.now_ms - int(HANDED_OUT.total_seconds() * 1000)
    asked = EntryQuery(event=_HANDED_OUT, since_ms=since_ms)
    told: set[str] = set()
    for entry in tx.log.entries(
        asked, first=0, below=tx.log.size(), most=MAX_HANDED_OUT, newest_first=True
    ):
        members = json.loads(entry.entry)["members"]
        name = str(members["subject"])
        if name not in told:
            told.add(name)
            yield DeployedEnd(name, int(members["ends_ms"]), int(members["begins_ms"]))


def broker_ends(tx: Transaction) -> Iterator[BrokerEnd]:
    """What each gateway and line said last of its broker's certificate, within `SAID`: they look
    once a day, and say nothing of one whose end is far.
    """
    since_ms = tx.now_ms - int(SAID.total_seconds() * 1000)
    asked = EntryQuery(event=FindingKind.BROKER_TROUBLE, since_ms=since_ms)
    told: set[str] = set()
    for entry in tx.log.entries(
        asked, first=0, below=tx.log.size(), most=MAX_TROUBLE, newest_first=True
    ):
        seen = json.loads(entry.entry)["members"]
        reporter = str(seen["reporter"])
        if seen.get("reason") == Reason.CERTIFICATE_ENDING and reporter not in told:
            told.add(reporter)
            yield BrokerEnd(reporter, str(seen.get("said", "")), int(seen["last_ms"]))


def profile_ends(tx: Transaction, keys: FleetKeys) -> Iterator[OtherEnd]:
    """Of the profiles in force that machines name: when the word of their signer ends, and with it
    the trust of all these machines.
    """
    for kept in tx.profiles.revisions():
        current = tx.profiles.in_force(kept.name)
        machines = tx.devices.count(kept.name)
        if current is None or current.revision != kept.revision or not machines:
            continue
        try:
            loaded = load_revision(tx, keys, kept.name, kept.revision)
        except FramegateError:
            continue  # it does not count: its machines are not trusted, and say why
        do = f"sign a next revision of it by a signer who lives longer: {machines} machines wait"
        name = f"the signature on profile {kept.name}, by {loaded.signer}"
        yield OtherEnd(name, loaded.since_ms, loaded.until_ms, do)
