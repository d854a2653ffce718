"""CA keys in a PKCS#11 token: a hardware security module, or SoftHSM.

The private key is made there and never leaves.
"""

from __future__ import annotations

import threading
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters

from framegate.errors import Reason, Refused, Unavailable
from framegate.identity.foreign_key import ForeignKey
from framegate_host.secret_files import read_secret

_SCALAR: Final = 32
"""Bytes of r and of s in a token's signature on P-256."""
_PRIVATE: Final = {
    pkcs11.Attribute.SIGN: True,
    pkcs11.Attribute.SENSITIVE: True,
    pkcs11.Attribute.EXTRACTABLE: False,
}


class Pkcs11Keys:
    """Keys of one token; `pin_file` holds the user's PIN. One session, one caller at a time."""

    def __init__(self, module: str, token: str, pin_file: Path) -> None:
        self.place = f"PKCS#11 token {token}"
        self._lock = threading.Lock()
        try:
            pin = read_secret(pin_file).decode()
            slot_token = pkcs11.lib(module).get_token(token_label=token)
            try:
                self._session: Any = slot_token.open(rw=True, user_pin=pin)
            except pkcs11.UserAlreadyLoggedIn:  # a token knows one login for each process
                self._session = slot_token.open(rw=True)
        except (OSError, pkcs11.PKCS11Error, RuntimeError) as error:
            problem = f"{type(error).__name__} {error}".strip()
            wanted = f"the PKCS#11 token {token} in {module}"
            hint = "softhsm2-util --show-slots, or your module's own tool; check the PIN file"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, problem, hint) from error

    def make(self, label: str) -> ec.EllipticCurvePrivateKey:
        """See `KeyStore`."""
        if self._find(label, pkcs11.ObjectClass.PRIVATE_KEY):
            hint = "keys are never overwritten; use another token for another fleet"
            raise Refused.of(Reason.CONFLICT, f"no key {label} in the token", "one", hint)
        curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        with self._lock:
            domain = self._session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
            domain.generate_keypair(
                store=True,
                label=label,
                public_template={pkcs11.Attribute.VERIFY: True},
                private_template=_PRIVATE,
            )
        return self.load(label)

    def load(self, label: str) -> ec.EllipticCurvePrivateKey:
        """See `KeyStore`."""
        private = self._find(label, pkcs11.ObjectClass.PRIVATE_KEY)
        public = self._find(label, pkcs11.ObjectClass.PUBLIC_KEY)
        if len(private) != 1 or len(public) != 1:
            wanted, actual = (
                f"one key pair {label} in the token",
                f"{len(private)} private, {len(public)} public",
            )
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, actual, "is this the fleet's token?")
        key = load_der_public_key(encode_ec_public_key(public[0]))
        if not isinstance(key, ec.EllipticCurvePublicKey):
            wanted = f"a P-256 key {label} in the token"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, type(key).__name__)

        def sign(message: bytes) -> bytes:
            with self._lock:
                raw = bytes(
                    private[0].sign(sha256(message).digest(), mechanism=pkcs11.Mechanism.ECDSA)
                )
            r, s = raw[:_SCALAR], raw[_SCALAR:]
            return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))

        return ForeignKey(key, sign)

    def rename(self, label: str, new: str) -> None:
        """See `KeyStore`."""
        with self._lock:
            for kind in (pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.ObjectClass.PUBLIC_KEY):
                for old in self._objects(new, kind):
                    old.destroy()
                for key in self._objects(label, kind):
                    key[pkcs11.Attribute.LABEL] = new

    def _find(self, label: str, kind: Any) -> list[Any]:
        with self._lock:
            return self._objects(label, kind)

    def _objects(self, label: str, kind: Any) -> list[Any]:
        """All of them, as the token ends a search before it does anything else."""
        wanted = {pkcs11.Attribute.CLASS: kind, pkcs11.Attribute.LABEL: label}
        return list(self._session.get_objects(wanted))
