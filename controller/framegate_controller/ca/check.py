"""What must hold before the fleet's CAs sign something."""

from __future__ import annotations

from datetime import timedelta

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Reason, Refused
from framegate.evidence.appraise import AttestationResult
from framegate.identity.certificates import Purpose
from framegate_controller.ca.keys import ISSUING
from framegate_controller.ca.template import BACKDATE, LIVES, Template


def affirmed_key(result: AttestationResult) -> ec.EllipticCurvePublicKey:
    """The TLS key that a device's TPM certified, where the result affirms.

    Raises Refused (NOT_TRUSTED, TLS_TEMPLATE).
    """
    if not result.affirming:
        raise Refused.of(
            Reason.NOT_TRUSTED, "an affirming result", f"{len(result.failures)} failures"
        )
    key = serialization.load_der_public_key(result.tls_spki)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Refused.of(Reason.TLS_TEMPLATE, "a P-256 TLS key", type(key).__name__)
    return key


def check_leaf(label: str, purpose: Purpose, template: Template) -> None:
    """That the issuing CA `label` may sign `template`.

    1. it signs for this purpose, and the template is no CA; 2. the life is some, and no longer than
    what the purpose allows; 3. the key is P-256. Raises Refused (CERTIFICATE).
    """
    if purpose not in ISSUING[label] or template.path_length is not None:  # 1
        raise Refused.of(Reason.CERTIFICATE, f"what the {label} signs for", purpose.name.lower())
    life = template.ends - template.begins - BACKDATE
    if not timedelta(0) < life <= LIVES[purpose]:  # 2
        raise Refused.of(Reason.CERTIFICATE, f"a life of at most {LIVES[purpose]}", str(life))
    if not isinstance(template.key.curve, ec.SECP256R1):  # 3
        raise Refused.of(Reason.CERTIFICATE, "a P-256 key", template.key.curve.name)
