"""The CISA Zero Trust Maturity Model's functions, as far as the record shows where they stand.

Nothing that was not assessed is good: it has no stage, and is counted beside its pillar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from framegate.assessment.check import Checked, Status, load_toml
from framegate.assessment.statement import STAGES, Said

PREFIX: Final = "ztmm/"
_RISING: Final = ("initial", "advanced", "optimal")
_HOLDS: Final = (Status.PASS, Status.NOT_APPLICABLE)


class Stage(IntEnum):
    """The model's stages, in its order."""

    TRADITIONAL = 0
    INITIAL = 1
    ADVANCED = 2
    OPTIMAL = 3

    @property
    def word(self) -> str:
        """As the model calls it."""
        return STAGES[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One of the 37: which checks have to hold before it stands at a stage, and what they cannot
    show (`more`).
    """

    name: str
    pillar: str
    title: str
    stages: Mapping[Stage, tuple[str, ...]]
    more: str

    @property
    def about(self) -> str:
        """As statements name it."""
        return f"{PREFIX}{self.name}"

    @property
    def checks(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(dict.fromkeys(c for names in self.stages.values() for c in names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The model, with the version and the reviewer of this reading of it."""

    name: str
    version: str
    source: str
    reviewed: str
    reviewer: str
    pillars: Mapping[str, str]
    functions: tuple[Function, ...]


@lru_cache(maxsize=1)
def ztmm() -> Model:
    """The data beside this module."""
    body = load_toml("ztmm.toml")
    functions = [
        Function(
            name=f"{pillar}.{name}",
            pillar=pillar,
            title=f["title"],
            stages=MappingProxyType(
                {Stage(STAGES.index(s)): tuple(f[s]) for s in _RISING if s in f}
            ),
            more=f["more"],
        )
        for pillar, inside in body["function"].items()
        for name, f in inside.items()
    ]
    return Model(
        name=body["name"],
        version=body["version"],
        source=body["source"],
        reviewed=str(body["reviewed"]),
        reviewer=body["reviewer"],
        pillars=MappingProxyType({n: p["title"] for n, p in body["pillar"].items()}),
        functions=tuple(functions),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessed:
    """A function, and the stage up to which its checks hold; None where it was not assessed.

    `wanting` are the checks that keep it from the next stage; `said` is who says so, where no check
    could be measured.
    """

    function: Function
    stage: Stage | None
    checked: tuple[Checked, ...]
    wanting: tuple[Checked, ...]
    said: Said | None = None


def assess(checked: Mapping[str, Checked], said: Mapping[str, Said]) -> list[Assessed]:
    """Every function of the model. A person's word counts where nothing could be measured, and
    never against a measurement.
    """
    return [_assess(f, checked, said.get(f.about)) for f in ztmm().functions]


def _assess(function: Function, checked: Mapping[str, Checked], said: Said | None) -> Assessed:
    own = tuple(checked[name] for name in function.checks)
    if not any(c.status in {Status.PASS, Status.FAIL} for c in own):
        stage = Stage(STAGES.index(said.says)) if said is not None else None
        return Assessed(function=function, stage=stage, checked=own, wanting=own, said=said)
    reached, wanting = Stage.TRADITIONAL, tuple[Checked, ...]()
    for stage in sorted(function.stages):
        wanting = _wanting([checked[name] for name in function.stages[stage]])
        if wanting:
            break
        reached = stage
    return Assessed(function=function, stage=reached, checked=own, wanting=wanting)


def _wanting(stage: Sequence[Checked]) -> tuple[Checked, ...]:
    """What keeps a function below a stage: what does not hold, or, where nothing passed, all of
    it. That there was nothing to be about carries nobody up.
    """
    if not any(c.status == Status.PASS for c in stage):
        return tuple(stage)
    return tuple(c for c in stage if c.status not in _HOLDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pillar:
    """The least stage of a pillar's assessed functions; None where none was assessed."""

    name: str
    title: str
    stage: Stage | None
    assessed: int
    not_assessed: int


def pillars(assessed: Sequence[Assessed]) -> list[Pillar]:
    """Every pillar of the model."""
    rows = []
    for name, title in ztmm().pillars.items():
        own = [a.stage for a in assessed if a.function.pillar == name]
        stages = [s for s in own if s is not None]
        rows.append(
            Pillar(
                name=name,
                title=title,
                stage=min(stages) if stages else None,
                assessed=len(stages),
                not_assessed=len(own) - len(stages),
            )
        )
    return rows
