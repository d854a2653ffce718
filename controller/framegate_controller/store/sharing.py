"""What controllers of one store share, by the kind of their store: in memory where there is one
controller, in the database where there may be several.
"""

from __future__ import annotations

from dataclasses import dataclass

from framegate_controller.store.database import Database
from framegate_controller.store.engines import SqliteEngines
from framegate_controller.store.shared.ceremonies import (
    MAX_CEREMONIES,
    MAX_FLOWS,
    InMemoryWaiting,
    OpenCeremony,
    OpenFlow,
    Waiting,
)
from framegate_controller.store.shared.duties import NoPeers, Peers
from framegate_controller.store.shared.limits import InMemorySignInLimits, SignInLimits
from framegate_controller.store.shared.quotas import (
    BeginQuota,
    DeviceQuota,
    InMemoryBeginQuota,
    InMemoryDeviceQuota,
    MachineRates,
)
from framegate_controller.store.shared.spent import InMemorySpentSessions, SpentSessions
from framegate_controller.store.shared.tries import InMemoryTicketTries, TicketTries


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """The other controllers; limits on guessing; shares of verifiers' time; challenges and sign-ins
    that wait.
    """

    peers: Peers
    sign_in: SignInLimits
    tickets: TicketTries
    begins: BeginQuota
    devices: DeviceQuota
    spent: SpentSessions
    ceremonies: Waiting[OpenCeremony]
    flows: Waiting[OpenFlow]


def sharing_of(database: Database, name: str, rates: MachineRates) -> Sharing:
    """What the controller `name` shares with the others of this registry; `rates` are what each
    machine may ask of them together.
    """
    if isinstance(database.engines, SqliteEngines):
        return Sharing(
            peers=NoPeers(),
            sign_in=InMemorySignInLimits(),
            tickets=InMemoryTicketTries(),
            begins=InMemoryBeginQuota(),
            devices=InMemoryDeviceQuota(rates),
            spent=InMemorySpentSessions(),
            ceremonies=InMemoryWaiting(MAX_CEREMONIES),
            flows=InMemoryWaiting(MAX_FLOWS),
        )
    # psycopg is there where it is used: the extra `postgres`
    from framegate_controller.store import postgres_limits as limits  # noqa: PLC0415
    from framegate_controller.store.postgres import PostgresEngines  # noqa: PLC0415
    from framegate_controller.store.postgres_peers import PostgresPeers  # noqa: PLC0415
    from framegate_controller.store.postgres_quotas import (  # noqa: PLC0415
        PostgresBeginQuota,
        PostgresDeviceQuota,
        Shares,
    )

    engines = database.engines
    assert isinstance(engines, PostgresEngines)  # noqa: S101 - there are two kinds
    shares = Shares(engines)
    return Sharing(
        peers=PostgresPeers(engines, name, database.learn),
        sign_in=limits.PostgresSignInLimits(engines),
        tickets=limits.PostgresTicketTries(engines),
        begins=PostgresBeginQuota(shares),
        devices=PostgresDeviceQuota(shares, rates),
        spent=limits.PostgresSpentSessions(engines),
        ceremonies=limits.PostgresWaiting(engines, OpenCeremony, MAX_CEREMONIES),
        flows=limits.PostgresWaiting(engines, OpenFlow, MAX_FLOWS),
    )
