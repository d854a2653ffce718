"""What a machine booted: each event that its TPM vouched for, and what of its profile knows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from framegate.errors import Failure
from framegate.eventlog import parse_boot_log
from framegate.eventlog.describe import describe_event
from framegate.eventlog.parse import BootLog
from framegate.evidence.boot_events import JudgedEvent, Known, absent_events, judged_events
from framegate.profile.model import FirmwareProfile, parse_profile
from framegate_console.visit import Visit
from framegate_proto.v1 import framegate_pb2 as pb

SHOWN: Final = 1_000
"""Events of one log on a page: the busiest real one seen has some 200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootRow:
    """An event as people read it. `known` says what knows it, `by` the profile's rule; `digest` is
    in hex. The description comes from data that need not be hashed: nothing is decided on it.
    """

    number: int
    pcr: str
    type_name: str
    digest: str
    description: str
    known: Known
    by: str
    failure: Failure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BootView:
    """A log beside a profile; `absent` is what the profile demands and no event is."""

    rows: Sequence[BootRow]
    unknown: int
    more: int
    absent: Sequence[Failure]


async def show(visit: Visit) -> Response:
    """The boot log of a machine's last evidence that verified, by the profile in force for it."""
    request = pb.DeviceRequest(device=visit.path("device"))
    seen = await visit.calls.operator("Observe", request)
    reply = await visit.calls.operator("ShowProfile", pb.ProfileRequest(name=seen.profile))
    view = boot_view(parse_boot_log(seen.boot_log), parse_profile(reply.toml))
    return visit.show("boot.html", title="boot.title", seen=seen, profile=reply.row, view=view)


def boot_view(log: BootLog, profile: FirmwareProfile) -> BootView:
    """Those that nothing knows first, then all in the order in which they were measured."""
    judged = list(judged_events(log, profile))
    met = {j.by for j in judged if j.by}
    unknown = [j for j in judged if j.failure is not None]
    others = [j for j in judged if j.failure is None]
    shown = [*unknown, *others][:SHOWN]
    column = log.column(profile.selection.bank)
    return BootView(
        rows=[_row(j, column) for j in shown],
        unknown=len(unknown),
        more=len(judged) - len(shown),
        absent=absent_events(profile, met),
    )


def _row(judged: JudgedEvent, column: int) -> BootRow:
    event = judged.event
    measured = judged.known is not Known.UNMEASURED
    return BootRow(
        number=event.number,
        pcr=str(event.pcr) if measured else "",
        type_name=event.type_name,
        digest=event.digests[column].hex() if measured else "",
        description=describe_event(event),
        known=judged.known,
        by=judged.by,
        failure=judged.failure,
    )
