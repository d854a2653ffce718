"""Signing in with password and code."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import FramegateError, Reason
from framegate.identity.certificates import Purpose, from_ms, verify_certificate
from framegate_controller.people.oidc import Authenticated
from framegate_controller.people.operators import NewOperator, add_operator
from framegate_controller.people.signin import found_operator
from framegate_controller.store.shared.limits import ADDRESS_TRIES, NAME_TRIES, PAIR_TRIES
from framegate_simulators.fixtures.access import PASSWORD, add_person, certificate_request
from support.front_desk import ELSEWHERE, HERE
from support.refusals import refused


def test_password_and_code_give_a_certificate_of_a_shift_for_the_persons_own_key(front_desk):
    front_desk.person()
    key = ec.generate_private_key(ec.SECP256R1())
    signed_in = front_desk.login(csr=certificate_request(key))
    verified = verify_certificate(
        signed_in.certificate,
        Purpose.OPERATOR,
        front_desk.keys.intermediates,
        front_desk.keys.root.certificate,
        from_ms(front_desk.clock()),
    )
    assert verified.common_name == "operator.anna" and verified.key == key.public_key()
    assert signed_in.certificate.not_valid_after_utc - from_ms(front_desk.clock()) <= timedelta(
        hours=8
    )
    session = front_desk.session(key.public_key())
    assert session.operator == "anna" and session.expires_ms == front_desk.clock() + 8 * 3_600_000
    assert front_desk.events()[-1] != "sign-in-failed" and "signed-in" in front_desk.events()


@pytest.mark.parametrize(
    ("name", "password", "code"),
    [
        ("anna", "wrong horse battery staple", None),
        ("anna", PASSWORD, "000000"),
        ("anna", "", None),
        ("anna", PASSWORD, ""),
        ("anna", PASSWORD, "x" * 4000),
        ("anna", PASSWORD, "١٢٣٤٥٦"),
        ("nobody", PASSWORD, "123456"),
        ("", PASSWORD, "123456"),
        ("anna\x1b[2J", PASSWORD, "123456"),
        ("anna", "x" * 100_000, None),
    ],
)
def test_whatever_is_wrong_the_answer_is_the_same_and_is_recorded(front_desk, name, password, code):
    front_desk.person()
    answers = []
    for attempt in (
        lambda: front_desk.login(name, password, front_desk.code() if code is None else code),
        # from elsewhere: what one network gets wrong again is counted and told once a minute (N138)
        lambda: front_desk.login("anna", "never this one", "999999", ELSEWHERE),
    ):
        with pytest.raises(FramegateError) as caught:
            attempt()
        answers.append(str(caught.value))
    assert answers[0] == answers[1]
    assert front_desk.events().count("sign-in-failed") == 2
    assert all(b"\x1b" not in entry for entry in front_desk.entries())


def test_a_code_counts_once(front_desk):
    front_desk.person()
    code = front_desk.code()
    front_desk.login(code=code)
    assert refused(lambda: front_desk.login(code=code)) == Reason.SIGN_IN
    front_desk.clock.pass_s(30)
    assert (
        refused(lambda: front_desk.login(code=code)) == Reason.SIGN_IN
    )  # within the skew, and used
    front_desk.login()


def test_an_older_code_is_refused_once_a_newer_was_used(front_desk):
    front_desk.person()
    older = front_desk.code(steps=-1)
    front_desk.login(code=front_desk.code())
    assert refused(lambda: front_desk.login(code=older)) == Reason.SIGN_IN


@pytest.mark.parametrize(
    ("steps", "good"),
    [(-2, False), (-1, True), (0, True), (1, True), (2, False), (-120, False), (120, False)],
)
def test_a_clock_may_be_off_by_one_step(front_desk, steps, good):
    front_desk.person()
    if good:
        assert front_desk.login(code=front_desk.code(steps=steps)).operator == "anna"
    else:
        assert (
            refused(lambda: front_desk.login(code=front_desk.code(steps=steps))) == Reason.SIGN_IN
        )


def test_no_password_is_hashed_while_the_store_is_locked(front_desk, monkeypatch):
    """The store has one writer: a tenth of a second of hashing under its lock would let
    strangers hold up every attestation.
    """
    front_desk.person()

    def slow(_stored: str, _password: str) -> bool:
        add_person(
            front_desk.store, front_desk.keys, "somebody-else", "viewer"
        )  # another writer gets its turn
        return True

    monkeypatch.setattr("framegate_controller.people.signin.right_password", slow)
    assert front_desk.login().operator == "anna"


def test_a_password_that_changed_while_it_was_checked(front_desk, monkeypatch):
    front_desk.person()

    def meanwhile(_stored: str, _password: str) -> bool:
        front_desk.change(
            "anna", factors=replace(front_desk.operator("anna").factors, password="another")
        )
        return True

    monkeypatch.setattr("framegate_controller.people.signin.right_password", meanwhile)
    assert refused(front_desk.login) == Reason.SIGN_IN


def test_a_failed_sign_in_spends_no_code(front_desk):
    front_desk.person()
    code = front_desk.code()
    assert refused(lambda: front_desk.login(password="wrong " * 3, code=code)) == Reason.SIGN_IN
    assert front_desk.login(code=code).operator == "anna"


def test_guessing_locks_the_address_and_not_the_person(front_desk):
    """A lock-out that cannot lock a plant out: whoever guesses waits, the person goes on from
    where they were.
    """
    front_desk.person()
    front_desk.login()
    front_desk.clock.pass_s(60)
    for _ in range(PAIR_TRIES):
        assert refused(lambda: front_desk.login(code="000000", source=ELSEWHERE)) == Reason.SIGN_IN
    assert (
        refused(lambda: front_desk.login(source=ELSEWHERE)) == Reason.LOCKED
    )  # even with the right factors
    assert front_desk.login().operator == "anna"
    front_desk.clock.pass_s(301)
    assert front_desk.login(source=ELSEWHERE).operator == "anna"


def test_guessing_from_everywhere_never_locks_out_where_the_person_signed_in_before(front_desk):
    front_desk.person()
    front_desk.login()
    front_desk.clock.pass_s(60)
    for number in range(NAME_TRIES + 10):
        refused(
            lambda number=number: front_desk.login(code="000000", source=f"ipv4:10.1.0.{number}:1")
        )
    assert refused(lambda: front_desk.login(source="ipv4:10.2.0.1:1")) == Reason.LOCKED
    assert front_desk.login().operator == "anna"


def test_one_address_that_guesses_at_everybody_stops_itself_alone(front_desk):
    front_desk.person()
    for number in range(ADDRESS_TRIES):
        assert (
            refused(
                lambda number=number: front_desk.login(f"name-{number}", code="1", source=ELSEWHERE)
            )
            == Reason.SIGN_IN
        )
    assert refused(lambda: front_desk.login("another", code="1", source=ELSEWHERE)) == Reason.LOCKED
    assert front_desk.login().operator == "anna"


def test_addresses_are_known_over_a_restart(front_desk):
    front_desk.person()
    front_desk.login()
    front_desk.clock.pass_s(60)
    again = front_desk.again()
    for number in range(NAME_TRIES):
        again.limits.begin("anna", f"ipv4:10.1.0.{number}:1", front_desk.clock())
    again.limits.begin("anna", HERE, front_desk.clock())
    assert (
        refused(lambda: again.limits.begin("anna", ELSEWHERE, front_desk.clock())) == Reason.LOCKED
    )


def test_recovery_codes_count_once_each_and_with_the_password_alone(front_desk):
    with front_desk.store.writing() as tx:
        _, codes = found_operator(tx, front_desk.keys, "anna", PASSWORD)
    assert len(set(codes)) == 10
    assert (
        refused(lambda: front_desk.login(password="not the password", code=codes[0]))
        == Reason.SIGN_IN
    )
    assert front_desk.login(code=codes[0].upper().replace("-", " ")).operator == "anna"
    assert refused(lambda: front_desk.login(code=codes[0])) == Reason.SIGN_IN
    assert front_desk.login(code=codes[1]).operator == "anna"
    assert codes[0] not in "".join(front_desk.operator("anna").factors.recovery)


@pytest.mark.parametrize("csr", [b"", b"x", b"\x30\x82" + bytes(300)])
def test_requests_for_a_certificate_that_are_none(front_desk, csr):
    front_desk.person()
    with pytest.raises(FramegateError):
        front_desk.sign_in.password("anna", PASSWORD, front_desk.code(), csr, HERE)
    assert front_desk.login().operator == "anna"  # and no code was spent


def test_keys_that_are_weak_or_used_before(front_desk):
    front_desk.person()
    p384 = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(FramegateError):
        front_desk.login(csr=certificate_request(p384))
    key = ec.generate_private_key(ec.SECP256R1())
    front_desk.login(csr=certificate_request(key))
    front_desk.clock.pass_s(31)
    assert refused(lambda: front_desk.login(csr=certificate_request(key))) == Reason.CONFLICT


def test_disabled_people_stay_out_with_right_factors(front_desk):
    front_desk.person()
    front_desk.change("anna", enabled=False)
    assert refused(front_desk.login) == Reason.SIGN_IN


class Provider:
    """One that saw a person at some time."""

    issuer = "https://id.example"

    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms

    def complete(self, state, answer, source, now_ms) -> Authenticated:
        return Authenticated("anna-there", self.at_ms)


@pytest.mark.parametrize(("ago_s", "enabled"), [(0, True), (3_600, True), (0, False)])
def test_n143_a_factor_is_as_fresh_as_the_provider_saw_the_person(front_desk, ago_s, enabled):
    """Whom it saw long ago has shown none just now; whom this fleet barred has no session."""
    issuer, seen_ms = Provider.issuer, front_desk.clock() - 1000 * ago_s
    new = NewOperator(
        name="anna", roles=(), vouched=True, oidc_issuer=issuer, oidc_subject="anna-there"
    )
    with front_desk.store.writing() as tx:
        person, _ = add_operator(tx, new, by="host")
        tx.people.put(replace(person, enabled=enabled))
    front_desk.sign_in.oidc = Provider(seen_ms)
    if not enabled:
        csr = certificate_request()
        said = refused(lambda: front_desk.sign_in.oidc_complete(b"s", "c", csr, HERE))
        assert said == Reason.SIGN_IN
        return
    front_desk.sign_in.oidc_complete(b"s", "c", certificate_request(), HERE)
    with front_desk.store.reading() as tx:
        assert [s.factor_ms for s in tx.people.sessions(tx.now_ms)] == [seen_ms]
