"""People of a fleet who ask and approve."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from framegate.access.approvals import ApprovalStatement, AskedAct, Content, verify_approval
from framegate_controller.people.approvers import approved
from framegate_controller.people.operators import roles_now
from framegate_controller.people.policies import load_policy
from framegate_controller.people.requests import Asked, AskedRole, Word, ask, ask_role, decide
from framegate_controller.store.shared.policies import InMemoryPolicies
from framegate_simulators.fixtures.access import add_person

CONTENT = bytes(range(32))
"""A digest that an approval is of; and bytes of a message that one is asked for."""


def content_of(body: bytes = CONTENT) -> Content:
    """A made-up message with these bytes."""
    return Content("Test", body, "what it is")


class Office:
    """A store with people in it, and a clock."""

    def __init__(self, bench) -> None:
        self.bench, self.keys, self.clock, self.store, self.policies = (
            bench,
            bench.keys,
            bench.clock,
            bench.store,
            InMemoryPolicies(),
        )
        for name, role in (
            ("erik", "engineer"),
            ("sara", "security"),
            ("sven", "security"),
            ("vera", "viewer"),
            ("sam", "security@line-2"),
        ):
            add_person(self.store, self.keys, name, role)
        self.quorum(2)

    def policy(self, tx):
        return load_policy(tx, self.keys, self.policies)

    def quorum(self, value: int) -> None:
        with self.store.writing() as tx:
            tx.settings.put("quorum", str(value))

    def ask(
        self,
        requester: str = "erik",
        verb: str = "profile.import",
        content: bytes = CONTENT,
        zone: str = "*",
    ) -> str:
        asked = Asked(
            requester=requester, zone=zone, content=content_of(content), reason="why", verb=verb
        )
        with self.store.writing() as tx:
            return ask(tx, asked, self.policy(tx)).id

    def decide(self, request: str, approver: str, approve: bool = True) -> str:
        with self.store.writing() as tx:
            asked = tx.requests.find(request)
            word = Word(
                approver=approver,
                approve=approve,
                remark="looked at it",
                content_sha256=asked.content_sha256,
            )
            decide(tx, asked, word, self.policy(tx))
            return tx.requests.find(request).state

    def counts(
        self, requester: str = "erik", verb: str = "profile.import", content: bytes = CONTENT
    ) -> tuple[str, ...]:
        with self.store.reading() as tx:
            digest = content_of(content).digest(verb)
            return approved(tx, requester, verb, digest, self.policy(tx))[1]

    def roles(self, name: str) -> list[str]:
        with self.store.reading() as tx:
            return [str(r) for r in roles_now(tx, tx.people.find(name))]

    def change(self, name: str, **members) -> None:
        with self.store.writing() as tx:
            tx.people.put(replace(tx.people.find(name), **members))

    def factors(self, name: str, **members) -> None:
        with self.store.writing() as tx:
            person = tx.people.find(name)
            tx.people.put(replace(person, factors=replace(person.factors, **members)))

    def events(self) -> list[str]:
        return [e["event"] for e in self.bench.events()]


@pytest.fixture
def office(bench):
    """Five people over the registry of `bench`; two have to approve."""
    return Office(bench)


def role_asked(
    office,
    requester: str = "vera",
    role: str = "engineer",
    zone: str = "*",
    minutes: int = 30,
    reason: str = "new board",
) -> str:
    content = content_of(f"{role} {zone} {minutes}".encode())
    asked = AskedRole(
        requester=requester, content=content, role=role, zone=zone, minutes=minutes, reason=reason
    )
    with office.store.writing() as tx:
        return ask_role(tx, asked, office.policy(tx)).id


def approval(keys, **changed) -> bytes:
    members = {
        "request_id": "0a1b2c3d",
        "verb": "frame.export",
        "zone": "line-1",
        "content_sha256": CONTENT.hex(),
        "requester": "sara",
        "approvers": ("sven",),
        "policy_sha256": (b"p" * 32).hex(),
        "gateway": "gateway.line-1.gw1",
        "reason": "claim 17",
        "issued_at_ms": int(datetime.now(UTC).timestamp() * 1000),
        **changed,
    }
    return ApprovalStatement(**members).seal(
        keys.signing["approval"].der, keys.signing["approval"].sign
    )


def checked(keys, data: bytes, now: datetime | None = None, **changed):
    asked = {
        "verb": "frame.export",
        "content_sha256": CONTENT,
        "requester": "sara",
        "gateway": "gateway.line-1.gw1",
        "zone": "line-1",
        "policy_sha256": b"p" * 32,
        **changed,
    }
    return verify_approval(data, AskedAct(**asked), keys.root.certificate, now or datetime.now(UTC))
