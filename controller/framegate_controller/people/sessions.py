"""Sessions of people: opened by what somebody proved, recorded, and as fresh as the last factor."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.access.caller import OPERATOR_PREFIX
from framegate.access.questions import address_text
from framegate.access.verbs import FLEET_WIDE
from framegate.errors import Reason, Refused
from framegate.identity.certificates import from_ms, spki_of
from framegate.machines.request import RequestKind
from framegate.record import people_events as said
from framegate.record.entry import Act
from framegate.registry.operator import Operator, OperatorSession
from framegate.registry.request import AccessRequest
from framegate.wire import sha256
from framegate_controller.ca.issue import issue_operator
from framegate_controller.context import Fleet
from framegate_controller.people.operators import (
    SESSION_LIFE_MS,
    after_first_sign_in,
    notices,
    roles_now,
)
from framegate_controller.store.ports import Transaction

SEALED: Final = "break-glass"
"""The method of a session that a sealed credential opened."""
REVIEW_MS: Final = 10 * 365 * 86_400_000
"""The use of a sealed credential is told until somebody has looked into it."""
_REVIEW_ID_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session: the certificate for the person's key, the roles of this moment, and notices."""

    operator: str
    certificate: x509.Certificate
    roles: tuple[str, ...]
    expires_ms: int
    notices: tuple[str, ...]
    recovery_codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A session to open: for which key, by what, from where, and how long.

    `factor_ms` is when the person showed a factor, None for now; `recovery_codes` are shown once.
    """

    key: ec.EllipticCurvePublicKey
    method: str
    source: str
    life_ms: int = SESSION_LIFE_MS
    factor_ms: int | None = None
    recovery_codes: tuple[str, ...] = ()


def open_session(tx: Transaction, fleet: Fleet, person: Operator, opening: Opening) -> SignedIn:
    """The session, recorded and told; `person` is as the factors that were spent left them.

    Raises Refused (CONFLICT) where the key has had a session.
    """
    name, source = person.name, address_text(opening.source)
    session = _session(tx, name, opening)
    life = timedelta(milliseconds=opening.life_ms)
    certificate = issue_operator(fleet.keys, name, opening.key, life, from_ms(tx.now_ms))
    tx.people.put_session(session)
    tx.people.put(replace(person, seen_ms=tx.now_ms))
    tx.act = Act(actor=OPERATOR_PREFIX + name, source=source)
    if session.break_glass:
        tx.record(said.BreakGlassUsed(source=source))
        tx.requests.put(_review(session, source))
    else:
        tx.record(said.SignedIn(method=opening.method, source=source))
    tx.raise_revision()
    after_first_sign_in(tx)
    signed_in = tx.people.find(name)  # set-up may have ended by this
    roles = roles_now(tx, signed_in, break_glass=bool(session.break_glass))
    return SignedIn(
        name,
        certificate,
        tuple(map(str, roles)),
        session.expires_ms,
        tuple(notices(tx)),
        opening.recovery_codes,
    )


def shown(tx: Transaction, session: OperatorSession, what: str, source: str) -> None:
    """A fresh factor counts from now."""
    tx.people.put_session(replace(session, factor_ms=tx.now_ms))
    tx.raise_revision()
    tx.record(said.FactorShown(factor=what, source=address_text(source)))


def _session(tx: Transaction, operator: str, opening: Opening) -> OperatorSession:
    spki = sha256(spki_of(opening.key))
    if tx.people.session(spki) is not None:
        expected, hint = "a key made for this sign-in", "sign in again; the command makes a new key"
        raise Refused.of(Reason.CONFLICT, expected, "one that was used before", hint)
    return OperatorSession(
        spki_sha256=spki,
        operator=operator,
        began_ms=tx.now_ms,
        expires_ms=tx.now_ms + opening.life_ms,
        factor_ms=tx.now_ms if opening.factor_ms is None else opening.factor_ms,
        method=opening.method,
        source=opening.source,
        break_glass=secrets.token_hex(_REVIEW_ID_BYTES) if opening.method == SEALED else "",
    )


def _review(session: OperatorSession, source: str) -> AccessRequest:
    """Somebody else is to look into it."""
    return AccessRequest(
        id=session.break_glass,
        kind=RequestKind.REVIEW,
        requester=session.operator,
        zone=FLEET_WIDE,
        summary=f"{from_ms(session.began_ms):%F %H:%M} UTC from {source}",
        reason="sealed credential",
        asked_ms=session.began_ms,
        expires_ms=session.began_ms + REVIEW_MS,
    )
