"""N130, N131, N138: whose Hello goes on to the controller."""

import secrets

import pytest

from framegate.errors import Reason, Refused
from framegate_controller.joinport.limits import EK_PREFIX, SIGN_IN_PREFIX, STRANGERS
from framegate_controller.joinport.turnstile import Turnstile, Who


def passed(turnstile: Turnstile, who: Who, prefix: str, *, ek: bytes = b"", ticket: bytes = b""):
    """Whether a Hello goes on."""
    try:
        turnstile.hello(who, ek or secrets.token_bytes(32), ticket, prefix, 0)
    except Refused as error:
        assert error.reason == Reason.TOO_MANY_TRIES
        return False
    return True


def test_n131_whoever_knows_a_public_ek_takes_nothing_from_its_owner():
    turnstile, ek = Turnstile(), b"e" * 32
    went = sum(passed(turnstile, Who.MACHINE, "attacker", ek=ek) for _ in range(2_000))
    assert went == EK_PREFIX.burst
    assert passed(turnstile, Who.MACHINE, "plant", ek=ek)
    assert passed(turnstile, Who.MACHINE, "attacker"), "nor from a neighbour with another EK"


def test_n130_strangers_from_everywhere_leave_machines_and_tickets_their_turn():
    turnstile = Turnstile()
    went = sum(passed(turnstile, Who.STRANGER, f"10.{n // 250}.{n % 250}.1") for n in range(5_000))
    assert went == STRANGERS.burst
    assert not passed(turnstile, Who.STRANGER, "new")
    assert passed(turnstile, Who.MACHINE, "10.0.0.1")
    assert passed(turnstile, Who.TICKET, "10.0.0.1", ticket=b"t" * 16)


def test_n130_made_up_eks_of_one_prefix_are_strangers_there_and_nowhere_else():
    turnstile = Turnstile()
    went = sum(passed(turnstile, Who.STRANGER, "attacker") for _ in range(2_000))
    assert went < STRANGERS.burst and passed(turnstile, Who.STRANGER, "elsewhere")


def test_n130_one_ticket_is_rationed_from_wherever_and_another_is_not():
    turnstile = Turnstile()
    went = [passed(turnstile, Who.TICKET, f"p{n}", ticket=b"a" * 16) for n in range(100)]
    assert 0 < sum(went) < 100 and passed(turnstile, Who.TICKET, "p1", ticket=b"b" * 16)


def test_n130_the_same_bytes_of_an_ek_are_not_even_read():
    turnstile = Turnstile()
    for _ in range(int(EK_PREFIX.burst)):
        turnstile.look(b"public", "attacker", 0)
    with pytest.raises(Refused):
        turnstile.look(b"public", "attacker", 0)
    turnstile.look(b"public", "plant", 0)
    turnstile.look(b"public", "attacker", 2_000)


def test_n130_people_of_one_prefix_are_rationed():
    turnstile = Turnstile()
    for _ in range(int(SIGN_IN_PREFIX.burst)):
        turnstile.sign_in("office", 0)
    with pytest.raises(Refused):
        turnstile.sign_in("office", 0)
    turnstile.sign_in("home", 0)
