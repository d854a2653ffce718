"""Break-glass: once, for an hour, and everybody is told."""

from framegate.errors import Reason
from framegate_controller.people.signin import seal_break_glass
from framegate_controller.store.shared.limits import PAIR_TRIES
from framegate_simulators.fixtures.access import certificate_request
from support.front_desk import HERE
from support.refusals import refused


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
    signed_in = front_desk.sign_in.break_glass("anna", code, certificate_request(), HERE)
    assert {"admin", "security"} <= set(
        signed_in.roles
    ) and signed_in.expires_ms == front_desk.clock() + 3_600_000
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
