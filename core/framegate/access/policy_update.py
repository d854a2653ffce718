"""A policy of before, brought to this version: the verbs and the principals that it lacks, and the
rules that came with those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from framegate.access.policy import SCHEMA, default_files, parse_policy
from framegate.access.schema import updated_schema
from framegate.errors import Reason, Refused

PLAYBOOK_RULES: Final = "playbooks.cedar"
_PLAYBOOK: Final = "Playbook"


@dataclass(frozen=True, slots=True)
class UpdatedPolicy:
    """The files after it, the verbs that were added, and the files of rules; `silent` says that no
    rule speaks of playbooks, although the schema knew them: they may do nothing.
    """

    files: Mapping[str, str]
    verbs: tuple[str, ...]
    rules: tuple[str, ...]
    silent: bool

    @property
    def added(self) -> tuple[str, ...]:
        """All of it, in words."""
        return (*self.verbs, *(f"the rules of {name}" for name in self.rules))


def updated_policy(files: Mapping[str, str], *, playbooks: bool = False) -> UpdatedPolicy:
    """`files` with what they lack of this version.

    1. Verbs are added to the schema, permitted to whom the policy's own rules permit their groups;
    2. where the schema knew no playbooks, or `playbooks` asks for it and no rule speaks of them,
    the rules of the default policy about them are added, in a file of their own: no earlier rule
    could have said anything about playbooks, so nothing that somebody decided is undone;
    3. every other file is left as it is.

    Raises Malformed (POLICY_INVALID), Refused (CONFLICT) where that file's name is taken.
    """
    policy = parse_policy(files)
    before = files[SCHEMA]
    whole = {**files, SCHEMA: updated_schema(before, policy.actions)}  # 1
    spoken = any(_PLAYBOOK in text for name, text in files.items() if name != SCHEMA)
    known = f"entity {_PLAYBOOK}" in before
    rules: tuple[str, ...] = ()
    if not spoken and (playbooks or not known):  # 2
        if PLAYBOOK_RULES in files:
            raise Refused.of(
                Reason.CONFLICT,
                f"no file {PLAYBOOK_RULES}, for the rules about playbooks",
                "one that says nothing of them",
                "call it otherwise",
            )
        whole[PLAYBOOK_RULES] = default_files()[PLAYBOOK_RULES]
        rules = (PLAYBOOK_RULES,)
    parse_policy(whole)
    return UpdatedPolicy(whole, policy.missing, rules, known and not spoken and not rules)
