"""A chain that was verified once is asked for again only where it could be another answer."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose, from_ms
from framegate_controller.ca import chains
from framegate_controller.ca.chains import VerifiedChains
from framegate_controller.ca.issue import certify
from framegate_controller.ca.template import leaf_template
from support.refusals import refused_with

CAMERA = "camera.line-1.cam1"
LIFE = timedelta(minutes=3)


@pytest.fixture
def now(bench):
    return from_ms(bench.clock())


@pytest.fixture
def asked(monkeypatch):
    """Every verification that was really done."""
    done, real = [], chains.verify_certificate
    monkeypatch.setattr(
        chains, "verify_certificate", lambda *given: done.append(given) or real(*given)
    )
    return done


def leaf(bench, now, ca="device-ca", purpose=Purpose.DEVICE):
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return certify(bench.keys.issuing[ca], leaf_template(purpose, CAMERA, key, LIFE, now))


def test_what_is_shown_again_is_verified_once(bench, now, asked):
    known, shown = VerifiedChains(), leaf(bench, now)
    first = known.verify(shown, Purpose.DEVICE, bench.keys, now)
    for at in (now, now + timedelta(seconds=1), shown.not_valid_after_utc):
        assert known.verify(shown, Purpose.DEVICE, bench.keys, at) is first
    assert len(asked) == 1


def test_what_is_known_takes_no_signature_and_nothing_else_is(bench, now, asked):
    known, shown = VerifiedChains(), leaf(bench, now)
    assert known.known(shown, Purpose.DEVICE, bench.keys, now) is None
    identity = known.verify(shown, Purpose.DEVICE, bench.keys, now)
    asked.clear()
    assert known.known(shown, Purpose.DEVICE, bench.keys, now) is identity
    for purpose, keys, at in (
        (Purpose.GATEWAY, bench.keys, now),
        (Purpose.DEVICE, bench.keys, now - timedelta(seconds=1)),
        (Purpose.DEVICE, bench.keys, shown.not_valid_after_utc + timedelta(seconds=1)),
        (Purpose.DEVICE, replace(bench.keys, root=bench.keys.issuing["server-ca"]), now),
        (Purpose.DEVICE, replace(bench.keys, issuing={}), now),
    ):
        assert known.known(shown, purpose, keys, at) is None
    assert known.known(leaf(bench, now), Purpose.DEVICE, bench.keys, now) is None
    assert not asked


@pytest.mark.parametrize("away", [timedelta(seconds=1), timedelta(days=1)])
def test_a_certificate_that_ended_since_is_refused(bench, now, away):
    known, shown = VerifiedChains(), leaf(bench, now)
    known.verify(shown, Purpose.DEVICE, bench.keys, now)
    with refused_with(Refused, Reason.CERTIFICATE_EXPIRED):
        known.verify(shown, Purpose.DEVICE, bench.keys, shown.not_valid_after_utc + away)


def test_a_clock_that_was_set_back_is_asked_anew(bench, now):
    known, shown = VerifiedChains(), leaf(bench, now)
    known.verify(shown, Purpose.DEVICE, bench.keys, now)
    with refused_with(Refused, Reason.CERTIFICATE_EXPIRED):
        known.verify(shown, Purpose.DEVICE, bench.keys, shown.not_valid_before_utc - LIFE)


def test_a_ca_that_does_not_count_any_more_takes_what_it_signed_with_it(bench, now):
    known, shown = VerifiedChains(), leaf(bench, now)
    known.verify(shown, Purpose.DEVICE, bench.keys, now)
    others = {k: v for k, v in bench.keys.issuing.items() if k != "device-ca"}
    with refused_with(Refused, Reason.CERTIFICATE):
        known.verify(shown, Purpose.DEVICE, replace(bench.keys, issuing=others), now)


def test_another_root_is_another_fleet(bench, now):
    known, shown = VerifiedChains(), leaf(bench, now)
    known.verify(shown, Purpose.DEVICE, bench.keys, now)
    other = replace(bench.keys, root=bench.keys.issuing["server-ca"])
    with refused_with(Refused, Reason.CERTIFICATE):
        known.verify(shown, Purpose.DEVICE, other, now)


def test_it_is_remembered_for_its_own_purpose_alone(bench, now):
    known, shown = VerifiedChains(), leaf(bench, now)
    known.verify(shown, Purpose.DEVICE, bench.keys, now)
    for purpose in set(Purpose) - {Purpose.DEVICE}:
        with refused_with(Refused, Reason.CERTIFICATE):
            known.verify(shown, purpose, bench.keys, now)


def test_what_was_refused_is_refused_again_and_not_remembered(bench, now, asked):
    known, shown = VerifiedChains(), leaf(bench, now, "gateway-ca")
    for _ in range(2):
        with refused_with(Refused, Reason.CERTIFICATE):
            known.verify(shown, Purpose.DEVICE, bench.keys, now)
    assert len(asked) == 2


def test_nothing_is_remembered_past_the_first_end_of_any_ca_that_lives(bench, now, asked):
    """Whether the CA that ends first is in the chain is not known: it is verified again."""
    soon = bench.keys.issuing["operator-ca"].certificate.not_valid_after_utc
    at = soon - timedelta(seconds=1)
    known, shown = VerifiedChains(), leaf(bench, at)
    known.verify(shown, Purpose.DEVICE, bench.keys, at)
    for moment in (soon, soon + timedelta(seconds=1)):
        if moment > soon:
            with refused_with(Refused, Reason.CERTIFICATE):
                known.verify(shown, Purpose.DEVICE, bench.keys, moment)
        else:
            known.verify(shown, Purpose.DEVICE, bench.keys, moment)
    assert len(asked) == 2


def test_strangers_push_out_what_is_oldest_and_no_more_than_so_many_are_kept(bench, now, asked):
    known, shown = VerifiedChains(most=3), [leaf(bench, now) for _ in range(5)]
    for one in shown:
        known.verify(one, Purpose.DEVICE, bench.keys, now)
    assert len(known._known) == 3
    known.verify(shown[4], Purpose.DEVICE, bench.keys, now)
    assert len(asked) == 5
    known.verify(shown[0], Purpose.DEVICE, bench.keys, now)
    assert len(asked) == 6


def test_keys_that_changed_tell_what_they_have_now(bench):
    alone = replace(bench.keys, beside=(), coming={}, gone=())
    other = bench.keys.issuing["device-ca"]
    assert alone.intermediates == alone.own
    assert replace(alone, beside=alone.own).intermediates == alone.own
    beside = replace(alone, issuing={"gateway-ca": bench.keys.issuing["gateway-ca"]})
    beside = replace(beside, beside=(other.certificate,))
    assert beside.own == (bench.keys.issuing["gateway-ca"].certificate,)
    assert beside.intermediates == (*beside.own, other.certificate)
    assert beside.authorities == [bench.keys.issuing["gateway-ca"].der, other.der]
    beside.authorities.clear()
    assert len(beside.authorities) == 2
    assert replace(beside, beside=()).authorities == [bench.keys.issuing["gateway-ca"].der]


def test_each_of_two_fleets_in_turn_is_told_for_itself(bench, now, asked):
    known, shown = VerifiedChains(), leaf(bench, now)
    fewer = {label: bench.keys.issuing[label] for label in ("device-ca", "gateway-ca")}
    keys = (bench.keys, replace(bench.keys, issuing=fewer))
    for mine, other in (keys, keys[::-1]):
        known.verify(shown, Purpose.DEVICE, mine, now)
        assert known.known(shown, Purpose.DEVICE, other, now) is None
        assert known.known(shown, Purpose.DEVICE, replace(mine), now) is not None
    assert len(asked) == 2
