"""What the agent does with a series before it is sealed: masks are a filter of channels."""

from __future__ import annotations

from collections.abc import Collection

from framegate.payload.series.form import marshal_series, parse_series, without


def filtered(data: bytes, masked: Collection[str]) -> bytes:
    """See `SealingModule.filtered`: every sample of a masked channel is 0, its name stays."""
    return marshal_series(without(parse_series(data), masked))
