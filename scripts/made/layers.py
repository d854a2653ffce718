"""docs/reference/layers.md, from the contracts that `make check` holds the packages to."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from made.markdown import plain, wrapped

PAGE: Final = "docs/reference/layers.md"
PROJECT: Final = Path(__file__).parents[2] / "pyproject.toml"
HEAD: Final = """# Layers

Made from the contracts in `pyproject.toml` (`importlinter`) by `make pages`; do not edit. `make
check` holds the code to them. What the rooms are for: [the rooms](../concepts/rooms.md).
"""


def pages() -> dict[str, str]:
    """The page by its path."""
    contracts = tomllib.loads(PROJECT.read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    parts = [HEAD.rstrip(), "## Rules"]
    parts.append("\n".join(f"- {plain(c['name'])}" for c in contracts if c["type"] != "layers"))
    parts += [
        "## Rooms of each package, from the top",
        "A room imports those below it. Rooms on one line, between bars, never import each other.",
    ]
    for contract in contracts:
        if contract["type"] == "layers":
            parts += _layers(contract)
    return {PAGE: "\n\n".join(parts) + "\n"}


def _layers(contract: dict[str, Any]) -> list[str]:
    title = ", ".join(f"`{c}`" for c in contract["containers"])
    note = "A new room has to be given its place." if contract.get("exhaustive") else ""
    lines = "\n".join(f"    {layer}" for layer in contract["layers"])
    return [f"### {title}", *([wrapped(note)] if note else []), lines]
