"""Objects in JSON that a gateway told. A gateway may be wrong or taken over: what is no object is
no answer, and another gateway's counts (N220).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from framegate.errors import Reason, Unavailable


def told_object(text: str | bytes, what: str) -> Mapping[str, Any]:
    """The object in `text`, of which people know as `what`. Raises Unavailable."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unavailable.of(Reason.UNAVAILABLE, what, type(error).__name__) from error
    if not isinstance(body, dict):
        raise Unavailable.of(Reason.UNAVAILABLE, what, type(body).__name__)
    return body
