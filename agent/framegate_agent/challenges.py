"""A controller's challenge as a machine takes it: before its TPM is touched."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import (
    Purpose,
    from_ms,
    load_certificate,
    verify_certificate,
)
from framegate.tpm.constants import HASH_NAME
from framegate.wire import LABEL_CHALLENGE, Challenge, sha256
from framegate_proto.v1 import framegate_pb2 as pb


def verified_challenge(reply: pb.ChallengeReply, hello: bytes, root: x509.Certificate) -> Challenge:
    """The challenge in `reply` to our `hello`, of the fleet of `root`.

    1. it answers exactly our Hello;
    2. its certificate is a challenge key of our fleet at the time that it says;
    3. the signature holds over the bytes that came;
    4. it asks for PCRs of a bank that is known.

    Whether that time is now, `TrustedClock` knows. Raises Malformed, Refused.
    """
    challenge = Challenge.parse(reply.challenge)
    if challenge.hello_sha256 != sha256(hello):  # 1
        raise Refused.of(Reason.SESSION_UNKNOWN, "a challenge to our Hello", "another")
    certificate, then = load_certificate(reply.certificate), from_ms(challenge.issued_at_ms)
    signer = verify_certificate(certificate, Purpose.CHALLENGE, (), root, then)  # 2
    try:
        signer.key.verify(
            reply.signature, LABEL_CHALLENGE + reply.challenge, ec.ECDSA(hashes.SHA256())
        )  # 3
    except InvalidSignature as error:
        wanted, hint = "the challenge key's signature", "this is not your fleet's controller"
        raise Refused.of(Reason.SIGNATURE, wanted, "another", hint) from error
    if challenge.bank not in HASH_NAME or not challenge.pcrs:  # 4
        came = (challenge.bank, challenge.pcrs)
        raise Malformed.of(Reason.PCR_SELECTION, "a PCR bank and PCRs", came)
    return challenge
