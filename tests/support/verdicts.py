"""Signed verdicts."""

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from framegate.identity.certificates import Purpose
from framegate.signed.statement import Verdict, verify_verdict
from framegate_controller.ca.issue import certify
from framegate_controller.ca.keys import SigningKey
from framegate_controller.ca.template import leaf_template
from framegate_simulators.fixtures.frames import passed

NOW = datetime.now(UTC) + timedelta(hours=1)
"""After the fleet of these tests was founded, however late in a run that is."""


MS = int(NOW.timestamp() * 1000)


PASS = passed(MS)


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
