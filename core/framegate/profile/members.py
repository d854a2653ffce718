"""Members of a profile's TOML by name and type; whatever is another raises Malformed
(PROFILE_INVALID) and says which.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from framegate.errors import Malformed, Reason

_T = TypeVar("_T")


def bad(expected: str, actual: object) -> Malformed:
    """What is raised for a profile that says something else than `expected`."""
    return Malformed.of(Reason.PROFILE_INVALID, expected, actual, "see firmware_profiles/README.md")


def table_of(body: dict[str, Any], name: str, members: AbstractSet[str]) -> dict[str, Any]:
    """The table `name`, which has none but `members`."""
    table = member(body, name, dict)
    if set(table) - members:
        raise bad(f"members {', '.join(sorted(members))} in [{name}]", sorted(set(table) - members))
    return dict(table)


def member(table: dict[str, Any], name: str, kind: type[_T]) -> _T:
    """The member `name`, of exactly this type."""
    value = table.get(name)
    if type(value) is not kind:
        raise bad(
            f"{name} as {kind.__name__}", "nothing" if value is None else type(value).__name__
        )
    return value


def tables(table: dict[str, Any], name: str) -> list[Any]:
    """A list that may be missing."""
    return member(table, name, list) if name in table else []


def strings(table: dict[str, Any], name: str) -> list[str]:
    """A list of texts, which has at least one."""
    values = member(table, name, list)
    if not values or not all(type(v) is str for v in values):
        raise bad(f"{name} as a list of strings that is not empty", values)
    return [str(v) for v in values]


def digests_of(values: list[str], size: int, what: str) -> frozenset[bytes]:
    """Hexadecimal `values` of `size` bytes each."""
    try:
        digests = frozenset(bytes.fromhex(v) for v in values)
    except ValueError as error:
        raise bad(f"{what} in hexadecimal", values[0]) from error
    if any(len(v) != size for v in digests):
        raise bad(f"{what} of {size} bytes", values[0])
    return digests
