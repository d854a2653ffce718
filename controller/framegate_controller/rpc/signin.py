"""Sign-in: a person has no certificate yet. Thin; `people.signin` decides."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from framegate.access.questions import address_text
from framegate.errors import Malformed, Reason, Refused
from framegate_controller.context import Fleet
from framegate_controller.events.notices import AccessChanged
from framegate_controller.people.operators import SESSION_LIFE_MS
from framegate_controller.people.sessions import SignedIn
from framegate_controller.people.signin import SignIn
from framegate_controller.rpc.peer import address_of
from framegate_controller.rpc.sign_in_threads import Lane, SignInThreads
from framegate_controller.rpc.wire import Context, Publisher, guarded, to_the_end
from framegate_proto.v1 import framegate_pb2 as pb

PASSWORDS: Final = Lane("password", threads=1, calls=64, calls_address=64)
"""A password's hash takes 0.1 s of a core and 64 MiB: one at a time, so that however many sign in
at once, evidence has a core to itself. 64 are some six seconds of work, which a client waits for,
and a shift that signs in at once, through one address, is fewer.
"""
HERE: Final = Lane("sign-in", threads=2, calls=64, calls_address=64)
"""What costs no hash waits behind none: security keys, and enrolment until a password is set."""
PROVIDER: Final = Lane("provider", threads=4, calls=16, calls_address=4)
"""An OpenID provider takes the time it takes, up to `bounded_http.ALL_S` a question.

Whoever waits for it waits among others who do, and holds up no password and no security key; one
address cannot take every place.
"""
MAX_CHAIN: Final = 4
"""A person's certificate and its issuing CA; two generations of that at most."""
MAX_TEXT: Final = 4096
"""Characters of anything a person types or an app shows."""


class SignInService:
    """RPCs of people who have no session yet, as the process at the join port passes them on; it
    answers `Methods` itself. `fleet` says where the fleet port is.
    """

    def __init__(self, sign_in: SignIn, fleet: Fleet, bus: Publisher) -> None:
        self._sign_in, self._fleet, self._bus = sign_in, fleet, bus
        self._passwords = SignInThreads(PASSWORDS)
        self._here, self._provider = SignInThreads(HERE), SignInThreads(PROVIDER)

    def close(self) -> None:
        """End the threads of all lanes. Blocks until what is under way in them has ended."""
        for lane in (self._here, self._passwords, self._provider):
            lane.close()

    @guarded
    async def Password(self, request: pb.PasswordRequest, context: Context) -> pb.SignedIn:
        """See `SignIn.password` and `SignIn.break_glass`."""
        r, source = request, address_of(context)
        _short(r.operator, r.password, r.code, r.break_glass)
        if r.break_glass:
            return await self._run(
                self._here,
                source,
                lambda: self._sign_in.break_glass(r.operator, r.break_glass, r.csr, source),
            )
        return await self._run(
            self._passwords,
            source,
            lambda: self._sign_in.password(r.operator, r.password, r.code, r.csr, source),
        )

    @guarded
    async def KeyBegin(self, request: pb.KeyBeginRequest, context: Context) -> pb.KeyChallenge:
        """See `SignIn.key_begin`."""
        _short(request.operator)
        ceremony = await self._here.run(
            address_of(context), lambda: self._sign_in.key_begin(request.operator)
        )
        return pb.KeyChallenge(state=ceremony.state, options=ceremony.options)

    @guarded
    async def KeyComplete(self, request: pb.KeyCompleteRequest, context: Context) -> pb.SignedIn:
        """See `SignIn.key_complete`."""
        r, source = request, address_of(context)
        return await self._run(
            self._here,
            source,
            lambda: self._sign_in.key_complete(r.state, r.response, r.csr, source),
        )

    @guarded
    async def OidcBegin(self, request: pb.OidcBeginRequest, context: Context) -> pb.OidcBeginReply:
        """See `OidcProvider.begin`."""
        _short(request.flow, request.redirect_uri)
        oidc, source = self._sign_in.oidc, address_of(context)
        if oidc is None:
            hint = "framegate login NAME uses password and code"
            raise Refused.of(Reason.SIGN_IN, "a provider that this controller knows", "none", hint)
        now_ms = self._fleet.clock()
        flow = await self._provider.run(
            source, partial(oidc.begin, request.flow, request.redirect_uri, source, now_ms)
        )
        return pb.OidcBeginReply(
            state=flow.state,
            url=flow.url,
            user_code=flow.user_code,
            interval_s=flow.interval_s,
            expires_s=flow.expires_s,
            grants=_grants(self._fleet.name, source) if flow.user_code else "",
        )

    @guarded
    async def OidcComplete(self, request: pb.OidcCompleteRequest, context: Context) -> pb.SignedIn:
        """See `SignIn.oidc_complete`."""
        r, source = request, address_of(context)
        _short(r.answer)
        return await to_the_end(
            self._signed_in(
                self._provider,
                source,
                lambda: self._sign_in.oidc_complete(r.state, r.answer, r.csr, source),
            )
        )

    @guarded
    async def EnrolBegin(
        self, request: pb.EnrolBeginRequest, context: Context
    ) -> pb.EnrolBeginReply:
        """See `SignIn.enrol_begin`."""
        r, source = request, address_of(context)
        _short(r.operator, r.code)
        uri = await self._here.run(
            source, lambda: self._sign_in.enrol_begin(r.operator, r.code, source)
        )
        return pb.EnrolBeginReply(totp_uri=uri)

    @guarded
    async def EnrolComplete(
        self, request: pb.EnrolCompleteRequest, context: Context
    ) -> pb.SignedIn:
        """See `SignIn.enrol_complete`."""
        r, source = request, address_of(context)
        _short(r.operator, r.code, r.password, r.totp)
        return await self._run(
            self._passwords,
            source,
            lambda: self._sign_in.enrol_complete(
                r.operator, r.code, r.password, r.totp, r.csr, source
            ),
        )

    @guarded
    async def Visit(self, request: pb.VisitRequest, context: Context) -> pb.SignedIn:
        """See `SignIn.visit`."""
        r, source = request, address_of(context)
        if len(r.chain) > MAX_CHAIN:
            raise Malformed.of(Reason.TOO_LARGE, f"at most {MAX_CHAIN} certificates", len(r.chain))
        return await self._run(
            self._here, source, lambda: self._sign_in.visit(tuple(r.chain), r.csr, source)
        )

    async def _run(
        self, threads: SignInThreads, source: str, work: Callable[[], SignedIn | None]
    ) -> pb.SignedIn:
        return await to_the_end(self._signed_in(threads, source, work))

    async def _signed_in(
        self, threads: SignInThreads, source: str, work: Callable[[], SignedIn | None]
    ) -> pb.SignedIn:
        signed_in = await threads.run(source, work)
        if signed_in is None:
            return pb.SignedIn(pending=True)
        await self._bus.publish(
            (AccessChanged(),)
        )  # gateways know of the session before the person's first command reaches one
        keys = self._fleet.keys
        return pb.SignedIn(
            operator=signed_in.operator,
            certificate=signed_in.certificate.public_bytes(Encoding.DER),
            issuer=keys.issuing["operator-ca"].der,
            authorities=keys.authorities,
            roles=signed_in.roles,
            expires_ms=signed_in.expires_ms,
            recovery_codes=signed_in.recovery_codes,
            notices=signed_in.notices,
            fleet_address=self._fleet.addresses.fleet,
        )


def _grants(fleet: str, source: str) -> str:
    """What a device code gives away, said to whoever is about to pass it on or to enter it."""
    return (
        f"whoever enters this code signs in the terminal at {address_text(source)} to fleet "
        f"{fleet}, as themselves, with all their roles, for up to {SESSION_LIFE_MS // 3_600_000} h"
    )


def _short(*texts: str) -> None:
    for text in texts:
        if len(text) > MAX_TEXT:
            raise Malformed.of(Reason.TOO_LARGE, f"at most {MAX_TEXT} characters", len(text))
