"""Signing in at the controller, for somebody at a browser: by password and code, by a security key,
or at the provider. The session's key is made here, and is in this process's memory alone.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

import grpc
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Reason, Refused
from framegate_console.calls import secure_channel
from framegate_console.methods import sign_in_methods
from framegate_console.sessions import Session
from framegate_operator.contexts import OperatorContext
from framegate_operator.session_credentials import certificate_request, session_credential
from framegate_proto.edge import answered
from framegate_proto.v1 import framegate_pb2 as pb

SIGN_IN_S: Final = 20.0
"""A password takes a second of Argon2 at the controller, and some may wait before it."""
WAYS_S: Final = 10.0
_HINT: Final = "is the controller running and reachable from the console's machine?"


@dataclass(frozen=True, slots=True)
class SignInWays:
    """What the controller offers beyond passwords: the provider's issuer, empty for none."""

    fleet: str
    oidc_issuer: str


class SignInDesk:
    """The controller's sign-in service, as `context` says where it is."""

    def __init__(self, context: OperatorContext) -> None:
        self._context = context
        self._ways: SignInWays | None = None
        self._known_at_s = float("-inf")
        self._asking = asyncio.Lock()

    async def ways(self) -> SignInWays:
        """What it offers, asked at most once in `WAYS_S` however many strangers want the page: the
        controller counts this console's connections as one network's. Raises Unavailable.
        """
        async with self._asking:
            if self._ways is None or time.monotonic() - self._known_at_s > WAYS_S:
                reply = await self._asked("Methods", pb.SignInMethodsRequest())
                self._ways = SignInWays(reply.fleet, reply.oidc_issuer)
                self._known_at_s = time.monotonic()
            return self._ways

    async def by_password(self, operator: str, password: str, code: str) -> Session:
        """A session by password and a code of the authenticator. Raises Refused, Unavailable."""
        key = await _new_key()
        request = pb.PasswordRequest(
            operator=operator, password=password, code=code, csr=certificate_request(key)
        )
        return await self._session("Password", request, key)

    async def key_begin(self, operator: str) -> pb.KeyChallenge:
        """WebAuthn's challenge for a person's security keys."""
        challenge: pb.KeyChallenge = await self._asked(
            "KeyBegin", pb.KeyBeginRequest(operator=operator)
        )
        return challenge

    async def by_key(self, state: bytes, response: str) -> Session:
        """A session by what a security key answered."""
        key = await _new_key()
        request = pb.KeyCompleteRequest(
            state=state, response=response, csr=certificate_request(key)
        )
        return await self._session("KeyComplete", request, key)

    async def oidc_begin(self, redirect: str) -> pb.OidcBeginReply:
        """Where the provider asks the person, whom it sends back to `redirect`."""
        request = pb.OidcBeginRequest(flow="code", redirect_uri=redirect)
        begun: pb.OidcBeginReply = await self._asked("OidcBegin", request)
        return begun

    async def by_provider(self, state: bytes, answer: str) -> Session:
        """A session by the provider's answer."""
        key = await _new_key()
        request = pb.OidcCompleteRequest(state=state, answer=answer, csr=certificate_request(key))
        return await self._session("OidcComplete", request, key)

    async def _session(self, name: str, request: Any, key: ec.EllipticCurvePrivateKey) -> Session:
        signed_in = await self._asked(name, request)
        if signed_in.pending:
            raise Refused.of(Reason.SIGN_IN, "an answer at the provider", "none so far")
        root = self._context.root_certificate
        credential = session_credential(root, key, signed_in)
        return Session.of(credential, root, self._context.fleet_address, signed_in.roles)

    async def _asked(self, name: str, request: Any) -> Any:
        credentials = grpc.ssl_channel_credentials(self._context.root)
        channel = secure_channel(self._context.join_address, self._context.server_name, credentials)
        async with channel:
            call = sign_in_methods()[name].on(channel)(request, timeout=SIGN_IN_S)
            return await answered(call, _HINT)


async def _new_key() -> ec.EllipticCurvePrivateKey:
    return await asyncio.to_thread(ec.generate_private_key, ec.SECP256R1())
