"""Security keys (FIDO2, WebAuthn level 2).

Challenges are answered once, by a key that was registered, with its user verified.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

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

from framegate.errors import Failure, Malformed, Reason, Refused
from framegate.record.people_events import SecurityKeySuspected
from framegate.registry.operator import SecurityKey
from framegate.wire import sha256
from framegate_controller.store.ports import Transaction
from framegate_controller.store.shared.ceremonies import OpenCeremony, Waiting

T = TypeVar("T")
CEREMONY_MS: Final = 120_000
"""From challenge to touch: a person looks for the key."""
MAX_KEYS: Final = 10
MAX_LABEL: Final = 63
MAX_RESPONSE: Final = 64 * 1024
NOBODY: Final = "-"
"""A name that no operator has."""
_CREATE: Final = "create"
_GET: Final = "get"
_VERIFIED: Final = UserVerificationRequirement.REQUIRED


@dataclass(frozen=True, slots=True)
class KeyCeremony:
    """A challenge: `state` to answer it with, `options` as WebAuthn's JSON."""

    state: bytes
    options: str


class CounterFell(Refused):
    """A key's signature counter did not rise: two devices sign as one. `event` tells of it."""

    def __init__(self, key: SecurityKey, counter: int) -> None:
        wanted = f"a signature counter above {key.counter}"
        hint = "this key may have been copied: framegate operator reset-mfa"
        super().__init__((Failure(Reason.SIGN_IN, wanted, str(counter), hint),))
        self.event = SecurityKeySuspected(label=key.label, known=key.counter, came=counter)


class SecurityKeys:
    """Ceremonies of one fleet.

    The relying party is `<fleet>.framegate`; its origin is https:// and that name, which
    Framegate's command line claims. `consoles` are origins of web consoles besides; browsers let
    them use these keys where their host is that name or below it.
    """

    def __init__(
        self,
        fleet: str,
        secret: bytes,
        waiting: Waiting[OpenCeremony],
        consoles: Collection[str] = (),
    ) -> None:
        self.rp_id = f"{fleet}.framegate"
        self.origin = f"https://{self.rp_id}"
        taken = {self.origin, *consoles}
        party = PublicKeyCredentialRpEntity(name=f"Framegate {fleet}", id=self.rp_id)
        self._server = Fido2Server(party, verify_origin=lambda origin: origin in taken)
        self._secret, self._waiting = secret, waiting

    def ask(self, tx: Transaction, operator: str) -> KeyCeremony:
        """A challenge for any of the operator's keys.

        For somebody who has none, one that names a key nobody has, always the same for that name.
        """
        keys = [_descriptor(k.credential) for k in tx.people.keys(operator)]
        decoy = hmac.digest(self._secret, b"decoy" + operator.encode(), "sha256")
        options, state = self._server.authenticate_begin(
            keys or [_descriptor(decoy)], user_verification=_VERIFIED
        )
        return self._begun(OpenCeremony(operator, _GET, state, tx.now_ms + CEREMONY_MS), options)

    def register(self, tx: Transaction, operator: str) -> KeyCeremony:
        """A challenge to register a new key. Raises Refused where there are `MAX_KEYS`."""
        keys = tx.people.keys(operator)
        if len(keys) >= MAX_KEYS:
            raise Refused.of(Reason.CONFLICT, f"at most {MAX_KEYS} security keys", len(keys))
        user = PublicKeyCredentialUserEntity(
            name=operator, id=sha256(operator.encode()), display_name=operator
        )
        options, state = self._server.register_begin(
            user,
            [_descriptor(k.credential) for k in keys],
            resident_key_requirement=ResidentKeyRequirement.DISCOURAGED,
            user_verification=_VERIFIED,
        )
        return self._begun(OpenCeremony(operator, _CREATE, state, tx.now_ms + CEREMONY_MS), options)

    def registered(
        self, tx: Transaction, operator: str, state: bytes, response: str, label: str
    ) -> SecurityKey:
        """Keep the key that answered. Raises Malformed, Refused (SIGN_IN, CONFLICT)."""
        begun = self._take(state, _CREATE, tx.now_ms)
        if begun.operator != operator:
            raise Refused.of(Reason.SIGN_IN, "an answer to your own challenge", "another's")

        def complete() -> Any:
            answer = RegistrationResponse.from_dict(_json(response))
            return self._server.register_complete(begun.state, answer)

        authenticator_data = _foreign(complete)
        data = authenticator_data.credential_data
        if data is None or tx.people.key(data.credential_id) is not None:
            expected = "a key that is not registered yet"
            raise Refused.of(Reason.CONFLICT, expected, "one that is")
        key = SecurityKey(
            credential=data.credential_id,
            operator=operator,
            label=label[:MAX_LABEL] or "key",
            data=bytes(data),
            counter=authenticator_data.counter,
            added_ms=tx.now_ms,
        )
        tx.people.put_key(key)
        return key

    def whose(self, state: bytes) -> str:
        """The operator that a waiting challenge is for; a name nobody has where there is none."""
        begun = self._waiting.get(state)
        return begun.operator if begun is not None else NOBODY

    def answered(self, tx: Transaction, state: bytes, response: str) -> str:
        """The operator whose key signed the challenge.

        1. the challenge waits, and is spent by this; 2. one of the operator's keys signed it, with
        its user verified; 3. the key's counter rose, or it is a key that does not count: zero now
        as it was before (WebAuthn 7.2, step 22). A counter that fell, to zero too, means a copy;
        what is kept then stays. Raises Malformed, Refused (SIGN_IN; CounterFell for 3).
        """
        begun = self._take(state, _GET, tx.now_ms)  # 1
        keys = {k.credential: k for k in tx.people.keys(begun.operator)}

        def complete() -> tuple[bytes, int]:
            answer = AuthenticationResponse.from_dict(_json(response))
            credentials = [AttestedCredentialData(k.data) for k in keys.values()]
            used = self._server.authenticate_complete(begun.state, credentials, answer)
            return used.credential_id, answer.response.authenticator_data.counter

        credential, counter = _foreign(complete)  # 2
        key = keys[credential]
        if (counter or key.counter) and counter <= key.counter:  # 3
            raise CounterFell(key, counter)
        tx.people.put_key(replace(key, counter=counter))
        return begun.operator

    def _begun(self, begun: OpenCeremony, options: Any) -> KeyCeremony:
        state = secrets.token_bytes(16)
        self._waiting.keep(state, begun)
        return KeyCeremony(state, json.dumps(dict(options)))

    def _take(self, state: bytes, kind: str, now_ms: int) -> OpenCeremony:
        begun = self._waiting.take(state)
        if begun is None or begun.kind != kind or begun.expires_ms <= now_ms:
            expected = "an answer to a challenge that waits"
            raise Refused.of(Reason.SIGN_IN, expected, "none, used, or too late", "begin again")
        return begun


def _foreign(complete: Callable[[], T]) -> T:
    """What the library makes of an answer somebody made up; whatever it raises is a refusal."""
    try:
        return complete()
    except Malformed:
        raise
    except Exception as error:
        expected = "an answer by a registered security key, its user verified"
        hint = "begin again with your own key"
        raise Refused.of(Reason.SIGN_IN, expected, type(error).__name__, hint) from error


def _json(response: str) -> dict[str, Any]:
    if len(response) > MAX_RESPONSE:
        expected = f"a WebAuthn answer of at most {MAX_RESPONSE} characters"
        raise Malformed.of(Reason.TOO_LARGE, expected, len(response))
    try:
        body = json.loads(response)
    except (ValueError, RecursionError) as error:
        raise Malformed.of(Reason.SIGN_IN, "WebAuthn's JSON", type(error).__name__) from error
    if type(body) is not dict:
        raise Malformed.of(Reason.SIGN_IN, "WebAuthn's JSON", type(body).__name__)
    return body


def _descriptor(credential: bytes) -> PublicKeyCredentialDescriptor:
    kind = PublicKeyCredentialType.PUBLIC_KEY
    return PublicKeyCredentialDescriptor(type=kind, id=credential)
