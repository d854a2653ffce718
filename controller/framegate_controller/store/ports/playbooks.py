"""Playbooks that were put in force, and their steps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from framegate.machines.playbook_step import StepState
from framegate.registry.playbook import EnabledPlaybook, PlaybookStep, WaitingStep


class Playbooks(Protocol):
    """Revisions of playbooks as signed envelopes, which whoever reads one verifies; and steps."""

    def newest(self, name: str) -> EnabledPlaybook | None:
        """The highest revision of a playbook, whether or not it ended."""

    def revision(self, name: str, revision: int) -> EnabledPlaybook | None:
        """One revision."""

    def all(self) -> list[EnabledPlaybook]:
        """The highest revision of each, by name."""

    def add(self, playbook: EnabledPlaybook) -> None:
        """A new revision."""

    def plan(self, step: PlaybookStep) -> None:
        """A new step. Raises Moved where there is one with its key."""

    def step(self, key: PlaybookStep) -> PlaybookStep | None:
        """The step with the key of this one, as it stands now."""

    def put(self, step: PlaybookStep) -> None:
        """Keep a changed one."""

    def in_state(
        self, states: Sequence[StepState], most: int, playbook: str = ""
    ) -> list[PlaybookStep]:
        """Those of one playbook or (empty) of all that stand in one of these states, by trigger and
        number; at most so many.
        """

    def any_open(self) -> bool:
        """Whether any step is planned, held or asked for."""

    def waiting(self, playbook: str, targets: Collection[str]) -> set[WaitingStep]:
        """Steps of `playbook` on any of `targets` that are held, or that a person is asked for."""

    def holding(self) -> list[str]:
        """The playbooks of which steps are held, by name."""

    def requests(self) -> list[str]:
        """The approvals that steps wait for."""

    def of_request(self, request: str) -> list[PlaybookStep]:
        """Those that wait for this approval, by trigger and number."""

    def history(self, playbook: str, since_ms: int, most: int) -> list[PlaybookStep]:
        """The latest ones first, of one playbook or (empty) of all."""

    def forget(self, before_ms: int) -> None:
        """Steps that came to their end, of triggers before."""
