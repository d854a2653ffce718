"""N113, N116, N118 and N208: the agent's own defences: grants, the TPM's hierarchy, the signer,
what time it is.
"""

from __future__ import annotations

import asyncio
import base64
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Reason, Refused
from framegate.signed.statement import Grant
from framegate_agent.attestation import Attester
from framegate_agent.camera.session import AskedGrant, hold_grant
from framegate_agent.signing import TLS_CLIENT_PREFIX, TlsSigner
from framegate_agent.state import AgentState
from framegate_agent.tpm.chip import Tpm
from framegate_agent.trusted_clock import LEEWAY_MS, TrustedClock
from framegate_controller.ca.issue import issue_operator
from framegate_simulators.attack.target import Seen, Target, attempt, reason_of
from framegate_simulators.fixtures.gateway import CAMERA
from framegate_simulators.forge.challenge_desk import ChallengeDesk
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.machine.machine import Machine

HOUR_MS: Final = 3_600_000
LATER_MS: Final = 10 * LEEWAY_MS
"""Later than it is, by the clock of N208's controller: keys of a plant that was made just now are
no older, so that it has a past in which they count.
"""
STEP_MS: Final = LEEWAY_MS - 5_000
"""One is within the leeway, and two are not."""


@attempt("N113", "a grant after its time, with another nonce, signed by another key of the fleet")
def n113(t: Target) -> Seen:
    fleet, nonce = t.keys, os.urandom(32)
    grant = Grant(
        grant_id="g",
        camera=CAMERA,
        nonce=nonce.hex(),
        issued_at_ms=time.time_ns() // 1_000_000,
        ttl_s=60,
        host="gateway.line-1.gw1",
        result_id="r",
        zone="line-1",
        publics_sha256="00" * 32,
        tls_spki_sha256="",
        hpke_kem="x",
        hpke_public="00",
        address="",
        model_sha256="",
        policy="",
        mask_version=0,
        mask_sha256="",
    )

    def take(label: str, asked_s: float, with_nonce: bytes, **changes: Any) -> Callable[[], Any]:
        signer = fleet.signing[label]
        envelope = replace(grant, **changes).seal(signer.der, signer.sign)

        def run() -> None:
            lease = hold_grant(
                envelope,
                AskedGrant(CAMERA, with_nonce, time.monotonic() - asked_s),
                fleet.intermediates,
                fleet.root.certificate,
                time.time_ns() // 1_000_000,
            )
            if not lease.alive:  # what the camera asks before it seals a frame
                raise Refused.of(Reason.GRANT_EXPIRED, "a grant alive", "ended")

        return run

    seen = [
        reason_of(take("grant", 3600, nonce)),
        reason_of(take("grant", 0, os.urandom(32))),
        reason_of(take("mask", 0, nonce)),
        reason_of(take("grant", 0, nonce, camera="camera.line-1.other")),
    ]
    return Seen(all(s.refused for s in seen), "; ".join(s.reason for s in seen))


@attempt("N116", "TPM Restart into another system with the TLS key's hierarchy alive (swtpm)")
def n116(t: Target) -> Seen:
    with _machine(t) as machine, closing(Tpm(machine.tcti)) as tpm:
        tpm.tls_key()
        tpm.sign_with_tls_key(b"before")
        return reason_of(_changed_pcr(tpm))


@attempt("N208", "a controller an hour ahead and then right; an old challenge key (swtpm)")
def n208(t: Target) -> Seen:
    with _machine(t) as machine, closing(Tpm(machine.tcti)) as tpm:
        return asyncio.run(_set_back(t, tpm, machine.boot_log_path))


@contextmanager
def _machine(t: Target) -> Iterator[Machine]:
    """A machine of the plant's maker that has booted, with a TPM of its own."""
    folder = Path(tempfile.mkdtemp(prefix="fg-"))
    machine = Machine(folder, t.plant.maker, Firmware("simulated-camera"))
    machine.power_on()
    try:
        yield machine
    finally:
        machine.power_off()


async def _set_back(t: Target, tpm: Tpm, boot_log: Path) -> Seen:
    clock, desk = TrustedClock(0), ChallengeDesk(t.keys.signing["challenge"])
    attester = Attester(tpm, boot_log, clock)
    root = base64.b64encode(t.keys.root.der).decode()
    state = AgentState("join:1", "fleet:1", "controller", root)
    async with desk.channel() as channel:
        for desk.ahead_ms in (LATER_MS, LATER_MS + HOUR_MS, LATER_MS):
            await attester.attest(state, channel, ())
        off_ms = abs(clock.now_ms() - time.time_ns() // 1_000_000 - LATER_MS)
        right = "right" if off_ms < LEEWAY_MS else "AHEAD"
        said = []
        for desk.ahead_ms in (0, LATER_MS - STEP_MS, LATER_MS - 2 * STEP_MS):
            try:
                await attester.attest(state, channel, ())
                said.append("taken")
            except Refused as error:
                said.append(error.reason.value)
    expired = Reason.SESSION_EXPIRED.value
    told = f"an hour ahead, then right: {right}; an old key: {said[0]}; by steps: {said[2]}"
    return Seen(right == "right" and said == [expired, "taken", expired], told)


def _changed_pcr(tpm: Tpm) -> Callable[[], Any]:
    """What a running system that is no longer the attested one meets when it uses the key."""
    import tpm2_pytss as tss

    def extend() -> None:
        digest = tss.TPMT_HA(hashAlg=tss.TPM2_ALG.SHA256, digest=tss.TPMU_HA(sha256=bytes(32)))
        tpm._esapi.esys.pcr_extend(tss.ESYS_TR.PCR4, tss.TPML_DIGEST_VALUES(digests=[digest]))

    def run() -> None:
        tpm._esapi.on_owner(extend)
        tpm.sign_with_tls_key(b"after")

    return run


@attempt("N118", "the signer asked for anything but a TLS 1.3 client handshake, and flooded")
def n118(t: Target) -> Seen:
    class Counting:
        count = 0

        def sign_with_tls_key(self, _message: bytes) -> bytes:
            self.count += 1
            return b"s"

    key = Counting()
    certificate = issue_operator(t.keys, "x", ec.generate_private_key(ec.SECP256R1()).public_key())
    signer = TlsSigner(key, certificate, lambda: datetime.now(UTC).timestamp())
    messages = (
        b"",
        b"x" * 130,
        b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + bytes(32),
        TLS_CLIENT_PREFIX,
        b"framegate/v1/sign-opening\0" + bytes(64),
        b"\xffTCG" + bytes(126),
    )
    seen = [reason_of(partial(signer.sign, message)) for message in messages]
    none = key.count == 0
    flood = Seen(False, "")
    for _ in range(2000):
        flood = reason_of(lambda: signer.sign(TLS_CLIENT_PREFIX + bytes(32)))
        if flood.refused:
            break
    return Seen(
        all(s.refused for s in seen) and none and flood.refused,
        f"{seen[0].reason}, nothing signed; {flood.reason} after {key.count}",
    )
