"""A program whose settings are of every kind, for tests of settings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest

from framegate.errors import Failure, Reason, Refused
from framegate_host.setting_records import Settings
from framegate_host.setting_values import DIGEST, HOST_PORT, Setting
from framegate_host.settings import Given, resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class Mill(Settings):
    """A mill."""

    PROGRAM: ClassVar[str] = "mill"

    grain: Annotated[str, Setting("What is ground.", example="rye", variable="FRAMEGATE_GRAIN")]
    stones: Annotated[int, Setting("Stones.", least=1, most=8)] = 2
    speed: Annotated[float, Setting("Speed.", unit="1/s", least=0)] = 1.5
    loud: Annotated[bool, Setting("Say it all.", short="-v")] = False
    mode: Annotated[Literal["fine", "coarse"], Setting("How.")] = "fine"
    power: Annotated[str, Setting("Where power is.", form=HOST_PORT)] = ""
    sacks: Annotated[tuple[Path, ...], Setting("Sacks.", example=(Path("/sack"),))] = ()
    marks: Annotated[tuple[str, ...], Setting("Marks.", form=DIGEST)] = ()
    log: Annotated[Path | None, Setting("Log.")] = None
    key_file: Annotated[Path | None, Setting("Its key.", there="file")] = None
    shed: Annotated[Path | None, Setting("A shed.", there="folder")] = None
    keep: Annotated[
        Mapping[str, int], Setting("Days.", names=("flour", "bran"), least=0, most=99)
    ] = field(default_factory=lambda: {"flour": 7, "bran": 1})

    def problems(self) -> Iterator[Failure]:
        if self.loud and self.log is None:
            yield self.beside("log", "--loud")


@pytest.fixture
def told(tmp_path):
    """(settings or failures) of a file's text, variables and flags; grain is rye by default."""

    def tell(text="", environment=None, flags=None, grain=("rye",)):
        file = tmp_path / "mill.toml"
        file.write_text(text)
        typed = {**({"grain": grain} if grain else {}), **(flags or {})}
        try:
            return resolve(Mill, Given(file, environment or {}, typed)).settings()
        except Refused as refused:
            return refused.failures

    return tell


def said(failures) -> str:
    """What a person reads of failures, all of them of use."""
    assert isinstance(failures, tuple), failures
    assert {f.reason for f in failures} == {Reason.USAGE}
    return "\n".join(map(str, failures))
