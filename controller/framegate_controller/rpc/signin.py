"""Sign-in, on the join port: a person has no certificate yet. Thin; `access.signin` decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Malformed, Reason, Refused, Unavailable
from framegate_controller.people.signin import SignedIn, SignIn
from framegate_controller.rpc.hub import Hub
from framegate_controller.rpc.peer import address_of
from framegate_controller.rpc.wire import Context, guarded
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc

T = TypeVar("T")
WORKERS = 2
"""A password's hash takes 0.1 s of a core and 64 MiB. Sign-in has threads of its own, so that a flood of it delays nobody's attestation."""
MAX_WAITING = 64
"""Three seconds of work; a shift that signs in at once is fewer."""
MAX_TEXT = 4096
"""Characters of anything a person types or an app shows."""


class SignInService(rpc.SignInServicer):
    """RPCs of people who have no session yet."""

    def __init__(self, sign_in: SignIn, hub: Hub, fleet_address: str) -> None:
        self._sign_in, self._hub, self._fleet_address = sign_in, hub, fleet_address
        self._pool, self._waiting = ThreadPoolExecutor(WORKERS, "sign-in"), 0

    @guarded
    async def Methods(self, request: pb.SignInMethodsRequest, context: Context) -> pb.SignInMethodsReply:
        """Which fleet this is, and whom it believes."""
        s = self._sign_in
        return pb.SignInMethodsReply(fleet=s.keys.fleet, now_ms=s.clock(), oidc_issuer=s.oidc.issuer if s.oidc else "")

    @guarded
    async def Password(self, request: pb.PasswordRequest, context: Context) -> pb.SignedIn:
        """See `SignIn.password` and `SignIn.break_glass`."""
        _short(request.operator, request.password, request.code, request.break_glass)
        source = address_of(context)
        if request.break_glass:
            return await self._run(lambda: self._sign_in.break_glass(request.operator, request.break_glass, request.csr, source))
        return await self._run(lambda: self._sign_in.password(request.operator, request.password, request.code, request.csr, source))

    @guarded
    async def KeyBegin(self, request: pb.KeyBeginRequest, context: Context) -> pb.KeyChallenge:
        """See `SignIn.key_begin`."""
        _short(request.operator)
        made = await self._work(lambda: self._sign_in.key_begin(request.operator))
        return pb.KeyChallenge(state=made.state, options=made.options)

    @guarded
    async def KeyComplete(self, request: pb.KeyCompleteRequest, context: Context) -> pb.SignedIn:
        """See `SignIn.key_complete`."""
        source = address_of(context)
        return await self._run(lambda: self._sign_in.key_complete(request.state, request.response, request.csr, source))

    @guarded
    async def OidcBegin(self, request: pb.OidcBeginRequest, context: Context) -> pb.OidcBeginReply:
        """See `OidcProvider.begin`."""
        _short(request.flow, request.redirect_uri)
        s = self._sign_in
        if s.oidc is None:
            raise Refused.of(Reason.SIGN_IN, "a provider that this controller knows", "none", "framegate login NAME uses password and code")
        flow = await self._work(partial(s.oidc.begin, request.flow, request.redirect_uri, s.clock()))
        return pb.OidcBeginReply(state=flow.state, url=flow.url, user_code=flow.user_code, interval_s=flow.interval_s, expires_s=flow.expires_s)

    @guarded
    async def OidcComplete(self, request: pb.OidcCompleteRequest, context: Context) -> pb.SignedIn:
        """See `SignIn.oidc_complete`."""
        _short(request.answer)
        source = address_of(context)
        return await self._run(lambda: self._sign_in.oidc_complete(request.state, request.answer, request.csr, source))

    @guarded
    async def EnrolBegin(self, request: pb.EnrolBeginRequest, context: Context) -> pb.EnrolBeginReply:
        """See `SignIn.enrol_begin`."""
        _short(request.operator, request.code)
        source = address_of(context)
        return pb.EnrolBeginReply(totp_uri=await self._work(lambda: self._sign_in.enrol_begin(request.operator, request.code, source)))

    @guarded
    async def EnrolComplete(self, request: pb.EnrolCompleteRequest, context: Context) -> pb.SignedIn:
        """See `SignIn.enrol_complete`."""
        r, source = request, address_of(context)
        _short(r.operator, r.code, r.password, r.totp)
        return await self._run(lambda: self._sign_in.enrol_complete(r.operator, r.code, r.password, r.totp, r.csr, source))

    async def _work(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise Unavailable.of(Reason.TOO_MANY_TRIES, f"at most {MAX_WAITING} people signing in at once", "more", "try again in a few seconds")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    async def _run(self, work: Callable[[], SignedIn | None]) -> pb.SignedIn:
        made = await self._work(work)
        if made is None:
            return pb.SignedIn(pending=True)
        await self._hub.access_changed()  # gateways know of the session before the person's first command reaches one
        keys = self._sign_in.keys
        return pb.SignedIn(
            operator=made.operator, certificate=made.certificate.public_bytes(Encoding.DER), issuer=keys.issuing["operator-ca"].der, authorities=keys.authorities,
            roles=made.roles, expires_ms=made.expires_ms, recovery_codes=made.recovery_codes, notices=made.notices, fleet_address=self._fleet_address,
        )  # fmt: skip


def _short(*texts: str) -> None:
    for text in texts:
        if len(text) > MAX_TEXT:
            raise Malformed.of(Reason.TOO_LARGE, f"at most {MAX_TEXT} characters", len(text))
