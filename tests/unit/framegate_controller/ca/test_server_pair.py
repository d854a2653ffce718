"""What a controller shows is made anew while it runs; where that fails, what it had serves on."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from framegate.errors import Reason, Unavailable
from framegate.identity.certificates import Purpose
from framegate_controller.ca.issue import issue_server
from framegate_controller.ca.server_pair import AGAIN, LEFT, RenewedPair
from framegate_controller.ca.template import BACKDATE, LIVES

BEGIN = datetime(2027, 1, 15, tzinfo=UTC)
LIFE = LIVES[Purpose.SERVER] + BACKDATE
DUE = LIVES[Purpose.SERVER] - LIFE / LEFT


class Issuing:
    """A clock, and a server CA that may be away."""

    def __init__(self, keys) -> None:
        self.keys, self.now, self.away = keys, BEGIN, False

    def issue(self, keys, key, now):
        if self.away:
            raise Unavailable.of(Reason.UNAVAILABLE, "a token", "silence")
        return issue_server(keys, "controller", key, now)

    def pair(self) -> RenewedPair:
        return RenewedPair(self.issue, lambda: self.keys, lambda: self.now)


@pytest.fixture
def issuing(keys):
    return Issuing(keys)


def leaf(pair) -> x509.Certificate:
    return x509.load_pem_x509_certificates(pair.chain)[0]


def test_it_is_the_same_until_a_third_of_its_life_is_left(issuing):
    pair = issuing.pair()
    first = pair()
    for later in (timedelta(), timedelta(days=1), DUE):
        issuing.now = BEGIN + later
        assert pair() == first


def test_the_next_one_is_another_key_with_its_own_certificate_and_lives_as_long(issuing):
    pair = issuing.pair()
    first = pair()
    issuing.now = BEGIN + DUE + timedelta(seconds=1)
    second = pair()
    assert second == pair() and second.key != first.key
    own = load_pem_private_key(second.key, None).public_key()
    assert leaf(second).public_key() == own
    assert leaf(second).not_valid_after_utc - leaf(first).not_valid_after_utc > DUE
    assert second.chain.endswith(issuing.keys.issuing["server-ca"].pem)


def test_no_year_goes_by_in_which_it_has_ended(issuing):
    pair = issuing.pair()
    for day in range(400):
        issuing.now = BEGIN + timedelta(days=day)
        assert leaf(pair()).not_valid_after_utc > issuing.now


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=3650)])
def test_one_that_was_made_by_a_clock_that_was_ahead_makes_place_once_that_is_right(issuing, ahead):
    """Nobody's TLS takes it until then: a host that started with a wrong clock, and NTP."""
    issuing.now = BEGIN + ahead
    pair = issuing.pair()
    issuing.now = BEGIN
    right = leaf(pair())
    assert right.not_valid_before_utc <= BEGIN <= right.not_valid_after_utc
    assert leaf(pair()) == right


def test_one_that_does_not_count_yet_is_shown_for_a_minute_where_no_other_can_be_made(issuing):
    """It may be this clock that is behind: then others take it."""
    issuing.now = BEGIN + timedelta(hours=1)
    pair = issuing.pair()
    first = pair()
    issuing.away, issuing.now = True, BEGIN
    assert pair() == pair() == first
    issuing.away, issuing.now = False, BEGIN + AGAIN + timedelta(seconds=1)
    assert leaf(pair()).not_valid_before_utc <= issuing.now


def test_that_of_before_serves_on_while_none_can_be_made_and_it_is_not_tried_at_each_connection(
    issuing, caplog
):
    pair = issuing.pair()
    first = pair()
    issuing.away, issuing.now = True, BEGIN + DUE + timedelta(seconds=1)
    assert pair() == pair() == pair() == first
    assert [r.getMessage() for r in caplog.records] == [
        "no next server certificate; that of before serves on"
    ]
    issuing.away = False
    assert pair() == first
    issuing.now += AGAIN + timedelta(seconds=1)
    assert pair() != first


def test_one_that_has_ended_is_not_shown(issuing):
    pair = issuing.pair()
    issuing.away, issuing.now = True, BEGIN + LIVES[Purpose.SERVER] + timedelta(seconds=1)
    with pytest.raises(Unavailable):
        pair()


def test_none_at_all_is_no_beginning(issuing):
    issuing.away = True
    with pytest.raises(Unavailable):
        issuing.pair()
