"""What packages there are: `packaging/packages.toml`, read strictly."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from packaged.closure import closure

ROOT: Final = Path(__file__).parents[2]
PACKAGING: Final = ROOT / "packaging"
MAINTAINER: Final = "Framegate maintainers <framegate@example.org>"
HOME: Final = "opt/framegate"
"""Where every private environment lies: IMA rules and firmware profiles look there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One package.

    `folder` below /opt/framegate holds its environment; a package `beside` another adds to that
    one's. `code` are our own packages in it, `extras` bring the others' (none: a plain install).
    `holds` are settings that the package itself gives in its file of `settings`, the rest of which
    are comments. `logs` are files of the kernel's, by the group that may read them from the boot
    on: commands need them as the service does. `joins` is another package's user, who gets the
    `groups` of this one. Installed it has at most `most_mb` megabytes (10^6
    bytes; 0: nobody minds).
    """

    name: str
    about: str
    text: str
    folder: str
    beside: str = ""
    code: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    module: str = ""
    unit: str = ""
    user: str = ""
    uid: int = 0
    groups: tuple[str, ...] = ()
    joins: str = ""
    settings: str = ""
    depends: tuple[str, ...] = ()
    recommends: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    holds: Mapping[str, str] = field(default_factory=dict)
    dropins: tuple[str, ...] = ()
    logs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    most_mb: int = 0

    @property
    def home(self) -> str:
        """Its environment, from the root."""
        return f"{HOME}/{self.folder}"


def specs(path: Path = PACKAGING / "packages.toml") -> dict[str, Spec]:
    """Every package by its name. Raises TypeError where a member is unknown or missing."""
    read = {}
    for name, body in tomllib.loads(path.read_text("utf-8")).items():
        members = {k: tuple(v) if isinstance(v, list) else v for k, v in body.items()}
        read[name] = Spec(name=name, **members)
    return read


def held_beside(spec: Spec, every: Mapping[str, Spec]) -> tuple[str, ...]:
    """Names of what the package holds that this one stands beside, and this one does not."""
    return tuple(sorted(closure(every[spec.beside].extras))) if spec.beside else ()
