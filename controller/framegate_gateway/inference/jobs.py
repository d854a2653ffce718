"""What is asked of the inference child, one frame at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.signed.inspected import Inspected, InspectedOf, Polygon

NOTHING_LEFT: Final = Inspected(0, InspectedOf.PICTURE)


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """One encoded frame (`ENCODING_…`) of a camera, `width` x `height` pixels, that shows a part of
    this type and was taken under `masks`.
    """

    device: str
    part_type: str
    image: bytes
    encoding: int
    width: int
    height: int
    masks: tuple[Polygon, ...] = ()


@dataclass
class Job:
    """A question on its way to the child, and whoever waits for its answer; `device` is the camera
    whose frame it is about, empty where it is the gateway's own; `limits` are the part's for second
    looks, and `left` what is inspected of it, as it was when the question was sent.
    """

    head: dict[str, Any]
    body: bytes
    done: asyncio.Future[tuple[dict[str, Any], bytes]]
    device: str
    golden_sent: bool = False
    goldens: tuple[str, ...] = ()
    left: Inspected = NOTHING_LEFT
    limits: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """What the child has of a part: the key of its golden images, their digests, its rules; and its
    outline, which stays here.
    """

    key: str
    goldens: tuple[str, ...]
    rules: dict[str, Any]
    outline: tuple[Polygon, ...]


def fail(job: Job, error: Exception) -> None:
    """Tell whoever waits that there will be no answer."""
    if not job.done.done():
        job.done.set_exception(error)
