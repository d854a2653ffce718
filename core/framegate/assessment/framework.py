"""Frameworks of rules, and which of their controls the fleet's checks support.

A claim says that something supports a control. Nothing here says that a control is met: that takes
what the customer must still do, and somebody who may judge it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from framegate.assessment.check import DATA, Checked, Status, load_toml
from framegate.assessment.maturity import ztmm
from framegate.assessment.statement import Said
from framegate.errors import Reason, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What supports a control, by which checks, and what is left to the customer."""

    name: str
    framework: str
    control: str
    title: str
    supports: str
    customer: str
    checks: tuple[str, ...]

    @property
    def about(self) -> str:
        """As statements name it."""
        return f"{self.framework}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """A mapping, with its version, its source and who reviewed it."""

    name: str
    title: str
    version: str
    mapping: str
    source: str
    scope: str
    reviewed: str
    reviewer: str
    claims: tuple[Claim, ...]


@lru_cache(maxsize=1)
def frameworks() -> Mapping[str, Framework]:
    """Every framework by its id, in order."""
    names = sorted(p.name for p in (DATA / "frameworks").iterdir() if p.name.endswith(".toml"))
    every = [_framework(load_toml(f"frameworks/{name}")) for name in names]
    return MappingProxyType({f.name: f for f in every})


def _framework(body: dict[str, object]) -> Framework:
    name, rows = str(body["id"]), body["claim"]
    assert isinstance(rows, list)  # noqa: S101 - data of this package
    claims = tuple(
        Claim(
            name=c["id"],
            framework=name,
            control=c["control"],
            title=c["title"],
            supports=c["supports"],
            customer=c["customer"],
            checks=tuple(c["checks"]),
        )
        for c in rows
    )
    return Framework(
        name=name,
        title=str(body["title"]),
        version=str(body["version"]),
        mapping=str(body["mapping"]),
        source=str(body["source"]),
        scope=str(body["scope"]),
        reviewed=str(body["reviewed"]),
        reviewer=str(body["reviewer"]),
        claims=claims,
    )


def framework_named(name: str) -> Framework:
    """Raises Refused (NOT_FOUND)."""
    known = frameworks()
    if name not in known:
        wanted = f"a framework: {', '.join(known)}"
        hint = "framegate compliance list"
        raise Refused.of(Reason.NOT_FOUND, wanted, ascii(name[:60]), hint)
    return known[name]


@lru_cache(maxsize=1)
def sayable() -> frozenset[str]:
    """Everything that a person can say something about."""
    functions = {f.about for f in ztmm().functions}
    claims = {c.about for f in frameworks().values() for c in f.claims}
    return frozenset(functions | claims | set(frameworks()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A claim as of now: what its checks came to, or what somebody says where nothing was
    measured.
    """

    claim: Claim
    status: Status
    checked: tuple[Checked, ...]
    said: Said | None = None


def claimed(
    framework: Framework, checked: Mapping[str, Checked], said: Mapping[str, Said]
) -> list[Claimed]:
    """Every claim of a framework, in order."""
    return [_claimed(claim, checked, said) for claim in framework.claims]


def _claimed(claim: Claim, checked: Mapping[str, Checked], said: Mapping[str, Said]) -> Claimed:
    """That a framework or a control does not apply is a person's word and goes first; otherwise a
    person's word counts where nothing was measured.
    """
    own = tuple(checked[name] for name in claim.checks)
    whole, one = said.get(claim.framework), said.get(claim.about)
    for word in (whole, one):
        if word is not None and word.says == Status.NOT_APPLICABLE:
            return Claimed(claim=claim, status=Status.NOT_APPLICABLE, checked=own, said=word)
    status = together([c.status for c in own])
    if status == Status.NOT_MEASURED and one is not None:
        return Claimed(claim=claim, status=Status(one.says), checked=own, said=one)
    return Claimed(claim=claim, status=status, checked=own)


def together(statuses: list[Status]) -> Status:
    """Several checks as one: the first of fail and not-measured that is among them; pass where one
    passed and the others had nothing to be about.
    """
    for status in (Status.FAIL, Status.NOT_MEASURED, Status.PASS):
        if status in statuses:
            return status
    return Status.NOT_APPLICABLE
