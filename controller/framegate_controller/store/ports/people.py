"""People, what they ask for, the policies that answer them, zones and single values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from framegate.machines.request import RequestKind, RequestState
from framegate.registry.operator import Operator, OperatorSession, SecurityKey
from framegate.registry.request import AccessRequest
from framegate.registry.zone import AppliedPolicy, KeptDecision, Zone


class People(Protocol):
    """Operators, their security keys and sessions."""

    def get(self, name: str) -> Operator | None:
        """By name."""

    def find(self, name: str) -> Operator:
        """By name or unique prefix. Raises Refused (NOT_FOUND)."""

    def by_subject(self, issuer: str, subject: str) -> Operator | None:
        """Whom a provider knows by this subject; None where that is nobody, or not one alone."""

    def all(self, *, enabled_only: bool = False) -> list[Operator]:
        """By name."""

    def count(self) -> int:
        """How many there are."""

    def add(self, operator: Operator) -> None:
        """A new one."""

    def put(self, operator: Operator) -> None:
        """Keep a changed value."""

    def keys(self, operator: str) -> list[SecurityKey]:
        """Security keys of one, oldest first."""

    def key(self, credential: bytes) -> SecurityKey | None:
        """By its credential id."""

    def put_key(self, key: SecurityKey) -> None:
        """A new or changed one."""

    def remove_keys(self, operator: str) -> None:
        """Forget all of one's keys."""

    def session(self, spki_sha256: bytes) -> OperatorSession | None:
        """By the hash of its key."""

    def put_session(self, session: OperatorSession) -> None:
        """A new or changed one."""

    def sessions(self, now_ms: int, operator: str = "") -> list[OperatorSession]:
        """Those that stand, of one or of all."""

    def addresses(self) -> list[tuple[str, str]]:
        """(operator, address) of every sign-in there was."""


class Requests(Protocol):
    """Requests for roles, approvals and reviews."""

    def find(self, text: str) -> AccessRequest:
        """By id or unique prefix. Raises Refused (NOT_FOUND)."""

    def put(self, request: AccessRequest) -> None:
        """A new or changed one."""

    def content(self, request: str) -> bytes | None:
        """The message that the request of this id is of; None where it has none, or no more."""

    def keep_content(self, request: str, content: bytes) -> None:
        """Keep the message that a new request is of."""

    def drop_content(self, request: str, above: int) -> None:
        """Forget the message of a request that is over, if it is of more bytes than `above`."""

    def content_bytes(self, requester: str, states: Sequence[RequestState]) -> int:
        """Bytes of all messages of one's requests in these states."""

    def of(self, requester: str, states: Sequence[RequestState]) -> list[AccessRequest]:
        """One's requests in these states, newest first."""

    def in_state(
        self, states: Sequence[RequestState], kind: RequestKind | None = None
    ) -> list[AccessRequest]:
        """Everybody's, of one kind where that is given, newest first."""

    def overdue(self, now_ms: int) -> list[AccessRequest]:
        """Those that wait, or are approved, though their time to be decided or used is over."""

    def roles_over(self, now_ms: int) -> list[AccessRequest]:
        """Granted roles whose time is over and that are not marked so."""

    def latest(self, most: int) -> list[AccessRequest]:
        """Everybody's, whatever their state, newest first."""


class Policies(Protocol):
    """Access policies that were in force, and decisions that were kept."""

    def current(self) -> AppliedPolicy | None:
        """The one in force."""

    def version(self, version: int) -> AppliedPolicy | None:
        """One that was."""

    def history(self, most: int) -> list[AppliedPolicy]:
        """Newest first."""

    def add(self, policy: AppliedPolicy) -> None:
        """In force from now on."""

    def keep_decision(self, decision: KeptDecision) -> None:
        """Keep what was asked and answered; the same again only counts."""

    def decisions(self, since_ms: int) -> list[KeptDecision]:
        """Those asked since, by time."""


class Zones(Protocol):
    """Zones' rules; a zone without any has the defaults."""

    def get(self, name: str) -> Zone:
        """Its rules."""

    def all(self) -> list[Zone]:
        """Those that have rules, by name."""

    def put(self, zone: Zone) -> None:
        """Keep rules."""


class SettingsKept(Protocol):
    """Single values of the fleet: the quorum, a sealed credential's hash, what a restart must not
    forget.
    """

    def get(self, name: str) -> str | None:
        """One."""

    def put(self, name: str, value: str) -> None:
        """Keep one."""

    def remove(self, name: str) -> None:
        """Forget one."""
