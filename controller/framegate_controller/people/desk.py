"""What verbs about people need of the process beside a transaction."""

from __future__ import annotations

from dataclasses import dataclass

from framegate_controller.people.authority import Authority
from framegate_controller.people.signin import SignIn
from framegate_controller.store.shared.limits import SignInLimits
from framegate_controller.store.shared.policies import PolicyCache


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleDesk:
    """Who decides, where people sign in, and what is remembered for both."""

    authority: Authority
    sign_in: SignIn
    policies: PolicyCache
    limits: SignInLimits
