"""Security keys (FIDO2, WebAuthn level 2): challenges that are answered once, by a key that was registered, with its user verified."""

from __future__ import annotations

import hmac
import json
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from framegate.errors import Malformed, Reason, Refused
from framegate.wire import sha256
from framegate_controller.store.tables import SecurityKey

CEREMONY_MS: Final = 120_000
"""From challenge to touch: a person looks for the key."""
MAX_CEREMONIES: Final = 2_000
MAX_KEYS: Final = 10
MAX_RESPONSE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class KeyCeremony:
    """A challenge: `state` to answer it with, `options` as WebAuthn's JSON."""

    state: bytes
    options: str


@dataclass(frozen=True, slots=True)
class _Open:
    operator: str
    kind: str
    state: Any
    expires_ms: int


class SecurityKeys:
    """Ceremonies of one controller. The relying party is `<fleet>.framegate`; its origin is https:// and that name, which only Framegate's command line claims."""

    def __init__(self, fleet: str, secret: bytes) -> None:
        self.rp_id = f"{fleet}.framegate"
        self.origin = f"https://{self.rp_id}"
        self._server = Fido2Server(PublicKeyCredentialRpEntity(name=f"Framegate {fleet}", id=self.rp_id), verify_origin=lambda origin: origin == self.origin)
        self._open: OrderedDict[bytes, _Open] = OrderedDict()
        self._secret = secret

    def ask(self, session: Session, operator: str, now_ms: int) -> KeyCeremony:
        """A challenge for any of the operator's keys; for somebody who has none, one that names a key nobody has, always the same for that name."""
        keys = [_descriptor(k.credential) for k in _keys(session, operator)]
        decoy = hmac.digest(self._secret, b"decoy" + operator.encode(), "sha256")
        options, state = self._server.authenticate_begin(keys or [_descriptor(decoy)], user_verification=UserVerificationRequirement.REQUIRED)
        return self._keep(operator, "get", options, state, now_ms)

    def register(self, session: Session, operator: str, now_ms: int) -> KeyCeremony:
        """A challenge to register a new key. Raises Refused where there are `MAX_KEYS`."""
        held = _keys(session, operator)
        if len(held) >= MAX_KEYS:
            raise Refused.of(Reason.CONFLICT, f"at most {MAX_KEYS} security keys", len(held))
        user = PublicKeyCredentialUserEntity(name=operator, id=sha256(operator.encode()), display_name=operator)
        options, state = self._server.register_begin(
            user, [_descriptor(k.credential) for k in held],
            resident_key_requirement=ResidentKeyRequirement.DISCOURAGED, user_verification=UserVerificationRequirement.REQUIRED,
        )  # fmt: skip
        return self._keep(operator, "create", options, state, now_ms)

    def registered(self, session: Session, operator: str, state: bytes, response: str, label: str, now_ms: int) -> None:
        """Keep the key that answered. Raises Malformed, Refused (SIGN_IN)."""
        waiting = self._take(state, "create", now_ms)
        if waiting.operator != operator:
            raise Refused.of(Reason.SIGN_IN, "an answer to your own challenge", "another's")
        try:
            made = self._server.register_complete(waiting.state, RegistrationResponse.from_dict(_json(response)))
        except Malformed:
            raise
        except Exception as error:
            raise _refused(error) from error
        data = made.credential_data
        if data is None or session.get(SecurityKey, data.credential_id) is not None:
            raise Refused.of(Reason.CONFLICT, "a key that is not registered yet", "one that is")
        session.add(SecurityKey(credential=data.credential_id, operator=operator, label=label[:63] or "key", data=bytes(data), counter=made.counter, added_ms=now_ms))

    def whose(self, state: bytes) -> str:
        """The operator that a waiting challenge is for; a name nobody has where there is none."""
        waiting = self._open.get(state)
        return waiting.operator if waiting else "-"

    def answered(self, session: Session, state: bytes, response: str, now_ms: int) -> str:
        """The operator whose key signed the challenge, with its user verified, and its counter risen. Raises Malformed, Refused (SIGN_IN)."""
        waiting = self._take(state, "get", now_ms)
        rows = {k.credential: k for k in _keys(session, waiting.operator)}
        try:
            answer = AuthenticationResponse.from_dict(_json(response))
            used = self._server.authenticate_complete(waiting.state, [AttestedCredentialData(k.data) for k in rows.values()], answer)
            counter = answer.response.authenticator_data.counter
        except Malformed:
            raise
        except Exception as error:
            raise _refused(error) from error
        row = rows[used.credential_id]
        if counter and counter <= row.counter:  # a copy of the key exists (WebAuthn 7.2, step 22)
            raise Refused.of(Reason.SIGN_IN, f"a signature counter above {row.counter}", counter, "this key may have been copied: framegate operator reset-mfa")
        row.counter = counter
        return waiting.operator

    def _keep(self, operator: str, kind: str, options: Any, state: Any, now_ms: int) -> KeyCeremony:
        if len(self._open) >= MAX_CEREMONIES:
            self._open.popitem(last=False)
        identifier = secrets.token_bytes(16)
        self._open[identifier] = _Open(operator, kind, state, now_ms + CEREMONY_MS)
        return KeyCeremony(identifier, json.dumps(dict(options)))

    def _take(self, state: bytes, kind: str, now_ms: int) -> _Open:
        waiting = self._open.pop(state, None)
        if waiting is None or waiting.kind != kind or waiting.expires_ms <= now_ms:
            raise Refused.of(Reason.SIGN_IN, "an answer to a challenge that waits", "none, used, or too late", "begin again")
        return waiting


def _keys(session: Session, operator: str) -> list[SecurityKey]:
    return list(session.scalars(select(SecurityKey).where(SecurityKey.operator == operator).order_by(SecurityKey.added_ms)).all())


def _json(response: str) -> dict[str, Any]:
    if len(response) > MAX_RESPONSE:
        raise Malformed.of(Reason.TOO_LARGE, f"a WebAuthn answer of at most {MAX_RESPONSE} characters", len(response))
    try:
        body = json.loads(response)
    except (ValueError, RecursionError) as error:
        raise Malformed.of(Reason.SIGN_IN, "WebAuthn's JSON", type(error).__name__) from error
    if type(body) is not dict:
        raise Malformed.of(Reason.SIGN_IN, "WebAuthn's JSON", type(body).__name__)
    return body


def _refused(error: Exception) -> Refused:
    """Whatever the library thinks of an answer somebody made up."""
    return Refused.of(Reason.SIGN_IN, "an answer by a registered security key, its user verified", f"{type(error).__name__}", "begin again with your own key")


def _descriptor(credential: bytes) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(type=PublicKeyCredentialType.PUBLIC_KEY, id=credential)
