"""Who is calling, and whether the access policy lets them.

Asked anew for every call, inside the transaction that acts on the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from framegate.access.approvals import Content
from framegate.access.caller import (
    OPERATOR_PREFIX,
    Answer,
    Caller,
    Place,
    PlaybookCaller,
    question,
    rule,
)
from framegate.access.policy import PolicySet, Request
from framegate.access.questions import address_text
from framegate.access.verbs import FLEET_WIDE, find_verb
from framegate.errors import Failure, Reason, Refused
from framegate.record.entry import Act
from framegate.record.people_events import VerbAllowed, VerbDenied
from framegate.registry.request import AccessRequest
from framegate.registry.zone import KeptDecision
from framegate.wire import sha256
from framegate_controller.ca.peer import Peer
from framegate_controller.context import Fleet
from framegate_controller.people.approvers import approved
from framegate_controller.people.decisions import kept
from framegate_controller.people.operators import quorum, roles_now
from framegate_controller.people.playbooks import ActingPlaybook, playbook_caller
from framegate_controller.people.policies import load_policy
from framegate_controller.people.requests import Asked, ask, use
from framegate_controller.store.ports import Store, Transaction
from framegate_controller.store.shared.looks import Look, QuietLooks
from framegate_controller.store.shared.policies import PolicyCache

ContentOf = Callable[[], Content]
"""The exact message that is asked for, worked out where it matters."""
READ_GROUPS: Final = frozenset({"self", "view", "audit"})
"""Groups of verbs that leave what they are about as it is."""
_ID_DOTS: Final = 2
"""A device id is `<kind>.<zone>.<name>`; no other target has two dots."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What a call is about to do.

    The verb, the zone it is in (`*`: none or all), what exactly, and words for the record. Whoever
    is asked to approve reads none of these words: theirs are derived from the message.
    """

    verb: str
    zone: str = FLEET_WIDE
    target: str = ""
    summary: str = ""

    @property
    def about(self) -> str:
        """In words."""
        return self.summary or self.target

    @property
    def device(self) -> str:
        """The machine it is about, empty where it is about none."""
        return self.target if self.target.count(".") == _ID_DOTS else ""

    @property
    def only_looks(self) -> bool:
        """Whether its verb is in groups of looks alone, none of which asks for more than a role."""
        return set(find_verb(self.verb).groups) <= READ_GROUPS


@dataclass(frozen=True, slots=True)
class Allowed:
    """What was decided. `zones` are those the caller may do it in, None for all."""

    act: Act
    zones: frozenset[str] | None

    def sees(self, zone: str) -> bool:
        """Whether something in `zone` is the caller's to see."""
        return self.zones is None or zone in self.zones


@dataclass(frozen=True, slots=True)
class Judged:
    """An act that is allowed, of which nothing is written yet: the decision, and what it spends."""

    allowed: Allowed
    decision: KeptDecision
    spends: AccessRequest | None


class Denied(Refused):
    """The policy said no; carries what has to be recorded once the transaction is rolled back."""

    def __init__(
        self, caller: Caller, aim: Aim, answer: Answer, content: ContentOf, policy: PolicySet
    ) -> None:
        failure = answer.decision.failure
        assert failure is not None  # noqa: S101 - a denial has one
        super().__init__([failure])
        self.caller, self.aim, self.answer = caller, aim, answer
        self.content, self.policy = content, policy

    @property
    def failure(self) -> Failure:
        """Why."""
        return self.failures[0]

    def act(self, reason: str) -> Act:
        """Who was denied what, as entries carry it."""
        return Act(
            actor=self.caller.actor,
            source=address_text(self.caller.source),
            reason=reason,
            verb=self.aim.verb,
            policies=self.answer.decision.policies,
            policy=self.policy.label,
        )

    def decision(self, now_ms: int) -> KeptDecision:
        """As it is kept."""
        return kept(self.answer.request, self.answer.decision, self.policy, now_ms)


class Authority:
    """Establishes callers and asks the policy."""

    def __init__(self, fleet: Fleet, policies: PolicyCache, looks: QuietLooks) -> None:
        self._fleet, self._policies, self._looks = fleet, policies, looks

    def caller(self, tx: Transaction, peer: Peer | ActingPlaybook) -> Caller:
        """The operator at the other end, or the playbook that acts (`playbook_caller`).

        That the certificate is an operator's of this fleet, alive now, whoever made `peer` has
        established. 1. its key is that of a session that stands; 2. that session's operator is
        enabled, and is the one the certificate names. Raises Refused (SIGNED_OUT).
        """
        if isinstance(peer, ActingPlaybook):
            return playbook_caller(tx, peer, self._fleet.keys)
        session = tx.people.session(sha256(peer.identity.spki))
        if session is None or not session.stands(tx.now_ms):  # 1
            actual = "one that ended" if session is not None else "none"
            raise Refused.of(Reason.SIGNED_OUT, "a session that stands", actual, "framegate login")
        name = session.operator
        person = tx.people.get(name)
        if person is None or not person.enabled or peer.name != OPERATOR_PREFIX + name:  # 2
            hint = "ask an admin: framegate operator list"
            expected = "an operator who is enabled"
            raise Refused.of(Reason.SIGNED_OUT, expected, f"{name} is not", hint)
        broken = bool(session.break_glass)
        return Caller(
            name=name,
            roles=tuple(roles_now(tx, person, break_glass=broken)),
            session=session.spki_sha256,
            factor_ms=session.factor_ms,
            break_glass=broken,
            source=peer.address,
        )

    def authorise(
        self, tx: Transaction, caller: Caller, aim: Aim, content: ContentOf, reason: str
    ) -> Allowed:
        """Ask the policy, keep what it said, and spend the approval that it took. Raises Denied."""
        judged = self.judge(tx, caller, aim, content, reason)
        if judged.spends is not None:
            use(tx, judged.spends)
        tx.policies.keep_decision(judged.decision)
        return judged.allowed

    def judge(
        self, tx: Transaction, caller: Caller, aim: Aim, content: ContentOf, reason: str
    ) -> Judged:
        """Ask the policy, and change nothing. Raises Denied.

        Where the verb takes others' approval, one of exactly this content is looked for.
        """
        verb, policy = find_verb(aim.verb), self.policy(tx)
        request, people = (
            _approved(tx, caller, aim, content(), policy) if verb.two_person else (None, ())
        )
        counted = len(people)
        if isinstance(caller, PlaybookCaller):  # approved as a whole, by who put it in force
            request, people = None, caller.approvers
            counted = len(people) - 1
        zones = caller.zones_asked(verb, aim.zone)
        ruling = rule(policy, ((z, self.question(tx, caller, aim, z, counted)) for z in zones))
        answer = ruling.decisive
        if not ruling.allowed:
            raise Denied(caller, aim, answer, content, policy)
        spends = request if people else None
        act = Act(
            actor=caller.actor,
            source=address_text(caller.source),
            approved_by=people,
            reason=reason,
            verb=aim.verb,
            policies=answer.decision.policies,
            policy=policy.label,
            request=spends.id if spends is not None else _acts_on(caller),
        )
        decision = kept(answer.request, answer.decision, policy, tx.now_ms)
        return Judged(Allowed(act, ruling.zones), decision, spends)

    def question(
        self, tx: Transaction, caller: Caller, aim: Aim, zone: str, approvals: int
    ) -> Request:
        """What is put to the policy for one zone."""
        place = Place(
            zone=zone,
            frozen=tx.zones.get(zone).frozen,
            fleet=self._fleet.name,
            quorum=quorum(tx),
        )
        return question(
            caller,
            find_verb(aim.verb),
            place,
            approvals=approvals,
            target=aim.target,
            now_ms=tx.now_ms,
        )

    def policy(self, tx: Transaction) -> PolicySet:
        """The one in force. Raises Refused (POLICY_INVALID)."""
        return load_policy(tx, self._fleet.keys, self._policies)

    def note_allowed(self, tx: Transaction, caller: Caller, aim: Aim) -> None:
        """An act that left no entry of its own gets one; looks of one kind are one an hour."""
        if tx.recorded:
            return
        groups = set(find_verb(aim.verb).groups)
        looks = groups & READ_GROUPS and "fresh" not in groups
        if not looks or self._looks.due(_look(caller, aim), tx.now_ms):
            tx.record(_allowed(aim))

    def note_look(self, store: Store, caller: Caller, aim: Aim, judged: Judged) -> None:
        """Write down a look that was allowed, in a transaction of its own, where that is due."""
        decision, look = judged.decision, _look(caller, aim)
        counted = self._looks.count(decision)
        noted = self._looks.due(look, decision.last_ms)
        if counted is None and not noted:
            return
        try:
            with store.writing() as tx:
                if counted is not None:
                    tx.policies.keep_decision(counted)
                if noted:
                    tx.act = judged.allowed.act
                    tx.record(_allowed(aim))
        except Exception:
            self._looks.forget(look, decision)
            raise

    def note_denied(
        self, tx: Transaction, denied: Denied, reason: str, *, dry: bool = False
    ) -> Refused:
        """Record a denial, in a transaction of its own; returns what the caller is told.

        Where an approval is what is missing it is asked for, but not for a dry run.
        """
        aim, failure = denied.aim, denied.failure
        tx.act = denied.act(reason)
        tx.policies.keep_decision(denied.decision(tx.now_ms))
        told = VerbDenied(device=aim.device, verb=aim.verb, about=aim.about, reason=failure.reason)
        tx.record(told)
        if failure.reason != Reason.APPROVAL_NEEDED or dry or denied.caller.playbook_mode:
            return Refused(denied.failures)
        request = ask(tx, _asked(denied, reason), denied.policy)
        more = quorum(tx) - 1
        others = f"{more} other{'s' if more > 1 else ''}"
        return Refused(
            [
                replace(
                    failure,
                    expected=f"the approval of {others} for {aim.verb}",
                    actual=f"{denied.answer.request.context['approvals']}",
                    hint=f"somebody else: framegate access approve {request.id}; "
                    "then run this command again",
                )
            ]
        )


def _approved(
    tx: Transaction, caller: Caller, aim: Aim, content: Content, policy: PolicySet
) -> tuple[AccessRequest | None, tuple[str, ...]]:
    digest = content.digest(aim.verb)
    return approved(tx, caller.name, aim.verb, digest, policy, target=aim.target)


def _acts_on(caller: Caller) -> str:
    return caller.request if isinstance(caller, PlaybookCaller) else ""


def _asked(denied: Denied, reason: str) -> Asked:
    aim = denied.aim
    return Asked(
        requester=denied.caller.name,
        zone=aim.zone,
        content=denied.content(),
        reason=reason,
        verb=aim.verb,
        target=aim.target,
    )


def _look(caller: Caller, aim: Aim) -> Look:
    return Look(caller.session, aim.verb, aim.zone)


def _allowed(aim: Aim) -> VerbAllowed:
    return VerbAllowed(device=aim.device, verb=aim.verb, about=aim.about)
