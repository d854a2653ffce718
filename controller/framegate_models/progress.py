"""How far a long piece of work is: bars on a terminal, lines in a file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from framegate_host.console import safe, talk

Said = Callable[[str, float, str], None]
"""Told the stage, how much of it is done, in [0, 1], and a detail."""


@contextlib.contextmanager
def progress() -> Iterator[Said]:
    """Something to tell how far work is; at its end the bars stand still."""
    if not talk.is_terminal:  # into a file: a line for each tenth of a stage
        tenths: dict[str, int] = {}

        def noted(stage: str, share: float, detail: str) -> None:
            if tenths.get(stage, -1) < int(10 * share):
                tenths[stage] = int(10 * share)
                talk.print(f"{stage} {100 * share:3.0f} %  {safe(detail)}".rstrip())

        yield noted
        return
    columns = (
        TextColumn("{task.description:16}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    with Progress(*columns, console=talk) as bar:
        tasks: dict[str, Any] = {}

        def said(stage: str, share: float, detail: str) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=1.0, detail="")
            bar.update(tasks[stage], completed=share, detail=detail)

        yield said
