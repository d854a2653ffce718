"""Passwords, codes and how they are stored."""

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Reason
from framegate_controller.people import factors
from framegate_controller.people.factors import (
    FactorKey,
    hash_password,
    right_password,
    same_code,
    totp_step,
)
from framegate_simulators.fixtures.access import PASSWORD
from support.refusals import refused


def test_a_second_factor_is_sealed_to_its_person(front_desk):
    factor = FactorKey(front_desk.keys.factor_key)
    sealed = factor.seal("SECRET", "anna")
    assert factor.open(sealed, "anna") == "SECRET"
    for changed, name in (
        (sealed, "berta"),
        (sealed[:-1] + bytes([sealed[-1] ^ 1]), "anna"),
        (b"", "anna"),
        (bytes(40), "anna"),
    ):
        assert (
            refused(lambda changed=changed, name=name: factor.open(changed, name)) == Reason.SIGN_IN
        )
    assert refused(lambda: FactorKey(bytes(32)).open(sealed, "anna")) == Reason.SIGN_IN


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "x" * 1025])
def test_passwords_that_are_too_short_or_too_long(password):
    assert refused(lambda: hash_password(password)) == Reason.USAGE


def test_guessing_a_password_costs_what_rfc_9106_asks():
    assert hash_password(PASSWORD).startswith("$argon2id$v=19$m=65536,t=3,p=1$")


@pytest.mark.parametrize("stored", ["", "junk", "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAA"])
def test_stored_hashes_that_are_none(stored):
    assert not right_password(stored, PASSWORD)


@given(st.text(max_size=20))
def test_codes_that_are_anything(text):
    assert (
        totp_step("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", text, 0, 1_790_000_000_000) == 0
        or len(text) == 6
    )
    assert not same_code("", text)


def test_whoever_does_not_exist_is_checked_at_the_same_cost():
    assert not right_password("", PASSWORD)
    nobodys = argon2.extract_parameters(factors._DUMMY)
    assert nobodys == argon2.extract_parameters(hash_password(PASSWORD))
