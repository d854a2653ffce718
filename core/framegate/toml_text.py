"""TOML that somebody wrote: what is none is a refusal like any other, however it is none."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any

from framegate.byte_order_mark import as_utf8
from framegate.errors import FramegateError


def parse_toml(text: str | bytes, wrong: Callable[[Exception], FramegateError]) -> dict[str, Any]:
    """The table that `text` is, in UTF-8 where it is bytes; a byte order mark, which editors on
    Windows put before it, is no part of it. Raises what `wrong` makes of the cause where it is
    none: also of numbers too long to read, and of arrays too deep (N206).
    """
    try:
        return tomllib.loads(as_utf8(text if isinstance(text, bytes) else text.encode()).decode())
    except (ValueError, RecursionError) as error:
        raise wrong(error) from error
