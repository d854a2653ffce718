"""The demonstration of people, policy and the record: who may do what, on whose word, and what is
left to prove it by.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from framegate_host.console import Terminal
from framegate_simulators.demo import accounts, approvals, emergencies, policies, record
from framegate_simulators.demo.cast import Cast
from framegate_simulators.demo.story import Scene, Story, tell
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.plant import Plant

INTERVAL_S: Final = 2.0


class PeopleDemo(Story):
    """The acts in the order in which they are told."""

    def __init__(self, plant: Plant, console: Terminal) -> None:
        super().__init__(plant, console)
        self.cast = Cast(plant, console)

    def plan(self) -> Sequence[Scene]:
        """The acts in order."""
        return (
            Scene(
                "The first operator",
                (
                    "signed in with password and code; alone, so decisions take one person, and"
                    " everybody is told so"
                ),
                partial(accounts.first_operator, self.cast),
            ),
            Scene(
                "Others come, nobody is admin for good",
                (
                    "an engineer, two of security and an auditor set their own factors; decisions"
                    " take two"
                ),
                partial(accounts.others_come, self.cast),
            ),
            Scene(
                "Wrong factors",
                (
                    "a wrong password, a used code: the same answer; whoever guesses waits, and"
                    " nobody else"
                ),
                partial(accounts.guesses, self.cast),
            ),
            Scene(
                "Roles",
                (
                    "an engineer may not export a frame, an auditor may not touch a camera; both"
                    " are told what they lack"
                ),
                partial(accounts.roles, self.cast),
            ),
            Scene(
                "An engineer learns a profile and signs it, a second person approves",
                "an import by one waits; what was approved comes in, what was swapped does not",
                partial(approvals.profile, self.cast),
            ),
            Scene(
                "A quarantine is lifted by two",
                (
                    "sara alone cannot; after sven's word it is lifted once, and the next time it"
                    " takes two again"
                ),
                partial(approvals.lift, self.cast),
            ),
            Scene(
                "Admin for a minute",
                (
                    "erik asks, sara approves, he adds a person with her word; nobody has to take"
                    " the role away again"
                ),
                partial(accounts.elevation, self.cast),
            ),
            Scene(
                "A policy as code",
                (
                    "tested, simulated on what was decided, mended, applied by two; gateways decide"
                    " by it at once"
                ),
                partial(policies.policy, self.cast),
            ),
            Scene(
                "An intruder with a device's certificate",
                (
                    "a camera's key opens no operator's call; a made-up operator certificate opens"
                    " nothing without a session"
                ),
                partial(emergencies.intruder, self.cast),
            ),
            Scene(
                "The sealed credential",
                "opens once, for an hour, and everybody is told until somebody has looked into it",
                partial(emergencies.break_glass, self.cast),
            ),
            Scene(
                "Somebody leaves",
                "disabled: his session ends in the same breath, and his approvals count no more",
                partial(accounts.leaves, self.cast),
            ),
            Scene(
                "The record",
                (
                    "exported, verified with nothing but the file and the root; who, from where, on"
                    " whose word, why"
                ),
                partial(record.record, self.cast),
            ),
            Scene(
                "An edited log",
                (
                    "found at the very entry, in the export as in the store; the controller does"
                    " not start on a cut one"
                ),
                partial(record.edited, self.cast),
            ),
        )


def main() -> None:
    """make demo-people."""
    tell(
        PeopleDemo,
        partial(Plant, interval_s=INTERVAL_S),
        name="demo-people",
        summary="Who may do what, on whose word, and what is left to prove it by.",
        simulated=(
            "machines, people's typing and their authenticator apps; TPMs are swtpm; controller,"
            " gateway, agents and commands are the product."
        ),
    )


if __name__ == "__main__":
    run_to_its_end(main)
