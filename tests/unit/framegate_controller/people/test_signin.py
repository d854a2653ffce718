"""Signing in with password and code, enrolment, break-glass."""

from dataclasses import replace
from datetime import timedelta

import pyotp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.access.verbs import parse_scoped
from framegate.errors import FramegateError, Reason
from framegate.identity.certificates import Purpose, from_ms, verify_certificate
from framegate_controller.people.factors import FactorKey
from framegate_controller.people.operators import NewOperator, add_operator, reset_factors
from framegate_controller.people.signin import found_operator, seal_break_glass
from framegate_controller.store.shared.limits import ADDRESS_TRIES, NAME_TRIES, PAIR_TRIES
from framegate_simulators.fixtures.access import PASSWORD, add_person, certificate_request
from support.front_desk import ELSEWHERE, HERE
from support.refusals import refused


def test_password_and_code_give_a_certificate_of_a_shift_for_the_persons_own_key(front_desk):
    front_desk.person()
    key = ec.generate_private_key(ec.SECP256R1())
    made = front_desk.login(csr=certificate_request(key))
    verified = verify_certificate(
        made.certificate,
        Purpose.OPERATOR,
        front_desk.keys.intermediates,
        front_desk.keys.root.certificate,
        from_ms(front_desk.clock()),
    )
    assert verified.common_name == "operator.anna" and verified.key == key.public_key()
    assert made.certificate.not_valid_after_utc - from_ms(front_desk.clock()) <= timedelta(hours=8)
    held = front_desk.session(key.public_key())
    assert held.operator == "anna" and held.expires_ms == front_desk.clock() + 8 * 3_600_000
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
        lambda: front_desk.login("anna", "never this one", "999999"),
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
        again.limits.failed("anna", f"ipv4:10.1.0.{number}:1", front_desk.clock())
    again.limits.check("anna", HERE, front_desk.clock())
    assert (
        refused(lambda: again.limits.check("anna", ELSEWHERE, front_desk.clock())) == Reason.LOCKED
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


def invited(front_desk, name: str = "berta", *roles: str) -> str:
    new = NewOperator(
        name=name, roles=tuple(parse_scoped(r) for r in roles or ("viewer",)), vouched=True
    )
    with front_desk.store.writing() as tx:
        return add_operator(tx, new, by="host")[1]


def enrolled_totp(front_desk, code: str, name: str = "berta") -> pyotp.TOTP:
    made = pyotp.parse_uri(front_desk.sign_in.enrol_begin(name, code, HERE))
    assert isinstance(made, pyotp.TOTP) and made.issuer == "Framegate plant"
    return made


def test_enrolment_sets_factors_once(front_desk):
    code = invited(front_desk)
    totp = enrolled_totp(front_desk, code)
    shown = totp.at(front_desk.clock() // 1000)
    made = front_desk.sign_in.enrol_complete(
        "berta", code, PASSWORD, shown, certificate_request(), HERE
    )
    assert made.operator == "berta" and len(made.recovery_codes) == 10
    assert (
        refused(
            lambda: front_desk.sign_in.enrol_complete(
                "berta", code, "another password", shown, certificate_request(), HERE
            )
        )
        == Reason.SIGN_IN
    )
    assert refused(lambda: front_desk.sign_in.enrol_begin("berta", code, HERE)) == Reason.SIGN_IN
    front_desk.secrets["berta"] = totp.secret
    assert (
        refused(lambda: front_desk.login("berta", code=shown)) == Reason.SIGN_IN
    )  # the code of the enrolment is used
    front_desk.clock.pass_s(31)
    assert front_desk.login("berta").operator == "berta"


@pytest.mark.parametrize(
    "how",
    [
        "wrong code",
        "late",
        "wrong totp",
        "short password",
        "disabled",
        "not begun",
        "another's code",
    ],
)
def test_enrolment_that_is_wrong_leaves_nobody_enrolled(front_desk, how):
    code = invited(front_desk)
    other = invited(front_desk, "carl")
    totp = (
        enrolled_totp(front_desk, code) if how != "not begun" else pyotp.TOTP(pyotp.random_base32())
    )
    shown, password, used = totp.at(front_desk.clock() // 1000), PASSWORD, code
    if how == "wrong code":
        used = code[:-1] + ("a" if code[-1] != "a" else "b")
    elif how == "late":
        front_desk.clock.pass_s(86_401)
        shown = totp.at(front_desk.clock() // 1000)
    elif how == "wrong totp":
        shown = "000000"
    elif how == "short password":
        password = "short"
    elif how == "another's code":
        used = other
    elif how == "disabled":
        front_desk.change("berta", enabled=False)
    assert refused(
        lambda: front_desk.sign_in.enrol_complete(
            "berta", used, password, shown, certificate_request(), HERE
        )
    ) in {Reason.SIGN_IN, Reason.USAGE}
    assert not front_desk.operator("berta").factors.password


def test_somebody_who_has_not_enrolled_cannot_sign_in_with_anything(front_desk):
    code = invited(front_desk)
    front_desk.secrets["berta"] = pyotp.random_base32()
    for password, factor in (("", ""), (code, ""), (code, code), ("", code)):
        assert refused(
            lambda password=password, factor=factor: front_desk.login("berta", password, factor)
        ) in {Reason.SIGN_IN, Reason.LOCKED}


def test_reset_factors_end_sessions_and_forget_everything(front_desk):
    front_desk.person()
    made = front_desk.login()
    with front_desk.store.writing() as tx:
        reset_factors(tx, tx.people.find("anna"), by="operator.otto")
    assert front_desk.session(made.certificate.public_key()).ended_ms
    front_desk.clock.pass_s(60)
    assert refused(front_desk.login) == Reason.SIGN_IN


def test_set_up_ends_with_the_second_persons_first_sign_in(front_desk):
    """No standing admin after set-up: the founder is admin until somebody else can sign in, and
    then decisions take two.
    """
    with front_desk.store.writing() as tx:
        found_operator(tx, front_desk.keys, "anna", PASSWORD)
    front_desk.secrets["anna"] = FactorKey(front_desk.keys.factor_key).open(
        front_desk.operator("anna").factors.totp, "anna"
    )
    first = front_desk.login()
    assert "admin" in first.roles and any("quorum 1" in n for n in first.notices)
    code = invited(front_desk)
    totp = enrolled_totp(front_desk, code)
    second = front_desk.sign_in.enrol_complete(
        "berta", code, PASSWORD, totp.at(front_desk.clock() // 1000), certificate_request(), HERE
    )
    assert not any("quorum 1" in n for n in second.notices)
    front_desk.clock.pass_s(31)
    assert front_desk.login().roles == ("engineer", "security")
    assert {"quorum-set", "set-up-ended"} <= set(front_desk.events())


def test_break_glass_opens_once_for_an_hour_and_everybody_is_told(front_desk):
    front_desk.person("anna", "viewer")
    front_desk.person("berta", "viewer")
    with front_desk.store.writing() as tx:
        code = seal_break_glass(tx, by="host")
    assert (
        refused(
            lambda: front_desk.sign_in.break_glass(
                "anna", code[:-1] + "!", certificate_request(), HERE
            )
        )
        == Reason.SIGN_IN
    )
    made = front_desk.sign_in.break_glass("anna", code, certificate_request(), HERE)
    assert {"admin", "security"} <= set(
        made.roles
    ) and made.expires_ms == front_desk.clock() + 3_600_000
    assert (
        refused(lambda: front_desk.sign_in.break_glass("anna", code, certificate_request(), HERE))
        == Reason.SIGN_IN
    )
    told = front_desk.login("berta").notices
    assert any("BREAK-GLASS was used by anna" in n for n in told)
    assert "break-glass-used" in front_desk.events()
    assert (
        "admin" not in front_desk.login("anna").roles
    )  # the next ordinary session has nothing of it


def test_break_glass_for_nobody_or_without_a_seal(front_desk):
    front_desk.person()
    assert (
        refused(lambda: front_desk.sign_in.break_glass("anna", "", certificate_request(), HERE))
        == Reason.SIGN_IN
    )
    with front_desk.store.writing() as tx:
        code = seal_break_glass(tx, by="host")
    front_desk.change("anna", enabled=False)
    for name in ("anna", "nobody"):
        assert (
            refused(
                lambda name=name: front_desk.sign_in.break_glass(
                    name, code, certificate_request(), HERE
                )
            )
            == Reason.SIGN_IN
        )


def test_break_glass_cannot_be_guessed_without_being_slowed(front_desk):
    front_desk.person()
    for _ in range(PAIR_TRIES):
        assert (
            refused(
                lambda: front_desk.sign_in.break_glass("anna", "guess", certificate_request(), HERE)
            )
            == Reason.SIGN_IN
        )
    assert (
        refused(
            lambda: front_desk.sign_in.break_glass("anna", "guess", certificate_request(), HERE)
        )
        == Reason.LOCKED
    )


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
