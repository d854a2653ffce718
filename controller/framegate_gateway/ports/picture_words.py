"""What stands beside a picture that leaves the gateway: which part, when, by which model."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from framegate.signed.statement import Verdict

_DIGITS: Final = 16
"""Hexadecimal digits of a model's digest: enough to find it by."""


def caption(verdict: Verdict, model: str) -> tuple[str, str]:
    """Two lines under a picture of `verdict`, which says its model's digest; `model` is the name of
    the bundle that is in force.
    """
    return (
        f"{verdict.outcome} {verdict.reason}  part {verdict.part}  {verdict.device}",
        f"{_time(verdict.issued_at_ms)}  model {model} {verdict.model_sha256[:_DIGITS]}  "
        f"receipt {verdict.verdict_id}",
    )


def badge(chain: dict[str, Any]) -> list[str]:
    """Four lines on a verdict, what made it and when, and what proves it."""
    batch, frame = chain["receipt"]["batch"], chain["frame"]
    signed = (
        f"signed in batch {batch['number']}{' (recovered)' if batch['recovered'] else ''}"
        if batch
        else "not signed yet"
    )
    logged = (
        f"log entry {batch['log_index']}"
        if batch and batch["log_index"] is not None
        else "not in the log yet"
    )
    camera = (
        "frame signed by the camera's TPM"
        if frame["signed_by_camera"]
        else "camera has not signed yet"
    )
    return [
        (
            f"{chain['verdict']['outcome']} {chain['verdict']['reason']}  part {frame['part']} "
            f" {chain['camera']['id']}"
        ),
        (
            f"{_time(chain['at_ms'])}  model {chain['model']['id']} "
            f"{chain['model']['sha256'][:_DIGITS]}"
        ),
        f"receipt {chain['id']}",
        f"{signed}, {logged}, {camera}",
    ]


def _time(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%F %TZ}"
