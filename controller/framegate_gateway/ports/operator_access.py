"""Who calls the operators' port, and whether the policy lets them do exactly this here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from framegate.access.caller import Caller
from framegate.access.verbs import find_verb
from framegate.errors import FramegateError, Reason, Refused
from framegate.identity.certificates import Purpose, from_ms, verify_certificate
from framegate_gateway.trust.access import GatewayAllowed
from framegate_gateway.trust.feed import TrustView
from framegate_gateway.trust.keys import Credentials, GatewayKeys
from framegate_gateway.vault.egress import MAX_REASON, Egress
from framegate_proto.edge import DRY_RUN_KEY, abort, presented_certificate

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AuthorisedCall:
    """Who is calling, what the policy allowed them, and whether they only ask if they might."""

    caller: Caller
    allowed: GatewayAllowed
    dry_run: bool


class OperatorAccess:
    """The port's access decisions. Denials are leaves where this host has an egress."""

    def __init__(self, keys: GatewayKeys, view: TrustView, egress: Egress | None) -> None:
        self._keys, self._view, self._egress = keys, view, egress

    async def operator(self, context: Context, verb: str, request: Any) -> Credentials:
        """The host's credentials, once the caller is authorised; else the call is aborted."""
        await self.authorised(context, verb, request)
        credentials = self._keys.credentials
        assert credentials is not None  # noqa: S101 - `authorised` had them
        return credentials

    async def authorised(self, context: Context, verb: str, request: Any) -> AuthorisedCall:
        """Who is calling, that the policy lets them do exactly this here, and whether it is a dry
        run; else the call is aborted. A denial of what changes or takes something is a leaf.
        """
        caller: Caller | None = None

        async def run() -> AuthorisedCall:
            nonlocal caller
            caller = self.standing(context)
            credentials = self._keys.credentials
            assert credentials is not None  # noqa: S101 - `standing` had them
            allowed = self._view.access.authorise(
                caller,
                verb,
                request,
                zone=credentials.zone,
                gateway=credentials.device,
                now_ms=self._view.now_ms(),
                target=credentials.device,
            )
            dry = dict(context.invocation_metadata() or ()).get(DRY_RUN_KEY) == "1"
            return AuthorisedCall(caller, allowed, dry)

        async def told() -> AuthorisedCall:
            try:
                return await run()
            except Refused as error:
                if caller is not None and "view" not in find_verb(verb).groups:
                    detail = {
                        "verb": verb,
                        "reason_id": error.reason.value,
                        "reason": getattr(request, "reason", "")[:MAX_REASON],
                        "asked": str(getattr(request, "id", ""))[:64],
                    }
                    await self.note("denied", caller, detail)
                raise

        return await answered(context, told)

    def standing(self, context: Context) -> Caller:
        """The operator at the other end, whose session stands now. Raises Refused."""
        credentials, now = self._keys.credentials, self._view.now_ms()
        if credentials is None:
            raise Refused.of(
                Reason.NOT_TRUSTED,
                "a gateway's host in standing",
                self._keys.refused or "no warrant",
            )
        identity = verify_certificate(
            presented_certificate(context),
            Purpose.OPERATOR,
            credentials.authorities,
            credentials.root,
            from_ms(now),
        )
        if self._view.behind:
            raise Refused(self._view.behind)
        if self._view.undecided:
            raise Refused(self._view.undecided)
        if not self._view.open:
            raise Refused([self._view.silence])
        return self._view.access.caller(identity, context.peer(), credentials.zone, now)

    async def note(self, event: str, caller: Caller, detail: dict[str, Any]) -> None:
        """A leaf for what an operator did or was denied, where this host has an egress."""
        if self._egress is not None:
            await self._egress.note(event, caller.actor, detail)


async def answered(context: Context, run: Callable[[], Awaitable[T]]) -> T:
    """What `run` returns; a FramegateError of it aborts the call."""
    try:
        return await run()
    except FramegateError as error:
        await abort(context, error)
