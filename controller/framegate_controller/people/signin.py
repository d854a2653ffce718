"""Sign-in: a person's factors become a session.

Its certificate is for a key made on that person's machine and lives at most a shift. Whatever is
wrong, a stranger hears the same sentence and waits the same time: nobody learns here who exists or
which factor was wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from framegate.access.caller import OPERATOR_PREFIX
from framegate.access.questions import address_text
from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.identity.certificates import request_key
from framegate.record.event import Event
from framegate.record.people_events import BreakGlassSealed, OperatorEnrolled, SignInFailed
from framegate.registry.operator import Operator
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.context import Fleet
from framegate_controller.people.factors import (
    FactorKey,
    hash_password,
    new_code,
    new_recovery_codes,
    new_totp,
    right_password,
    same_code,
    totp_step,
    totp_uri,
    use_second_factor,
)
from framegate_controller.people.operators import FOUNDER_ROLES, NewOperator, add_operator
from framegate_controller.people.security_keys import CounterFell, KeyCeremony, SecurityKeys
from framegate_controller.people.sessions import SEALED, Opening, SignedIn, open_session, shown
from framegate_controller.people.visits import VISIT, Visit, open_visit
from framegate_controller.store.ports import Store, Transaction
from framegate_controller.store.shared.ceremonies import OpenCeremony, Waiting
from framegate_controller.store.shared.failures import (
    CountedFailure,
    FailureFold,
    FailureKind,
    InMemoryFailures,
)
from framegate_controller.store.shared.limits import SignInLimits, Try
from framegate_host.prefixes import prefix_of

if TYPE_CHECKING:
    from framegate_controller.people.oidc import OidcProvider

BREAK_GLASS_LIFE_MS: Final = 3_600_000
"""A sealed credential opens for an hour: long enough to put things right, and an exception."""
STRANGER: Final = "stranger"
"""Who fails to sign in under a name that nobody has."""
_PROVIDER: Final = "provider"
"""What failed where a provider vouches for nobody of this fleet."""
_SEALED: Final = "break-glass"
"""The setting that holds a sealed credential's hash."""
_Proof = Callable[[Transaction, Operator], Operator | None]
"""Spends factors: the operator after that, None where they are wrong."""


class SignIn:
    """Turns factors into sessions. `restore` before the first one."""

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        limits: SignInLimits,
        ceremonies: Waiting[OpenCeremony],
        oidc: OidcProvider | None = None,
        failures: FailureFold | None = None,
        consoles: Collection[str] = (),
    ) -> None:
        self.fleet, self.limits, self.oidc = fleet, limits, oidc
        self.failures: FailureFold = failures or InMemoryFailures()
        self.factor_key = FactorKey(fleet.keys.factor_key)
        self.security_keys = SecurityKeys(fleet.name, fleet.keys.factor_key, ceremonies, consoles)
        self._store = store

    def restore(self) -> None:
        """Know the addresses from which people signed in before this process began."""
        with self._store.reading() as tx:
            for operator, address in tx.people.addresses():
                self.limits.know(operator, address)

    def password(
        self, operator: str, password: str, code: str, csr: bytes, source: str
    ) -> SignedIn:
        """A session for password and second factor.

        That is TOTP, each step once, or a recovery code, each once. Raises Malformed, Refused
        (SIGN_IN, LOCKED).
        """
        key = request_key(csr)
        tried = self.limits.begin(operator, source, self.fleet.clock())
        with self._store.reading() as tx:
            candidate = tx.people.get(operator)
        known = candidate is not None and candidate.enabled and not candidate.factors.enrolment
        stored = candidate.factors.password if candidate is not None and known else ""
        right = right_password(stored, password)  # no transaction waits; costs the same for nobody

        def prove(tx: Transaction, person: Operator) -> Operator | None:
            if not right or person.factors.password != stored:
                return None
            return use_second_factor(person, self.factor_key, code, tx.now_ms)

        return self._proved(tried, Opening(key=key, method="password", source=source), prove)

    def break_glass(self, operator: str, code: str, csr: bytes, source: str) -> SignedIn:
        """A session of an hour for a sealed credential, which is spent.

        Admin and security, quorum one, and everybody is told. Raises Malformed, Refused.
        """
        opening = Opening(
            key=request_key(csr), method=SEALED, source=source, life_ms=BREAK_GLASS_LIFE_MS
        )
        tried = self.limits.begin(operator, source, self.fleet.clock())

        def prove(tx: Transaction, person: Operator) -> Operator | None:
            if not same_code(tx.settings.get(_SEALED) or "", code):
                return None
            tx.settings.remove(_SEALED)
            return person

        return self._proved(tried, opening, prove)

    def key_begin(self, operator: str) -> KeyCeremony:
        """Ask for a signature by one of the operator's keys; names nobody has are asked too."""
        with self._store.reading() as tx:
            return self.security_keys.ask(tx, operator)

    def key_complete(self, state: bytes, response: str, csr: bytes, source: str) -> SignedIn:
        """A session for a security key that verified its user, PIN or finger: two factors in one.

        Raises Malformed, Refused.
        """
        opening = Opening(key=request_key(csr), method="security-key", source=source)
        whose = self.security_keys.whose(state)
        tried = self.limits.begin(whose, source, self.fleet.clock())

        def prove(tx: Transaction, person: Operator) -> Operator | None:
            self.security_keys.answered(tx, state, response)
            return person

        return self._proved(tried, opening, prove)

    def oidc_complete(self, state: bytes, answer: str, csr: bytes, source: str) -> SignedIn | None:
        """A session for what the provider says of the person; None while it is still asked.

        A person whom the provider saw long ago has shown no fresh factor. Raises Malformed,
        Refused, Unavailable.
        """
        key = request_key(csr)
        if self.oidc is None:
            hint = "framegate-controller run --oidc-issuer URL --oidc-client-id ID"
            raise Refused.of(Reason.SIGN_IN, "a provider that this controller knows", "none", hint)
        seen = self.oidc.complete(state, answer, source, self.fleet.clock())
        if seen is None:
            return None
        subject = seen.subject
        with self._store.writing() as tx:
            person = tx.people.by_subject(self.oidc.issuer, subject)
            if person is not None and person.enabled:
                opening = Opening(key=key, method="oidc", source=source, factor_ms=seen.at_ms)
                return open_session(tx, self.fleet, person, opening)
        if self.failures.add(_kind(_PROVIDER, STRANGER, source), self.fleet.clock()):
            with self._store.writing() as tx:
                told = SignInFailed(source=address_text(source), subject=subject[:100])
                tx.record(told, by=STRANGER)
        raise Refused.of(
            Reason.SIGN_IN,
            "an operator of this fleet",
            "somebody the provider knows and this fleet does not",
            f"an admin: framegate operator add NAME --oidc-subject {subject[:100]}",
        )

    def visit(self, chain: Sequence[bytes], csr: bytes, source: str) -> SignedIn:
        """A session for a person of another site (`open_visit`).

        Raises Malformed, Refused (SIGN_IN): whatever is wrong, a stranger hears the same sentence.
        """
        visit = Visit(chain=chain, key=request_key(csr), source=source)
        try:
            with self._store.writing() as tx:
                return open_visit(tx, self.fleet, visit)
        except (Malformed, Refused) as error:
            if error.reason == Reason.CONFLICT:
                raise
            why = str(error.failures[0])[:100]
        if self.failures.add(_kind(VISIT, STRANGER, source), self.fleet.clock()):
            with self._store.writing() as tx:
                told = SignInFailed(what=VISIT, source=address_text(source), subject=why)
                tx.record(told, by=STRANGER)
        raise Refused.of(
            Reason.SIGN_IN,
            "somebody of a site that counts here, whom this fleet maps to an operator",
            "somebody else",
            "an admin: framegate operator add NAME --of-site SITE --person THEIR-NAME",
        )

    def enrol_begin(self, operator: str, code: str, source: str) -> str:
        """A second factor for a person who holds an enrolment code: what their app scans.

        Raises Refused.
        """
        tried = self.limits.begin(operator, source, self.fleet.clock())
        with self._store.writing() as tx:
            person = _enrolling(tx, operator, code)
            if person is not None:
                self.limits.right(tried)
                secret = new_totp()
                sealed = self.factor_key.seal(secret, person.name)
                tx.people.put(replace(person, factors=replace(person.factors, totp=sealed)))
                return totp_uri(secret, person.name, self.fleet.name)
        raise self._wrong(tried, "enrolment")

    def enrol_complete(
        self, operator: str, code: str, password: str, totp: str, csr: bytes, source: str
    ) -> SignedIn:
        """Set password and second factor, which must give its first code now.

        Recovery codes are shown once. Raises Malformed, Refused.
        """
        key, hashed = request_key(csr), hash_password(password)
        tried = self.limits.begin(operator, source, self.fleet.clock())
        with self._store.writing() as tx:
            person = _enrolling(tx, operator, code)
            step = self._first_step(person, totp, tx.now_ms)
            if person is not None and step:
                codes, hashes = new_recovery_codes()
                factors = replace(
                    person.factors,
                    password=hashed,
                    totp_step=step,
                    recovery=hashes,
                    enrolment="",
                    enrolment_expires_ms=0,
                )
                told = OperatorEnrolled(source=address_text(source))
                tx.record(told, by=OPERATOR_PREFIX + person.name)
                opening = Opening(key=key, method="enrolment", source=source, recovery_codes=codes)
                self.limits.right(tried)
                return open_session(tx, self.fleet, replace(person, factors=factors), opening)
        raise self._wrong(tried, "enrolment")

    def prove_again(self, tx: Transaction, session: bytes, code: str, source: str) -> None:
        """The second factor once more, for verbs that ask for a fresh one. Raises Refused."""
        sign_in_session = tx.people.session(session)
        person = tx.people.get(sign_in_session.operator) if sign_in_session is not None else None
        spent = None
        if person is not None:
            spent = use_second_factor(person, self.factor_key, code, tx.now_ms)
        if sign_in_session is None or spent is None:
            expected = "a right second factor, each code once"
            hint = "wait for the next code of your authenticator"
            raise Refused.of(Reason.SIGN_IN, expected, "a wrong or used one", hint)
        tx.people.put(spent)
        shown(tx, sign_in_session, "second factor", source)

    def _first_step(self, person: Operator | None, totp: str, now_ms: int) -> int:
        if person is None or not person.factors.totp:
            return 0
        secret = self.factor_key.open(person.factors.totp, person.name)
        return totp_step(secret, totp.strip(), 0, now_ms)

    def _proved(self, tried: Try, opening: Opening, prove: _Proof) -> SignedIn:
        """The session of a try that was counted before this. Raises Refused where it was wrong."""
        suspicion: Event | None = None
        try:
            with self._store.writing() as tx:
                person = tx.people.get(tried.operator)
                proved = prove(tx, person) if person is not None and person.enabled else None
                if proved is not None:
                    signed_in = open_session(tx, self.fleet, proved, opening)
                    self.limits.good(tried)
                    return signed_in
        except FramegateError as error:
            if error.reason != Reason.SIGN_IN:
                raise
            suspicion = error.event if isinstance(error, CounterFell) else None
        raise self._wrong(tried, "sign-in", suspicion)

    def _wrong(self, tried: Try, what: str, suspicion: Event | None = None) -> Refused:
        """Record it, and say what everybody hears; it is counted already. Of what one network gets
        wrong time and again the record has a count a minute (N138); a suspicion is told each time.
        """
        operator, source = tried.operator, tried.address
        with self._store.reading() as tx:
            known = tx.people.get(operator) is not None
        by = OPERATOR_PREFIX + operator if known else STRANGER
        first = self.failures.add(_kind(what, by, source), self.fleet.clock())
        if first or suspicion is not None:
            claimed = None if known else operator
            told = SignInFailed(what=what, source=address_text(source), claimed=claimed)
            with self._store.writing() as tx:
                if first:
                    tx.record(told, by=by)
                if suspicion is not None:
                    tx.record(suspicion, by=OPERATOR_PREFIX + operator)
        return Refused.of(
            Reason.SIGN_IN,
            "an operator's name, password and second factor that belong together, each code once",
            "others",
            "framegate login NAME; a lost factor: framegate operator reset-mfa NAME, by an admin",
        )


def record_counted(tx: Transaction, counted: Sequence[CountedFailure]) -> None:
    """Record failures that were folded."""
    for each in counted:
        kind = each.kind
        told = SignInFailed(what=kind.what, source=kind.prefix, count=each.count)
        tx.record(told, by=kind.whom or STRANGER)


def _kind(what: str, by: str, source: str) -> FailureKind:
    return FailureKind(what, by, prefix_of(source))


def seal_break_glass(tx: Transaction, *, by: str = "") -> str:
    """A new sealed credential in the place of the old; the code, which can never be told again."""
    code, hashed = new_code()
    tx.settings.put(_SEALED, hashed)
    tx.record(BreakGlassSealed(), by=by)
    return code


def withdraw_break_glass(tx: Transaction) -> bool:
    """Forget the sealed credential; whether there was one."""
    sealed = tx.settings.get(_SEALED) is not None
    tx.settings.remove(_SEALED)
    return sealed


def found_operator(
    tx: Transaction, keys: FleetKeys, name: str, password: str
) -> tuple[str, list[str]]:
    """The first operator of a new fleet, made on the controller's host.

    (What the authenticator scans, recovery codes.) Raises Malformed, Refused.
    """
    new = NewOperator(name=name, remark="the first operator", roles=FOUNDER_ROLES, vouched=True)
    person, _ = add_operator(tx, new, by="host")
    secret = new_totp()
    codes, hashes = new_recovery_codes()
    factors = replace(
        person.factors,
        password=hash_password(password),
        totp=FactorKey(keys.factor_key).seal(secret, name),
        recovery=hashes,
        enrolment="",
        enrolment_expires_ms=0,
    )
    tx.people.put(replace(person, factors=factors, setup_admin=True))
    return totp_uri(secret, name, keys.fleet), list(codes)


def _enrolling(tx: Transaction, operator: str, code: str) -> Operator | None:
    person = tx.people.get(operator)
    if person is None or not person.enabled:
        return None
    late = person.factors.enrolment_expires_ms <= tx.now_ms
    return None if late or not same_code(person.factors.enrolment, code) else person
