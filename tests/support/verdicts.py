"""Signed verdicts."""

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from framegate.identity.certificates import Purpose
from framegate.signed.statement import Verdict, verify_verdict
from framegate_controller.ca.issue import certify
from framegate_controller.ca.keys import SigningKey
from framegate_controller.ca.template import leaf_template

NOW = datetime.now(UTC) + timedelta(hours=1)
"""After the fleet of these tests was founded, however late in a run that is."""


MS = int(NOW.timestamp() * 1000)


PASS = Verdict(
    verdict_id="v",
    gateway="gateway.line-1.gw1",
    device="camera.line-1.cam1",
    zone="line-1",
    part="p",
    part_type="t",
    trigger_sequence=1,
    outcome="PASS",
    reason="",
    defects=(),
    model_sha256="aa",
    golden_sha256="bb",
    input_sha256="cc",
    result_id="r",
    session="s",
    counter=0,
    issued_at_ms=MS,
    valid_until_ms=MS + 30_000,
)


def signer(
    keys,
    name: str = PASS.gateway,
    purpose: Purpose = Purpose.VERDICT,
    label: str = "gateway-ca",
    life: timedelta = timedelta(minutes=3),
) -> SigningKey:
    key = ec.generate_private_key(ec.SECP256R1())
    return SigningKey(
        key, certify(keys.issuing[label], leaf_template(purpose, name, key.public_key(), life, NOW))
    )


def check(keys, verdict: Verdict, by: SigningKey | None = None, now: datetime = NOW) -> Verdict:
    by = by or signer(keys)
    return verify_verdict(
        verdict.seal(by.der, by.sign), keys.intermediates, keys.root.certificate, now
    )
