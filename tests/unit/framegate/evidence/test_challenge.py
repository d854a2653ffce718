"""Challenges on their way to the device and back."""

import os

import pytest

from framegate.errors import Reason, Refused
from framegate.evidence.challenge import (
    MAX_STATE_BYTES,
    SEAL_NONCE_BYTES,
    ChallengeState,
    open_state,
    seal_state,
    state_key,
)
from support.refusals import refused

KEY = state_key(b"s" * 32)
STATE = ChallengeState(
    session=bytes(16),
    transcript=bytes(32),
    join=1,
    device="camera.z.n",
    bank=11,
    pcrs=(0, 1),
    ima_offset=0,
    expires_ms=1_000,
    secret=b"",
    ticket=b"",
    ek_public=b"",
    ak_public=b"",
    tls_public=b"",
    iak_public=b"",
    ek_certified=1,
    manufacturer=0,
    endorsement="",
)


def test_a_state_comes_back_until_its_deadline():
    sealed = seal_state(KEY, STATE, os.urandom(SEAL_NONCE_BYTES))
    assert open_state(KEY, sealed, 999) == STATE
    assert refused(lambda: open_state(KEY, sealed, 1_001), Refused) == Reason.SESSION_EXPIRED


@pytest.mark.parametrize(
    "spoil",
    [
        lambda sealed: b"",
        lambda sealed: sealed[:SEAL_NONCE_BYTES],
        lambda sealed: sealed[:-1],
        lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1]),
        lambda sealed: sealed.ljust(MAX_STATE_BYTES + 1, b"\0"),
    ],
    ids=["empty", "nonce", "cut", "flipped", "huge"],
)
def test_states_that_no_controller_of_this_fleet_sealed(spoil):
    sealed = seal_state(KEY, STATE, os.urandom(SEAL_NONCE_BYTES))
    for raw, key in ((spoil(sealed), KEY), (sealed, state_key(b"t" * 32))):
        assert refused(lambda r=raw, k=key: open_state(k, r, 0), Refused) == Reason.SESSION_UNKNOWN
