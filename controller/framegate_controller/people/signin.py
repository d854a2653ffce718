"""Sign-in: a person's factors become a session, whose certificate is for a key made on that person's machine and lives at most a shift.

Whatever is wrong, a stranger hears the same sentence and waits the same time: nobody learns here who exists or which factor was wrong.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

from cryptography import x509
from sqlalchemy import select
from sqlalchemy.orm import Session

from framegate.access.questions import address_text
from framegate.errors import FramegateError, Reason, Refused
from framegate.identity.certificates import from_ms, request_key, spki_of
from framegate.record.entry import Act
from framegate.wire import sha256
from framegate_controller.ca.issuance import issue_operator
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.people.factors import FactorKey, hash_password, new_code, new_recovery_codes, new_totp, right_password, same_code, totp_step, totp_uri, use_second_factor
from framegate_controller.people.limits import SignInLimits
from framegate_controller.people.oidc import OidcProvider, authenticated_ms
from framegate_controller.people.operators import SESSION_LIFE_MS, after_first_sign_in, notices, roles_now
from framegate_controller.people.security_keys import KeyCeremony, SecurityKeys
from framegate_controller.store.database import Database
from framegate_controller.store.registry import acting, raise_revision, record
from framegate_controller.store.tables import AccessRequest, OperatorRow, OperatorSession, Setting

T = TypeVar("T")
BREAK_GLASS_LIFE_MS: Final = 3_600_000
"""A sealed credential opens for an hour: long enough to put things right, short enough to be an exception."""
BREAK_GLASS_REVIEW_MS: Final = 10 * 365 * 86_400_000
"""Its use is told until somebody has looked into it."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session: the certificate for the person's key, the roles of this moment, and what they should know."""

    operator: str
    certificate: x509.Certificate
    roles: tuple[str, ...]
    expires_ms: int
    notices: tuple[str, ...]
    recovery_codes: tuple[str, ...] = ()


class SignIn:
    """Turns factors into sessions. `clock` gives milliseconds since the epoch."""

    def __init__(self, database: Database, keys: FleetKeys, clock: Callable[[], int], oidc: OidcProvider | None = None) -> None:
        self.database, self.keys, self.clock, self.oidc = database, keys, clock, oidc
        self.limits = SignInLimits()
        self.factor_key = FactorKey(keys.factor_key)
        self.security_keys = SecurityKeys(keys.fleet, keys.factor_key)
        with database.transaction() as session:
            for name, source in session.execute(select(OperatorSession.operator, OperatorSession.source).distinct()).all():
                self.limits.know(name, source)

    def password(self, operator: str, password: str, code: str, csr: bytes, source: str) -> SignedIn:
        """A session for password and second factor (TOTP, each step once, or a recovery code, each once). Raises Malformed, Refused (SIGN_IN, LOCKED)."""
        request_key(csr)
        self.limits.check(operator, source, self.clock())
        with self.database.transaction() as session:
            held = session.get(OperatorRow, operator)
            stored = held.password if held is not None and held.enabled and not held.enrolment else ""
        right = right_password(stored, password)  # outside of the store's one write transaction, and it costs the same for nobody

        def prove(session: Session, row: OperatorRow | None) -> str:
            same = right and row is not None and row.password == stored
            return (use_second_factor(row, self.factor_key, code, self.clock()) if same and row is not None else "") and "password"

        return self._proved(operator, source, csr, prove)

    def break_glass(self, operator: str, code: str, csr: bytes, source: str) -> SignedIn:
        """A session of an hour for a sealed credential, which is spent: admin and security, quorum one, and everybody is told."""
        request_key(csr)

        def prove(session: Session, row: OperatorRow | None) -> str:
            held = session.get(Setting, "break-glass")
            if row is None or held is None or not same_code(held.value, code):
                return ""
            session.delete(held)
            return "break-glass"

        return self._proved(operator, source, csr, prove, life_ms=BREAK_GLASS_LIFE_MS)

    def key_begin(self, operator: str) -> KeyCeremony:
        """Ask for a signature by one of the operator's security keys; names that nobody has are asked for one too."""
        with self.database.transaction() as session:
            return self.security_keys.ask(session, operator, self.clock())

    def key_complete(self, state: bytes, response: str, csr: bytes, source: str) -> SignedIn:
        """A session for a security key that verified its user (PIN or finger): two factors in one. Raises Refused."""
        request_key(csr)
        operator = self.security_keys.whose(state)

        def prove(session: Session, row: OperatorRow | None) -> str:
            return "security-key" if row is not None and self.security_keys.answered(session, state, response, self.clock()) else ""

        return self._proved(operator, source, csr, prove)

    def oidc_complete(self, state: bytes, answer: str, csr: bytes, source: str) -> SignedIn | None:
        """A session for what the provider says of the person; None while it has not been asked to the end. Raises Refused, Unavailable."""
        key = request_key(csr)
        if self.oidc is None:
            raise Refused.of(Reason.SIGN_IN, "a provider that this controller knows", "none", "framegate-controller run --oidc-issuer URL --oidc-client-id ID")
        claims = self.oidc.complete(state, answer, self.clock())
        if claims is None:
            return None
        with self.database.transaction() as session:
            query = select(OperatorRow).where(OperatorRow.oidc_issuer == self.oidc.issuer, OperatorRow.oidc_subject == str(claims["sub"]))
            row = session.scalars(query).one_or_none()
            if row is not None and row.enabled:
                made = self._open(session, row, key, "oidc", source, SESSION_LIFE_MS)
                held = session.get(OperatorSession, sha256(spki_of(key)))
                if held is not None:  # a person whom the provider saw long ago has shown no fresh factor
                    held.factor_ms = authenticated_ms(claims, self.clock())
                return made
        with self.database.transaction() as session:
            record(session, self.clock(), "", "sign-in-failed", "stranger", f"the provider vouches for subject {str(claims['sub'])[:100]!a}, who is no operator here")
        hint = f"an admin: framegate operator add NAME --oidc-subject {str(claims['sub'])[:100]}"
        raise Refused.of(Reason.SIGN_IN, "an operator of this fleet", "somebody the provider knows and this fleet does not", hint)

    def enrol_begin(self, operator: str, code: str, source: str) -> str:
        """A second factor for a person who holds an enrolment code: what their authenticator app scans. Raises Refused."""
        self.limits.check(operator, source, self.clock())
        with self.database.transaction() as session:
            row = self._enrolling(session, operator, code)
            if row is not None:
                secret = new_totp()
                row.totp = self.factor_key.seal(secret, row.name)
                return totp_uri(secret, row.name, self.keys.fleet)
        raise self._wrong(operator, source, "enrolment")

    def enrol_complete(self, operator: str, code: str, password: str, totp: str, csr: bytes, source: str) -> SignedIn:
        """Set password and second factor, which must give its first code now; recovery codes are shown once. Raises Malformed, Refused."""
        key, now = request_key(csr), self.clock()
        self.limits.check(operator, source, now)
        hashed = hash_password(password)
        with self.database.transaction() as session:
            row = self._enrolling(session, operator, code)
            step = totp_step(self.factor_key.open(row.totp, row.name), totp.strip(), 0, now) if row is not None and row.totp else 0
            if row is not None and step:
                codes, row.recovery = new_recovery_codes()
                row.password, row.totp_step, row.enrolment, row.enrolment_expires_ms = hashed, step, "", 0
                record(session, now, "", "operator-enrolled", f"operator.{row.name}", f"from {address_text(source)}")
                return self._open(session, row, key, "enrolment", source, SESSION_LIFE_MS, tuple(codes))
        raise self._wrong(operator, source, "enrolment")

    def prove_again(self, session: Session, spki_sha256: bytes, code: str, source: str) -> None:
        """The second factor once more, for verbs that ask for a fresh one. Raises Refused."""
        held = session.get(OperatorSession, spki_sha256)
        row = session.get(OperatorRow, held.operator) if held is not None else None
        if held is None or row is None or not use_second_factor(row, self.factor_key, code, self.clock()):
            raise Refused.of(Reason.SIGN_IN, "a right second factor, each code once", "a wrong or used one", "wait for the next code of your authenticator")
        self.shown(session, held, "second factor", source)

    def shown(self, session: Session, held: OperatorSession, what: str, source: str) -> None:
        """A fresh factor counts from now."""
        held.factor_ms = self.clock()
        raise_revision(session)
        record(session, held.factor_ms, "", "factor-shown", f"operator.{held.operator}", f"{what} from {address_text(source)}")

    def _proved(self, operator: str, source: str, csr: bytes, prove: Callable[[Session, OperatorRow | None], str], life_ms: int = SESSION_LIFE_MS) -> SignedIn:
        now = self.clock()
        self.limits.check(operator, source, now)
        try:
            with self.database.transaction() as session:
                row = session.get(OperatorRow, operator)
                method = prove(session, row if row is not None and row.enabled else None)
                if method and row is not None:
                    made = self._open(session, row, request_key(csr), method, source, life_ms)
                    self.limits.good(operator, source, now)
                    return made
        except FramegateError as error:
            if error.reason != Reason.SIGN_IN:
                raise
        raise self._wrong(operator, source, "sign-in")

    def _wrong(self, operator: str, source: str, what: str) -> Refused:
        """Count it, record it, and say what everybody hears."""
        now = self.clock()
        self.limits.failed(operator, source, now)
        with self.database.transaction() as session:
            known = session.get(OperatorRow, operator) is not None
            words = f"{what} from {address_text(source)}" + ("" if known else f" as {operator[:63]!a}")
            record(session, now, "", "sign-in-failed", f"operator.{operator}" if known else "stranger", words)
        expected = "an operator's name, password and second factor that belong together, each code once"
        return Refused.of(Reason.SIGN_IN, expected, "others", "framegate login NAME; a lost factor: framegate operator reset-mfa NAME, by an admin")

    def _enrolling(self, session: Session, operator: str, code: str) -> OperatorRow | None:
        row = session.get(OperatorRow, operator)
        if row is None or not row.enabled or row.enrolment_expires_ms <= self.clock() or not same_code(row.enrolment, code):
            return None
        return row

    def _open(self, session: Session, row: OperatorRow, key: Any, method: str, source: str, life_ms: int, codes: tuple[str, ...] = ()) -> SignedIn:
        now = self.clock()
        spki = sha256(spki_of(key))
        if session.get(OperatorSession, spki) is not None:
            raise Refused.of(Reason.CONFLICT, "a key made for this sign-in", "one that was used before", "sign in again; the command makes a new key")
        certificate = issue_operator(self.keys, row.name, key, timedelta(milliseconds=life_ms), from_ms(now))
        broken = secrets.token_hex(4) if method == "break-glass" else ""
        session.add(OperatorSession(spki_sha256=spki, operator=row.name, began_ms=now, expires_ms=now + life_ms, factor_ms=now, method=method, source=source, break_glass=broken))
        row.seen_ms = now
        acting(session, Act(actor=f"operator.{row.name}", source=address_text(source)))
        record(session, now, "", "break-glass-used" if broken else "signed-in", f"operator.{row.name}", f"{method} from {address_text(source)}")
        if broken:
            session.add(AccessRequest(
                id=broken, requester=row.name, verb="break-glass", zone="*", summary=f"{from_ms(now):%F %H:%M} UTC from {address_text(source)}", reason="sealed credential",
                state="pending", asked_ms=now, expires_ms=now + BREAK_GLASS_REVIEW_MS, approvals="[]",
            ))  # fmt: skip
        raise_revision(session)
        after_first_sign_in(session, now)
        roles = tuple(str(r) for r in roles_now(session, row, now, break_glass=bool(broken)))
        session.flush()
        return SignedIn(row.name, certificate, roles, now + life_ms, tuple(notices(session, now)), codes)


def seal_break_glass(session: Session, now_ms: int, actor: str) -> str:
    """A new sealed credential in the place of the old one; returns the code, which nobody can be told again."""
    code, hashed = new_code()
    session.merge(Setting(name="break-glass", value=hashed))
    record(session, now_ms, "", "break-glass-sealed", actor)
    return code


def found_operator(session: Session, keys: FleetKeys, name: str, password: str, now_ms: int) -> tuple[str, list[str]]:
    """The first operator of a new fleet, made on the controller's host; (what the authenticator scans, recovery codes)."""
    from framegate_controller.people.operators import FOUNDER_ROLES, add_operator

    add_operator(session, name=name, words="the first operator", roles=FOUNDER_ROLES, actor="host", now_ms=now_ms, vouched=True)
    session.flush()
    row = session.get(OperatorRow, name)
    assert row is not None  # noqa: S101 - added above
    secret = new_totp()
    codes, row.recovery = new_recovery_codes()
    row.password, row.totp, row.enrolment, row.enrolment_expires_ms, row.setup_admin = hash_password(password), FactorKey(keys.factor_key).seal(secret, name), "", 0, True
    return totp_uri(secret, name, keys.fleet), codes
