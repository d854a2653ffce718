"""People, requests, access policies, zones and settings over SQLAlchemy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, bindparam, delete, func, insert, select, update

from framegate.access.verbs import Scoped
from framegate.errors import Reason, Refused
from framegate.machines.request import RequestKind, RequestState
from framegate.registry.operator import Factors, Operator, OperatorSession, SecurityKey
from framegate.registry.request import AccessRequest, Approval
from framegate.registry.zone import AppliedPolicy, KeptDecision, Zone
from framegate_controller.store.sql.prepared import Prepared, with_numbers
from framegate_controller.store.sql.rows import Rows, fields_of, table_of
from framegate_controller.store.tables import fleet, people

_OPERATORS: Final = table_of(people.OperatorRow)
_KEYS: Final = table_of(people.SecurityKey)
_SESSIONS: Final = table_of(people.OperatorSession)
_REQUESTS: Final = table_of(people.AccessRequest)
_CONTENTS: Final = table_of(people.RequestContent)
_POLICIES: Final = table_of(people.PolicyRow)
_DECISIONS: Final = table_of(people.DecisionRow)
_ZONES: Final = table_of(fleet.ZoneRow)
_ZONE_BY_NAME: Final = Prepared(with_numbers(_ZONES).where(_ZONES.c.name == bindparam("of")))
_SETTINGS: Final = table_of(fleet.Setting)


class SqlPeople:
    """See `ports.People`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, name: str) -> Operator | None:
        """By name."""
        row = self._rows.one(select(_OPERATORS).where(_OPERATORS.c.name == name))
        return _operator(row) if row is not None else None

    def find(self, name: str) -> Operator:
        """See `ports.People.find`."""
        exact = self.get(name)
        if exact is not None:
            return exact
        query = (
            select(_OPERATORS).where(_OPERATORS.c.name.startswith(name, autoescape=True)).limit(2)
        )
        matches = self._rows.all(query) if name else ()
        if len(matches) != 1:
            raise Refused.of(
                Reason.NOT_FOUND,
                "an operator's name or unique prefix",
                ascii(name[:63]),
                "framegate operator list",
            )
        return _operator(matches[0])

    def by_subject(self, issuer: str, subject: str) -> Operator | None:
        """See `ports.People.by_subject`."""
        query = select(_OPERATORS).where(
            _OPERATORS.c.oidc_issuer == issuer, _OPERATORS.c.oidc_subject == subject
        )
        matches = self._rows.all(query.limit(2))
        return _operator(matches[0]) if len(matches) == 1 else None

    def all(self, *, enabled_only: bool = False) -> list[Operator]:
        """By name."""
        query = select(_OPERATORS).order_by(_OPERATORS.c.name)
        return [
            _operator(r)
            for r in self._rows.all(query.where(_OPERATORS.c.enabled) if enabled_only else query)
        ]

    def count(self) -> int:
        """How many there are."""
        return int(self._rows.scalar(select(func.count()).select_from(_OPERATORS)))

    def add(self, operator: Operator) -> None:
        """A new one."""
        self._rows.run(insert(_OPERATORS).values(**_operator_columns(operator)))

    def put(self, operator: Operator) -> None:
        """Keep a changed value."""
        self._rows.run(
            update(_OPERATORS)
            .where(_OPERATORS.c.name == operator.name)
            .values(**_operator_columns(operator))
        )

    def keys(self, operator: str) -> list[SecurityKey]:
        """Oldest first."""
        query = select(_KEYS).where(_KEYS.c.operator == operator).order_by(_KEYS.c.added_ms)
        return [SecurityKey(**r._mapping) for r in self._rows.all(query)]

    def key(self, credential: bytes) -> SecurityKey | None:
        """By its credential id."""
        row = self._rows.one(select(_KEYS).where(_KEYS.c.credential == credential))
        return SecurityKey(**row._mapping) if row is not None else None

    def put_key(self, key: SecurityKey) -> None:
        """A new or changed one."""
        self._rows.put(_KEYS, fields_of(key))

    def remove_keys(self, operator: str) -> None:
        """Forget all of one's keys."""
        self._rows.run(delete(_KEYS).where(_KEYS.c.operator == operator))

    def session(self, spki_sha256: bytes) -> OperatorSession | None:
        """By the hash of its key."""
        row = self._rows.one(select(_SESSIONS).where(_SESSIONS.c.spki_sha256 == spki_sha256))
        return OperatorSession(**row._mapping) if row is not None else None

    def put_session(self, session: OperatorSession) -> None:
        """A new or changed one."""
        self._rows.put(_SESSIONS, fields_of(session))

    def sessions(self, now_ms: int, operator: str = "") -> list[OperatorSession]:
        """Those that stand."""
        query = select(_SESSIONS).where(_SESSIONS.c.ended_ms == 0, _SESSIONS.c.expires_ms > now_ms)
        query = query.where(_SESSIONS.c.operator == operator) if operator else query
        return [OperatorSession(**r._mapping) for r in self._rows.all(query)]

    def addresses(self) -> list[tuple[str, str]]:
        """(operator, address) of every sign-in there was."""
        sign_ins = self._rows.all(select(_SESSIONS.c.operator, _SESSIONS.c.source).distinct())
        return [(r.operator, r.source) for r in sign_ins]


def _operator(r: Row[Any]) -> Operator:
    return Operator(
        name=r.name,
        remark=r.words,
        enabled=r.enabled,
        roles=tuple(Scoped(role, zone) for role, zone in json.loads(r.roles)),
        added_ms=r.added_ms,
        added_by=r.added_by,
        vouched=r.vouched,
        setup_admin=r.setup_admin,
        factors=Factors(
            password=r.password,
            totp=r.totp,
            totp_step=r.totp_step,
            recovery=tuple(json.loads(r.recovery)),
            oidc_issuer=r.oidc_issuer,
            oidc_subject=r.oidc_subject,
            enrolment=r.enrolment,
            enrolment_expires_ms=r.enrolment_expires_ms,
        ),
        seen_ms=r.seen_ms,
    )


def _operator_columns(o: Operator) -> dict[str, Any]:
    return {
        "name": o.name,
        "words": o.remark,
        "enabled": o.enabled,
        "roles": json.dumps([[r.role, r.zone] for r in o.roles]),
        "added_ms": o.added_ms,
        "added_by": o.added_by,
        "vouched": o.vouched,
        "setup_admin": o.setup_admin,
        "seen_ms": o.seen_ms,
        **fields_of(o.factors),
        "recovery": json.dumps(list(o.factors.recovery)),
    }


class SqlRequests:
    """See `ports.Requests`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def find(self, text: str) -> AccessRequest:
        """See `ports.Requests.find`."""
        query = (
            select(_REQUESTS).where(_REQUESTS.c.id.startswith(text[:16], autoescape=True)).limit(2)
        )
        matches = self._rows.all(query) if text else ()
        if len(matches) != 1:
            raise Refused.of(
                Reason.NOT_FOUND,
                "a request's id or unique prefix",
                ascii(text[:16]),
                "framegate access list",
            )
        return _request(matches[0])

    def put(self, request: AccessRequest) -> None:
        """A new or changed one."""
        approvals = json.dumps([[a.operator, a.at_ms] for a in request.approvals])
        self._rows.put(
            _REQUESTS,
            {
                **fields_of(request),
                "kind": request.kind.value,
                "state": request.state.value,
                "approvals": approvals,
            },
        )

    def content(self, request: str) -> bytes | None:
        """See `ports.Requests.content`."""
        query = select(_CONTENTS.c.content).where(_CONTENTS.c.request == request)
        row = self._rows.one(query)
        return None if row is None else row.content

    def keep_content(self, request: str, content: bytes) -> None:
        """See `ports.Requests.keep_content`."""
        self._rows.put(_CONTENTS, {"request": request, "content": content})

    def drop_content(self, request: str, above: int) -> None:
        """See `ports.Requests.drop_content`."""
        large = func.length(_CONTENTS.c.content) > above
        self._rows.run(delete(_CONTENTS).where(_CONTENTS.c.request == request, large))

    def content_bytes(self, requester: str, states: Sequence[RequestState]) -> int:
        """See `ports.Requests.content_bytes`."""
        query = select(func.coalesce(func.sum(func.length(_CONTENTS.c.content)), 0))
        mine = query.join_from(_CONTENTS, _REQUESTS, _CONTENTS.c.request == _REQUESTS.c.id)
        return int(
            self._rows.scalar(
                mine.where(
                    _REQUESTS.c.requester == requester,
                    _REQUESTS.c.state.in_([s.value for s in states]),
                )
            )
        )

    def of(self, requester: str, states: Sequence[RequestState]) -> list[AccessRequest]:
        """One's requests in these states, newest first."""
        query = select(_REQUESTS).where(
            _REQUESTS.c.requester == requester, _REQUESTS.c.state.in_([s.value for s in states])
        )
        return [_request(r) for r in self._rows.all(query.order_by(_REQUESTS.c.asked_ms.desc()))]

    def in_state(
        self, states: Sequence[RequestState], kind: RequestKind | None = None
    ) -> list[AccessRequest]:
        """Everybody's, of one kind where that is given, newest first."""
        query = select(_REQUESTS).where(_REQUESTS.c.state.in_([s.value for s in states]))
        query = query if kind is None else query.where(_REQUESTS.c.kind == kind.value)
        return [_request(r) for r in self._rows.all(query.order_by(_REQUESTS.c.asked_ms.desc()))]

    def overdue(self, now_ms: int) -> list[AccessRequest]:
        """See `ports.Requests.overdue`."""
        open_ones = (RequestState.PENDING.value, RequestState.APPROVED.value)
        query = select(_REQUESTS).where(_REQUESTS.c.state.in_(open_ones))
        return [_request(r) for r in self._rows.all(query.where(_REQUESTS.c.expires_ms <= now_ms))]

    def roles_over(self, now_ms: int) -> list[AccessRequest]:
        """See `ports.Requests.roles_over`."""
        r = _REQUESTS.c
        granted = (r.kind == RequestKind.ROLE.value, r.state == RequestState.APPROVED.value)
        return [
            _request(row)
            for row in self._rows.all(select(_REQUESTS).where(*granted, r.until_ms <= now_ms))
        ]

    def latest(self, most: int) -> list[AccessRequest]:
        """Newest first."""
        return [
            _request(r)
            for r in self._rows.all(
                select(_REQUESTS).order_by(_REQUESTS.c.asked_ms.desc()).limit(most)
            )
        ]


def _request(r: Row[Any]) -> AccessRequest:
    approvals = tuple(Approval(operator=name, at_ms=at) for name, at in json.loads(r.approvals))
    return AccessRequest(
        **{
            **r._mapping,
            "kind": RequestKind(r.kind),
            "state": RequestState(r.state),
            "approvals": approvals,
        }
    )


class SqlPolicies:
    """See `ports.Policies`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def current(self) -> AppliedPolicy | None:
        """The one in force."""
        latest = self.history(1)
        return latest[0] if latest else None

    def version(self, version: int) -> AppliedPolicy | None:
        """One that was."""
        row = self._rows.one(select(_POLICIES).where(_POLICIES.c.version == version))
        return AppliedPolicy(**row._mapping) if row is not None else None

    def history(self, most: int) -> list[AppliedPolicy]:
        """Newest first."""
        return [
            AppliedPolicy(**r._mapping)
            for r in self._rows.all(
                select(_POLICIES).order_by(_POLICIES.c.version.desc()).limit(most)
            )
        ]

    def add(self, policy: AppliedPolicy) -> None:
        """In force from now on."""
        self._rows.run(insert(_POLICIES).values(**fields_of(policy)))

    def keep_decision(self, decision: KeptDecision) -> None:
        """See `ports.Policies.keep_decision`."""
        again = update(_DECISIONS).where(_DECISIONS.c.sha256 == decision.sha256)
        if not self._rows.run(
            again.values(last_ms=decision.last_ms, count=_DECISIONS.c.count + decision.count)
        ):
            self._rows.run(
                insert(_DECISIONS).values(
                    **{**fields_of(decision), "policies": json.dumps(list(decision.policies))}
                )
            )

    def decisions(self, since_ms: int) -> list[KeptDecision]:
        """By time."""
        query = (
            select(_DECISIONS)
            .where(_DECISIONS.c.last_ms >= since_ms)
            .order_by(_DECISIONS.c.last_ms)
        )
        return [
            KeptDecision(**{**r._mapping, "policies": tuple(json.loads(r.policies))})
            for r in self._rows.all(query)
        ]


class SqlZones:
    """See `ports.Zones`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, name: str) -> Zone:
        """Its rules."""
        row = self._rows.one(_ZONE_BY_NAME, {"of": name})
        return _zone(row) if row is not None else Zone(name=name)

    def all(self) -> list[Zone]:
        """By name."""
        return [_zone(r) for r in self._rows.all(select(_ZONES).order_by(_ZONES.c.name))]

    def put(self, zone: Zone) -> None:
        """Keep rules."""
        columns = fields_of(zone)
        remark = columns.pop("remark")
        self._rows.put(_ZONES, {**columns, "words": remark})


def _zone(r: Row[Any]) -> Zone:
    return Zone(
        name=r.name,
        grace=bool(r.grace),
        frozen=bool(r.frozen),
        reason=r.reason,
        by=r.by,
        since_ms=r.since_ms,
        remark=r.words,
    )


class SqlSettings:
    """See `ports.SettingsKept`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, name: str) -> str | None:
        """One."""
        row = self._rows.one(select(_SETTINGS.c.value).where(_SETTINGS.c.name == name))
        return str(row.value) if row is not None else None

    def put(self, name: str, value: str) -> None:
        """Keep one."""
        self._rows.put(_SETTINGS, {"name": name, "value": value})

    def remove(self, name: str) -> None:
        """Forget one."""
        self._rows.run(delete(_SETTINGS).where(_SETTINGS.c.name == name))
