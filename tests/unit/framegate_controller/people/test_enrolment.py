"""Enrolment: factors are set once, by whoever was invited, and are set anew only by a reset."""

import pyotp
import pytest

from framegate.access.verbs import parse_scoped
from framegate.errors import Reason
from framegate_controller.people.factors import FactorKey
from framegate_controller.people.operators import NewOperator, add_operator, reset_factors
from framegate_controller.people.signin import found_operator
from framegate_simulators.fixtures.access import PASSWORD, certificate_request
from support.front_desk import HERE
from support.refusals import refused


def invited(front_desk, name: str = "berta", *roles: str) -> str:
    new = NewOperator(
        name=name, roles=tuple(parse_scoped(r) for r in roles or ("viewer",)), vouched=True
    )
    with front_desk.store.writing() as tx:
        return add_operator(tx, new, by="host")[1]


def enrolled_totp(front_desk, code: str, name: str = "berta") -> pyotp.TOTP:
    totp = pyotp.parse_uri(front_desk.sign_in.enrol_begin(name, code, HERE))
    assert isinstance(totp, pyotp.TOTP) and totp.issuer == "Framegate plant"
    return totp


def test_enrolment_sets_factors_once(front_desk):
    code = invited(front_desk)
    totp = enrolled_totp(front_desk, code)
    shown = totp.at(front_desk.clock() // 1000)
    signed_in = front_desk.sign_in.enrol_complete(
        "berta", code, PASSWORD, shown, certificate_request(), HERE
    )
    assert signed_in.operator == "berta" and len(signed_in.recovery_codes) == 10
    assert front_desk.events().count("operator-enrolled") == 1
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
    signed_in = front_desk.login()
    with front_desk.store.writing() as tx:
        reset_factors(tx, tx.people.find("anna"), by="operator.otto")
    assert front_desk.session(signed_in.certificate.public_key()).ended_ms
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
