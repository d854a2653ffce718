"""What a controller asks of its store: repositories of frozen values, gathered on a transaction.


Nothing above this room knows a database. A `Transaction` commits as a whole or not at all; its
values are frozen, so a change is a new value that is put back. Reads see the transaction's own
writes.
"""

from framegate_controller.store.ports.controllers import Controllers, KnownController
from framegate_controller.store.ports.decisions import (
    Decisions,
    KeptCosignature,
    WitnessStanding,
)
from framegate_controller.store.ports.inspection import Models, Parts, Receipts, Reports
from framegate_controller.store.ports.leases import Lease, Leases
from framegate_controller.store.ports.machines import (
    Census,
    Devices,
    EvidenceKept,
    GatewayProcesses,
    Masks,
    Profiles,
    Rollouts,
    SpentChallenges,
    Sweep,
    Swept,
    Tickets,
    TpmMakers,
)
from framegate_controller.store.ports.people import People, Policies, Requests, SettingsKept, Zones
from framegate_controller.store.ports.playbooks import Playbooks
from framegate_controller.store.ports.record import EntryQuery, LoggedEntry, RecordStore
from framegate_controller.store.ports.sinks import Sinks
from framegate_controller.store.ports.sites import SitesKept
from framegate_controller.store.ports.transaction import CONTROLLER, Moved, Store, Transaction

__all__ = [
    "CONTROLLER",
    "Census",
    "Controllers",
    "Decisions",
    "Devices",
    "EntryQuery",
    "EvidenceKept",
    "GatewayProcesses",
    "KeptCosignature",
    "KnownController",
    "Lease",
    "Leases",
    "LoggedEntry",
    "Masks",
    "Models",
    "Moved",
    "Parts",
    "People",
    "Playbooks",
    "Policies",
    "Profiles",
    "Receipts",
    "RecordStore",
    "Reports",
    "Requests",
    "Rollouts",
    "SettingsKept",
    "Sinks",
    "SitesKept",
    "SpentChallenges",
    "Store",
    "Sweep",
    "Swept",
    "Tickets",
    "TpmMakers",
    "Transaction",
    "WitnessStanding",
    "Zones",
]
