"""Objects in JSON that a gateway told. A gateway may be wrong or taken over: what is no object is
no answer, and another gateway's counts (N220).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from framegate.errors import Malformed, Reason, Unavailable
from framegate_operator.answers import json_object


def told_object(text: str | bytes, what: str) -> Mapping[str, Any]:
    """The object in `text`, of which people know as `what`. Raises Unavailable."""
    try:
        return json_object(text.encode() if isinstance(text, str) else text, what)
    except Malformed as error:
        seen = error.failures[0].actual
        raise Unavailable.of(Reason.UNAVAILABLE, what, seen) from error
