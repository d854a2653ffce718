"""Challenges: signed for the device, with what this controller must remember sealed beside them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from framegate.errors import Reason, Refused
from framegate.evidence.challenge import (
    SEAL_NONCE_BYTES,
    ChallengeState,
    open_state,
    seal_state,
    state_key,
    unknown_session,
)
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import Alg
from framegate.wire import LABEL_CHALLENGE, Challenge, sha256, transcript
from framegate_controller.context import Fleet
from framegate_controller.store.shared.spent import SpentSessions
from framegate_controller.timing import NONCE_LIFE_MS

SESSION_BYTES: Final = 16
CHALLENGE_NONCE_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class SignedChallenge:
    """Challenge bytes, the challenge key's signature over them, its certificate (DER), and the
    sealed state that comes back with the evidence.
    """

    challenge: bytes
    signature: bytes
    certificate: bytes
    state: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a challenge asks for. `credential` and `encrypted_secret` are empty on the fleet
    port.
    """

    selection: PcrSelection
    want_boot_log: bool
    ima_offset: int = 0
    credential: bytes = b""
    encrypted_secret: bytes = b""


class Challenges:
    """Makes challenges and takes back their state, for a fleet whose controllers share a key."""

    def __init__(self, fleet: Fleet, spent: SpentSessions, restorations: int) -> None:
        self._fleet, self._spent = fleet, spent
        self._key = state_key(fleet.keys.factor_key, restorations)

    def make(self, hello: bytes, demand: Demand, now_ms: int) -> Challenge:
        """A challenge to `hello`, with a nonce of its own."""
        return Challenge(
            hello_sha256=sha256(hello),
            session=secrets.token_bytes(SESSION_BYTES),
            nonce=secrets.token_bytes(CHALLENGE_NONCE_BYTES),
            credential=demand.credential,
            encrypted_secret=demand.encrypted_secret,
            bank=demand.selection.bank,
            pcrs=demand.selection.pcrs,
            ima_offset=demand.ima_offset,
            want_boot_log=int(demand.want_boot_log),
            controller=self._fleet.controller,
            issued_at_ms=now_ms,
            deadline_ms=NONCE_LIFE_MS,
            attest_interval_ms=self._fleet.timing.interval_ms,
        )

    def transcript(self, hello: bytes, challenge: bytes) -> bytes:
        """T of this fleet, these bytes."""
        return transcript(self._fleet.digest, hello, challenge)

    def signed(self, challenge: Challenge, state: ChallengeState) -> SignedChallenge:
        """The challenge as it goes out."""
        key, raw = self._fleet.keys.signing["challenge"], challenge.marshal()
        sealed = seal_state(self._key, state, secrets.token_bytes(SEAL_NONCE_BYTES))
        return SignedChallenge(raw, key.sign(LABEL_CHALLENGE + raw), key.der, sealed)

    def opened(self, sealed: bytes, *, join: bool, device: str = "") -> ChallengeState:
        """The state of a challenge that is answered now, once: see `peeked`; from now on it was
        answered. Raises Refused.
        """
        return self.spent(self.peeked(sealed, join=join, device=device))

    def spent(self, state: ChallengeState) -> ChallengeState:
        """`state`, answered from now on. Raises Refused where it was before."""
        self._spent.take(state.session, state.expires_ms, self._fleet.clock())
        return state

    def peeked(self, sealed: bytes, *, join: bool, device: str = "") -> ChallengeState:
        """The state of a challenge that may yet be answered.

        1. sealed by a controller of this fleet, and not too late;
        2. for this port, and on the fleet port for this device;
        3. not answered at this process before.

        Raises Refused.
        """
        now = self._fleet.clock()
        state = open_state(self._key, sealed, now)  # 1
        if bool(state.join) != join or (device and state.device != device):  # 2
            raise Refused.of(
                Reason.SESSION_UNKNOWN,
                "a session of this device that waits for its evidence",
                "none, or one already used",
                "begin again",
            )
        if self._spent.taken(state.session):  # 3
            raise unknown_session()
        return state


def selection_of(state: ChallengeState) -> PcrSelection:
    """The PCRs that the challenge asked for."""
    return PcrSelection(Alg(state.bank), state.pcrs)
