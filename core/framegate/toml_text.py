"""TOML that somebody wrote: what is none is a refusal like any other, however it is none."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any

from framegate.errors import FramegateError


def parse_toml(text: str | bytes, wrong: Callable[[Exception], FramegateError]) -> dict[str, Any]:
    """The table that `text` is, in UTF-8 where it is bytes. Raises what `wrong` makes of the cause
    where it is none: also of numbers too long to read, and of arrays too deep (N206).
    """
    try:
        return tomllib.loads(text.decode() if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as error:
        raise wrong(error) from error
