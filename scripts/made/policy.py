"""docs/reference/policy.md: verbs, who may do them by the default policy, and the policy itself."""

from __future__ import annotations

from typing import Final

from framegate.access.policy import SCHEMA, default_files, parse_policy
from framegate.access.verbs import Role, verbs
from framegate_operator.permissions import role_table
from made.markdown import code, plain, table

PAGE: Final = "docs/reference/policy.md"
HEAD: Final = """# Access policy

Made from `core/framegate/access/verbs.toml` and `core/framegate/access/default/` by `make pages`;
do not edit.

A policy is a folder: `schema.cedarschema` and files `NAME.cedar`, in
[Cedar](https://docs.cedarpolicy.com) 4. What no policy permits is denied, a `forbid` wins, and an
error in any policy denies. How to change it: [people and
policy](../guides/operators/people.md#change-the-policy). What it means: [people and
policy](../concepts/people-and-policy.md). The requests that are put to it: [the
protocol](protocol.md#10-people-and-policy).

Annotations: `@id` names a policy in decisions, the record and denials; every policy has one, each
once. `@reason` and `@hint` on a `forbid` are what the refused are told; a reason is one of
[these](../troubleshooting.md).

## Verbs

Groups are what policies speak of. Those that give rights: self, view, audit, operate, engineer,
secure, administer. Those that bar: *change* is barred in a frozen zone, *fresh* asks for a second
factor of the last 15 minutes, *two-person* for somebody else's approval. *On* is what a verb is
done to: one zone, anything shared that whoever has the right in some zone may read, or the fleet
as a whole.

"""
TABLE: Final = """
## Who may, by the default policy

With a quorum of two, a fresh factor and nothing frozen: yes, 2 (somebody else must approve), or
nothing. `framegate auth table` shows the same by the policy in force. A role may hold in one zone
alone.

"""

ACTIONS: Final = """Then an action for each group and verb above, and `inspect`.
`framegate policy init --out DIR` writes all of it."""


def pages() -> dict[str, str]:
    """The page by its path."""
    files = default_files()
    rows = [
        (code(v.name), ", ".join(v.groups), v.on, ", ".join(map(code, v.rpc)), plain(v.summary))
        for v in verbs().values()
    ]
    may = role_table(parse_policy(files))
    cells = [
        (code(verb), *("" if by[role] == "no" else by[role] for role in Role))
        for verb, by in may.items()
    ]
    text = HEAD + table(("verb", "groups", "on", "calls", "what it is"), rows)
    text += TABLE + table(("verb", *Role), cells)
    for name in sorted(files):
        if name != SCHEMA:
            text += f"\n## {name}\n\n```\n{files[name].rstrip()}\n```\n"
    types = files[SCHEMA].split("// groups", 1)[0].rstrip()
    return {PAGE: f"{text}\n## {SCHEMA}\n\n```\n{types}\n```\n\n{ACTIONS}\n"}
