"""The operator's calls about people: sessions, operators, roles for a while, approvals."""

from __future__ import annotations

import json

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from framegate.access.approvals import ApprovalStatement
from framegate.access.questions import address_text
from framegate.access.verbs import FLEET_WIDE, find_verb
from framegate.errors import Malformed, Reason, Refused
from framegate.identity.names import parse_name, split_device_id
from framegate_controller.people.authority import Aim, Allowed, Caller
from framegate_controller.people.operators import (
    add_operator,
    elevations,
    end_sessions,
    enrolled,
    find_operator,
    notices,
    parse_roles,
    quorum,
    reset_factors,
    set_quorum,
    standing_roles,
)
from framegate_controller.people.policies import load_policy
from framegate_controller.people.requests import Asked, approved, approvers, ask, ask_role, decide, expire, find_request, use
from framegate_controller.people.signin import SignIn
from framegate_controller.rpc.calls import MAX_REASON, OperatorCalls
from framegate_controller.rpc.peer import address_of
from framegate_controller.rpc.wire import Context, guarded
from framegate_controller.store.registry import raise_revision, record
from framegate_controller.store.tables import AccessRequest, OperatorRow, OperatorSession, SecurityKey
from framegate_proto.v1 import framegate_pb2 as pb

MAX_ROWS = 500
MAX_GATEWAYS = 64
"""Of one zone; a line has two or three."""


class PeopleCalls(OperatorCalls):
    """Mixed into the operator's service."""

    _sign_in: SignIn

    @guarded
    async def WhoAmI(self, request: pb.WhoAmIRequest, context: Context) -> pb.WhoAmIReply:
        """The caller, their roles and session, and what everybody should know."""
        return await self._do(context, request, Aim("whoami"), self._who)

    def _who(self, session: Session, _allowed: Allowed, caller: Caller) -> pb.WhoAmIReply:
        now, held = self._now(), session.get(OperatorSession, caller.session)
        person = session.get(OperatorRow, caller.name)
        labels = session.scalars(select(SecurityKey.label).where(SecurityKey.operator == caller.name)).all()
        return pb.WhoAmIReply(
            operator=caller.name, roles=[str(r) for r in caller.roles], session_expires_ms=held.expires_ms if held else 0, factor_ms=caller.factor_ms,
            elevations=[pb.AccessRow(id=e.request, role=e.scoped.role, zone=e.scoped.zone, until_ms=e.until_ms) for e in elevations(session, caller.name, now)],
            method=held.method if held else "", quorum=quorum(session), notices=notices(session, now), fleet=self._verifier.keys.fleet,
            totp=bool(person and person.totp), security_keys=labels,
        )  # fmt: skip

    @guarded
    async def SignOut(self, request: pb.WhoAmIRequest, context: Context) -> pb.WhoAmIReply:
        """End this session; its certificate opens nothing from now on, here and at gateways."""

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.WhoAmIReply:
            held = session.get(OperatorSession, caller.session)
            if held is not None:
                held.ended_ms = self._now()
            raise_revision(session)
            record(session, self._now(), "", "signed-out", caller.actor)
            return pb.WhoAmIReply(operator=caller.name)

        return await self._do(context, request, Aim("logout"), work, self._people_changed)

    @guarded
    async def ProveFactor(self, request: pb.ProveFactorRequest, context: Context) -> pb.ProveFactorReply:
        """The second factor again: a code, or a security key in two steps. Wrong ones count as at sign-in."""
        source = address_of(context)

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.ProveFactorReply:
            if not request.code and not request.state:
                made = self._sign_in.security_keys.ask(session, caller.name, self._now())
                return pb.ProveFactorReply(challenge=pb.KeyChallenge(state=made.state, options=made.options))
            self._sign_in.limits.check(caller.name, source, self._now())
            if request.state:
                held = session.get(OperatorSession, caller.session)
                if self._sign_in.security_keys.answered(session, request.state, request.response, self._now()) != caller.name or held is None:
                    raise Refused.of(Reason.SIGN_IN, "your own security key", "another's")
                self._sign_in.shown(session, held, "security key", source)
            else:
                self._sign_in.prove_again(session, caller.session, request.code, source)
            return pb.ProveFactorReply(factor_ms=self._now())

        try:
            return await self._do(context, request, Aim("factor.prove"), work, self._people_changed)
        except Refused as error:
            if error.reason == Reason.SIGN_IN:
                with self._verifier.database.transaction() as session:
                    caller = self._authority.caller(session, context)
                    record(session, self._now(), "", "factor-failed", caller.actor, f"from {address_text(source)}")
                self._sign_in.limits.failed(caller.name, source, self._now())
            raise

    @guarded
    async def AddKeyBegin(self, request: pb.WhoAmIRequest, context: Context) -> pb.KeyChallenge:
        """Begin to register a security key of the caller's."""

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.KeyChallenge:
            made = self._sign_in.security_keys.register(session, caller.name, self._now())
            return pb.KeyChallenge(state=made.state, options=made.options)

        return await self._do(context, request, Aim("factor.add"), work)

    @guarded
    async def AddKeyComplete(self, request: pb.AddKeyRequest, context: Context) -> pb.WhoAmIReply:
        """Keep the key that answered."""

        def work(session: Session, allowed: Allowed, caller: Caller) -> pb.WhoAmIReply:
            self._sign_in.security_keys.registered(session, caller.name, request.state, request.response, request.label, self._now())
            record(session, self._now(), "", "security-key-added", caller.actor, request.label[:63])
            session.flush()
            return self._who(session, allowed, caller)

        return await self._do(context, request, Aim("factor.add"), work)

    @guarded
    async def ListOperators(self, request: pb.ListRequest, context: Context) -> pb.OperatorsReply:
        """Everybody, and the quorum."""

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.OperatorsReply:
            rows = session.scalars(select(OperatorRow).order_by(OperatorRow.name)).all()
            return pb.OperatorsReply(operators=[self._record_of(session, r) for r in rows], quorum=quorum(session))

        return await self._do(context, request, Aim("operator.list"), work)

    @guarded
    async def AddOperator(self, request: pb.AddOperatorRequest, context: Context) -> pb.OperatorReply:
        """A new operator and the code that lets them set their factors."""
        self._peer(context)
        roles = parse_roles(request.roles)
        parse_name(request.name, "operator name")
        words = f"add operator {request.name} as {', '.join(map(str, roles)) or 'nobody'}"

        def work(session: Session, allowed: Allowed, caller: Caller) -> pb.OperatorReply:
            code = add_operator(
                session, name=request.name, words=request.words, roles=roles, actor=caller.actor, now_ms=self._now(), vouched=bool(allowed.act.approved_by) or quorum(session) == 1,
                oidc=(request.oidc_issuer[:500], request.oidc_subject[:200]),
            )  # fmt: skip
            session.flush()
            return self._invited(session, find_operator(session, request.name), "" if request.oidc_subject else code)

        return await self._do(context, request, Aim("operator.add", target=request.name, summary=words), work, self._people_changed)

    @guarded
    async def ChangeOperator(self, request: pb.ChangeOperatorRequest, context: Context) -> pb.OperatorReply:
        """Other roles, a person let in again, a new second factor."""
        self._peer(context)
        roles = parse_roles(request.roles)
        if request.verb not in {"roles", "enable", "reset-mfa"}:
            raise Malformed.of(Reason.USAGE, "roles, enable or reset-mfa", ascii(request.verb[:20]))

        def aim(session: Session) -> Aim:
            row = find_operator(session, request.name)
            what = f"roles {', '.join(map(str, roles)) or 'none'}" if request.verb == "roles" else request.verb
            return Aim("operator.change", target=row.name, summary=f"{row.name}: {what}")

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.OperatorReply:
            row, now, code = find_operator(session, request.name), self._now(), ""
            if request.verb == "roles":
                before = ", ".join(map(str, standing_roles(row))) or "none"
                row.roles = json.dumps([[r.role, r.zone] for r in roles])
                record(session, now, "", "operator-roles", caller.actor, f"{row.name}: {before} -> {', '.join(map(str, roles)) or 'none'}")
            elif request.verb == "enable":
                row.enabled = True
                record(session, now, "", "operator-enabled", caller.actor, row.name)
            else:
                code = reset_factors(session, row, caller.actor, now)
            raise_revision(session)
            return self._invited(session, row, code)

        return await self._do(context, request, aim, work, self._people_changed)

    @guarded
    async def DisableOperator(self, request: pb.DisableOperatorRequest, context: Context) -> pb.OperatorReply:
        """Bar a person at once: sessions end here and at gateways, approvals count no more. One person suffices; letting in again takes two."""

        def aim(session: Session) -> Aim:
            row = find_operator(session, request.name)
            return Aim("operator.disable", target=row.name, summary=f"disable operator {row.name}")

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.OperatorReply:
            row, now = find_operator(session, request.name), self._now()
            if row.name == caller.name:
                raise Refused.of(Reason.CONFLICT, "somebody else's name", "your own", "framegate logout ends your session")
            row.enabled = False
            ended = end_sessions(session, row.name, now)
            record(session, now, "", "operator-disabled", caller.actor, f"{row.name}, {ended} sessions ended: {request.reason[:MAX_REASON]}")
            return pb.OperatorReply(operator=self._record_of(session, row))

        return await self._do(context, request, aim, work, self._people_changed)

    @guarded
    async def RequestRole(self, request: pb.RoleRequest, context: Context) -> pb.AccessRow:
        """Ask for a role for a while."""
        zone = request.zone or FLEET_WIDE

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.AccessRow:
            policy = load_policy(session, self._verifier.keys)
            row = ask_role(
                session, requester=caller.name, role=request.role, zone=zone if zone == FLEET_WIDE else parse_name(zone, "zone"), minutes=request.minutes,
                reason=request.reason[:MAX_REASON], policy=policy, now_ms=self._now(),
            )  # fmt: skip
            return self._access_row(session, row)

        return await self._do(context, request, Aim("access.request"), work, self._people_changed)

    @guarded
    async def RequestVerb(self, request: pb.VerbRequest, context: Context) -> pb.AccessRow:
        """Ask for others' approval of an act at a gateway."""
        self._peer(context)
        if not find_verb(request.verb).two_person or len(request.content_sha256) != 32:
            raise Malformed.of(Reason.USAGE, "a verb that takes two, and a digest of 32 bytes", ascii(request.verb[:60]))

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.AccessRow:
            asked = Asked(
                caller.name, parse_name(request.zone, "zone"), request.summary, request.reason, verb=request.verb, target=request.target, content_sha256=request.content_sha256
            )
            return self._access_row(session, ask(session, asked, load_policy(session, self._verifier.keys), self._now()))

        return await self._do(context, request, Aim("access.request"), work)

    @guarded
    async def DecideAccess(self, request: pb.DecideRequest, context: Context) -> pb.AccessRow:
        """Approve or deny; never one's own."""

        def aim(session: Session) -> Aim:
            row = find_request(session, request.id)
            about = row.verb or f"role:{row.role}"
            return Aim("access.approve", row.zone, about, f"{'approve' if request.approve else 'deny'} {row.id}: {row.summary}")

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.AccessRow:
            row = find_request(session, request.id)
            policy = load_policy(session, self._verifier.keys)
            decide(session, row, approver=caller.name, approve=request.approve, reason=request.reason[:MAX_REASON], policy=policy, now_ms=self._now())
            return self._access_row(session, row)

        return await self._do(context, request, aim, work, self._people_changed)

    @guarded
    async def ListAccess(self, request: pb.ListAccessRequest, context: Context) -> pb.AccessReply:
        """Requests that wait, and roles that run; with `all` also what is past."""

        def work(session: Session, allowed: Allowed, caller: Caller) -> pb.AccessReply:
            now = self._now()
            expire(session, now)
            query = select(AccessRequest).order_by(AccessRequest.asked_ms.desc()).limit(MAX_ROWS)
            if not request.all:
                query = query.where((AccessRequest.state == "pending") | ((AccessRequest.state == "approved") & ((AccessRequest.until_ms > now) | (AccessRequest.role == ""))))
            rows = [r for r in session.scalars(query).all() if allowed.sees(r.zone) or r.requester == caller.name]
            return pb.AccessReply(rows=[self._access_row(session, r) for r in rows], quorum=quorum(session))

        return await self._do(context, request, Aim("access.list"), work)

    @guarded
    async def TakeApproval(self, request: pb.TakeApprovalRequest, context: Context) -> pb.ApprovalReply:
        """The approval of one's own act at gateways of one zone, signed for each of them; spent by this."""

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.ApprovalReply:
            now, policy = self._now(), load_policy(session, self._verifier.keys)
            row, people = approved(session, caller.name, request.verb, request.content_sha256, policy, now)
            if row is None or len(people) + 1 < quorum(session):
                hint = f"somebody else: framegate access approve {row.id}" if row is not None else "it is asked for by the command itself"
                raise Refused.of(Reason.NOT_FOUND, f"an approved request for exactly this {request.verb[:60]}", f"{len(people)} approvals" if row is not None else "none", hint)
            named = sorted(set(request.gateways))
            if not 0 < len(named) <= MAX_GATEWAYS or any(split_device_id(g)[1] != row.zone for g in named):  # approved by who may approve there
                raise Refused.of(Reason.APPROVAL_NEEDED, f"1 to {MAX_GATEWAYS} gateways of zone {row.zone}, for which it was approved", ascii(", ".join(named)[:200]))
            use(row)
            signer = self._verifier.keys.signing["approval"]
            statements = [
                ApprovalStatement(
                    request_id=row.id, verb=row.verb, zone=row.zone, content_sha256=row.content_sha256.hex(), requester=caller.name, approvers=people,
                    policy_sha256=policy.sha256.hex(), gateway=gateway, reason=row.reason, issued_at_ms=now,
                ) for gateway in named
            ]  # fmt: skip
            record(session, now, "", "approval-taken", caller.actor, f"{row.id}: {row.summary}, for {', '.join(named)}, approved by {', '.join(people)}")
            return pb.ApprovalReply(approvals=[s.seal(signer.der, signer.sign) for s in statements])

        return await self._do(context, request, Aim("access.take"), work)

    @guarded
    async def SetQuorum(self, request: pb.QuorumRequest, context: Context) -> pb.WhoAmIReply:
        """How many people a decision takes."""

        def work(session: Session, allowed: Allowed, caller: Caller) -> pb.WhoAmIReply:
            set_quorum(session, request.value, caller.actor, self._now())
            session.flush()
            return self._who(session, allowed, caller)

        return await self._do(context, request, Aim("quorum.set", target=str(request.value), summary=f"decisions take {request.value} people"), work, self._people_changed)

    @guarded
    async def CanI(self, request: pb.CanIRequest, context: Context) -> pb.CanIReply:
        """What the policy would say now to the caller; asks nothing of anybody and records nothing but that it was asked."""
        self._peer(context)
        verb = find_verb(request.verb)

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.CanIReply:
            policy = load_policy(session, self._verifier.keys)
            wide = [FLEET_WIDE, *sorted({r.zone for r in caller.roles} - {FLEET_WIDE})] if verb.on == "any" else [FLEET_WIDE]
            aim = Aim(request.verb, target=request.target)
            answers = [policy.decide(self._authority.question(session, caller, aim, zone, 0)) for zone in ([request.zone] if request.zone else wide)]
            best = next((a for a in answers if a.allow), answers[0])
            failures = [pb.Failure(reason=f.reason, expected=f.expected, actual=f.actual, hint=f.hint) for f in [best.failure] if f]
            return pb.CanIReply(allow=best.allow, policies=best.policies, failures=failures, policy=policy.words)

        return await self._do(context, request, Aim("auth.show"), work)

    async def _people_changed(self, _done: object) -> None:
        await self._hub.access_changed()

    def _invited(self, session: Session, row: OperatorRow, code: str) -> pb.OperatorReply:
        a = self._addresses  # type: ignore[attr-defined]
        return pb.OperatorReply(
            operator=self._record_of(session, row), enrolment=code, join_address=a.join, fleet_address=a.fleet, server_name=a.server_name, root=self._verifier.keys.root.der
        )

    def _record_of(self, session: Session, row: OperatorRow) -> pb.OperatorRecord:
        now = self._now()
        factors = [*(["password", "totp"] if row.password and row.totp else []), *(["oidc"] if row.oidc_subject else [])]
        factors += [f"key {label}" for label in session.scalars(select(SecurityKey.label).where(SecurityKey.operator == row.name)).all()]
        live = select(func.count()).select_from(OperatorSession).where(OperatorSession.operator == row.name, OperatorSession.ended_ms == 0, OperatorSession.expires_ms > now)
        return pb.OperatorRecord(
            name=row.name, words=row.words, enabled=row.enabled, roles=[str(r) for r in standing_roles(row)], enrolled=enrolled(session, row), factors=factors,
            elevations=[f"{e.scoped} until {e.until_ms}" for e in elevations(session, row.name, now)], seen_ms=row.seen_ms, added_ms=row.added_ms, added_by=row.added_by,
            sessions=session.scalars(live).one(),
        )  # fmt: skip

    def _access_row(self, session: Session, row: AccessRequest) -> pb.AccessRow:
        given = [name for name, _ in json.loads(row.approvals)]
        needed = 0
        if row.state == "pending":
            policy = load_policy(session, self._verifier.keys)
            needed = 1 if row.verb == "break-glass" else max(0, quorum(session) - 1 - len(approvers(session, row, policy, self._now())))
        return pb.AccessRow(
            id=row.id, requester=row.requester, verb=row.verb, role=row.role, zone=row.zone, target=row.target, content_sha256=row.content_sha256, summary=row.summary,
            reason=row.reason, state=row.state, approvals=given, asked_ms=row.asked_ms, expires_ms=row.expires_ms, until_ms=row.until_ms,
            needed=needed,
        )  # fmt: skip
