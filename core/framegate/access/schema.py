"""The actions of a policy's schema: one for each verb of this version; which of them a schema that
was written before lacks, and the text that adds them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from framegate.access.verbs import Verb, verbs

INSPECT: Final = "inspect"
"""What devices are asked about, beside the verbs of operators."""
STEERING: Final = (
    "policy.show",
    "policy.apply",
    "access.request",
    "access.approve",
    "factor.prove",
    INSPECT,
)
"""What every schema knows: what it takes to put the next policy in force, and `inspect`. A policy
without these could be mended by nobody.
"""
RESPOND: Final = "respond"
"""The group of verbs that playbooks may do by themselves, where the policy lets them."""
PLAYBOOK_ENTITY: Final = (
    "// a playbook that two people put in force; `mode` is shadow, ask or act\n"
    "entity Playbook = { name: String, mode: String };\n"
)
_BEFORE: Final = "appliesTo { principal: [Operator], "
_NOW: Final = "appliesTo { principal: [Operator, Playbook], "
_RESOURCE: Final = {"zone": "Zone", "any": "Zone", "fleet": "Fleet"}


def missing_verbs(actions: Collection[str]) -> tuple[str, ...]:
    """Verbs of this version that a schema with `actions` lacks: it was written before they
    existed, or names them wrongly. Each is denied, and no other.
    """
    return tuple(v for v in verbs() if v not in actions)


def schema_actions() -> str:
    """All actions: groups, then one for each verb, as `verbs.toml` has them, and `inspect`."""
    lines = ["// groups", *map(_group, _groups(verbs().values())), "", "// verbs of operators"]
    lines += [line for verb in verbs().values() for line in _action(verb)]
    inspect = "{ principal: [Device], resource: [Model], context: { zone: String } }"
    lines += ["", "// devices and models", f'action "{INSPECT}" appliesTo {inspect};', ""]
    return "\n".join(lines)


def added_actions(actions: Collection[str]) -> str:
    """The text that a schema with `actions` lacks for every verb of this version; empty where it
    lacks none. What stands in it already is left as it is.
    """
    added = [verbs()[name] for name in missing_verbs(actions)]
    if not added:
        return ""
    lines = ["", "// verbs added since"]
    lines += [_group(g) for g in _groups(added) if g not in actions]
    lines += [line for verb in added for line in _action(verb)]
    return "\n".join(lines) + "\n"


def updated_schema(text: str, actions: Collection[str]) -> str:
    """The schema `text`, which has `actions`, with what it lacks of this version: verbs, and that
    playbooks may ask for those of the group `respond`. Lines that somebody wrote otherwise are
    left as they are. What a policy permits is not changed by it.
    """
    whole = text.rstrip("\n") + "\n"
    if "entity Playbook" not in whole:
        lines = (_with_playbooks(line) for line in whole.splitlines())
        whole = "\n".join(lines) + "\n" + PLAYBOOK_ENTITY
        if RESPOND not in actions:
            whole += _group(RESPOND) + "\n"
    return whole + added_actions({*actions, RESPOND})


def _with_playbooks(line: str) -> str:
    named = line.split('"')
    verb = verbs().get(named[1]) if line.startswith('action "') else None
    if verb is None or RESPOND not in verb.groups or _BEFORE not in line:
        return line
    within = line.replace(" in [", f' in ["{RESPOND}", ', 1) if f'"{RESPOND}"' not in line else line
    return within.replace(_BEFORE, _NOW)


def _groups(chosen: Iterable[Verb]) -> list[str]:
    return sorted({g for v in chosen for g in v.groups})


def _group(name: str) -> str:
    return f'action "{name}";'


def _action(verb: Verb) -> tuple[str, str]:
    within = ", ".join(f'"{g}"' for g in verb.groups)
    who = "Operator, Playbook" if RESPOND in verb.groups else "Operator"
    applies = f"principal: [{who}], resource: [{_RESOURCE[verb.on]}], context: Asking"
    return (
        f"// {verb.summary}",
        f'action "{verb.name}" in [{within}] appliesTo {{ {applies} }};',
    )
