"""docs/reference/assessment.md, from the facts, checks and mappings themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from framegate.assessment.check import catalogue
from framegate.assessment.facts import facts
from framegate.assessment.framework import Framework, frameworks
from framegate.assessment.maturity import Function, ztmm
from made.markdown import code, plain, table, wrapped

PAGE: Final = "docs/reference/assessment.md"
HEAD: Final = """# Facts, checks and mappings

Made from `core/framegate/assessment/` by `make pages`; do not edit. What they are for and how to
use them: [where a fleet stands](../guides/operators/assess.md).

"""
FACTS: Final = (
    "Each is worked out of the record's entries alone. A share has no value where it is of "
    "nothing; a count of bad things has none where nobody would have recorded one. *By zone*: "
    "whether it can be told of one zone. A machine is part of the plant from its first proof until "
    "it is retired."
)


def pages() -> dict[str, str]:
    """The page by its path."""
    known, model = catalogue(), ztmm()
    parts = [
        f"## Facts\n\n{wrapped(FACTS)}\n\n",
        table(("fact", "is a", "by zone", "what it is"), _facts()),
        f"\n## Checks\n\nVersion {known.version} of {known.reviewed}, reviewed by "
        f"{known.reviewer}. Evidence is good for {known.valid_ms // 3_600_000} hours.\n\n",
        table(("check", "fact", "wanted", "without data", "what holds"), _checks()),
        f"\n## {model.name} {model.version}\n\n",
        wrapped(
            f"{model.source}. As read on {model.reviewed}, reviewed by {model.reviewer}. Which "
            "checks have to hold before a function stands at a stage, and what they cannot show."
        ),
        "\n\n",
        table(("function", "initial", "advanced", "optimal", "not shown"), _functions()),
    ]
    for framework in frameworks().values():
        parts.append(f"\n## {plain(framework.title)}\n\n{_about(framework)}\n\n")
        heads = ("claim", "control", "supported by", "checks", "you must still")
        parts.append(table(heads, _claims(framework)))
    return {PAGE: HEAD + "".join(parts)}


def _facts() -> Iterator[tuple[str, ...]]:
    for name, declared in facts().items():
        zoned = "yes" if declared.zoned else "no"
        yield code(name), declared.unit.value, zoned, plain(declared.says)


def _checks() -> Iterator[tuple[str, ...]]:
    for name, check in catalogue().checks.items():
        yield code(name), code(check.fact), check.limit, check.empty.value, plain(check.title)


def _functions() -> Iterator[tuple[str, ...]]:
    for function in ztmm().functions:
        cells = (_stage(function, n) for n in (1, 2, 3))
        yield code(function.name), *cells, plain(function.more)


def _stage(function: Function, stage: int) -> str:
    names = next((names for s, names in function.stages.items() if s == stage), ())
    return ", ".join(map(code, names)) or "-"


def _about(framework: Framework) -> str:
    return wrapped(
        f"{framework.source}; {framework.version}. For {framework.scope}. Mapping "
        f"{framework.mapping} of {framework.reviewed}, reviewed by {framework.reviewer}."
    )


def _claims(framework: Framework) -> Iterator[tuple[str, ...]]:
    for claim in framework.claims:
        checks = ", ".join(map(code, claim.checks))
        control = plain(f"{claim.control}: {claim.title}")
        yield code(claim.about), control, plain(claim.supports), checks, plain(claim.customer)
