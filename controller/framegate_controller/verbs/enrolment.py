"""Tickets to join: for a new machine, or for another in a machine's place."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final, Self

from framegate.errors import Malformed, Reason
from framegate.identity.names import DeviceId, Kind, parse_name
from framegate.wire import TICKET_CODE_BYTES
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Transaction
from framegate_controller.timing import TICKET_LIFE_S
from framegate_controller.verbs.verb import MAX_REASON, Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

EK_BYTES: Final = 32
"""Of SHA-256 over the EK's SubjectPublicKeyInfo."""
MAX_TARGET: Final = 200
"""Characters of a target that nobody has checked yet."""


@dataclass(frozen=True, slots=True)
class GivenTicket:
    """A ticket as it is given out, once: the store keeps only the code's hash."""

    device: DeviceId
    code: bytes
    expires_ms: int
    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteDevice(Verb[GivenTicket]):
    """Register a machine and give out its ticket.

    With `replaces`, a ticket for another machine in its place.
    """

    kind: Kind
    zone: str
    name: str
    profile: str
    ek_sha256: bytes | None
    life_s: int
    replaces: bool
    why: str

    @classmethod
    def parse(cls, request: pb.InviteRequest) -> Self:
        """Raises Malformed (USAGE). Name and profile are checked where they are looked up."""
        if request.kind not in set(Kind):
            raise Malformed.of(Reason.USAGE, f"kind {' or '.join(Kind)}", ascii(request.kind[:40]))
        return cls(
            kind=Kind(request.kind),
            zone=parse_name(request.zone, "zone"),
            name=request.name,
            profile=request.profile,
            ek_sha256=_parse_ek(request.ek_sha256) if request.ek_sha256 else None,
            life_s=min(request.life_s or TICKET_LIFE_S, TICKET_LIFE_S),
            replaces=request.replace,
            why=request.reason[:MAX_REASON],
        )

    @property
    def reason(self) -> str:
        """See `Verb.reason`."""
        return self.why

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`.

        A replacement is asked of the zone in which the present machine stands.
        """
        present = tx.devices.named(self.name) if self.replaces else None
        zone = present.zone if present is not None else self.zone
        verb = "device.replace" if self.replaces else "device.invite"
        return Aim(verb, zone, f"{self.kind}.{zone}.{self.name}"[:MAX_TARGET])

    def run(self, tx: Transaction, call: Call) -> Outcome[GivenTicket]:
        """See `Verb.run`."""
        code = secrets.token_bytes(TICKET_CODE_BYTES)
        invitation = Invitation(
            kind=self.kind,
            zone=self.zone,
            name=self.name,
            profile=self.profile,
            code=code,
            life_s=self.life_s,
            ek_sha256=self.ek_sha256,
            replaces=self.replaces,
        )
        device = invite(tx, invitation)
        return Outcome(GivenTicket(device, code, tx.now_ms + self.life_s * 1000, tx.now_ms))


def _parse_ek(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError as error:
        raise Malformed.of(Reason.USAGE, "an EK hash in hexadecimal", ascii(text[:80])) from error
    if len(digest) != EK_BYTES:
        wanted, hint = "an EK hash of 64 hexadecimal digits", "framegate-agent ek prints it"
        raise Malformed.of(Reason.USAGE, wanted, len(digest) * 2, hint)
    return digest
