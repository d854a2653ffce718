"""Whose frame goes to the inference child next (N108): the camera's that was served longest ago.

A camera that floods waits behind itself. It also keeps no more than one frame at the child while
others are about, so that a frame of theirs waits for the rest of one of its frames and not for two.
A camera that is alone has the child's whole pipeline.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from typing import Final

from framegate_gateway.inference.jobs import Job

ALONE_S: Final = 2.0
"""After another camera's last frame a camera is alone again: a line takes a part a second."""
MAX_SERVED: Final = 1_024
"""Cameras of which it is remembered when they were served; the longest ago is forgotten first."""


class Turns:
    """Jobs that wait, by camera; `""` stands for the gateway's own, which take turns like one."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()
        self._served: OrderedDict[str, int] = OrderedDict()
        self._count = 0
        self._latest: OrderedDict[str, float] = OrderedDict()

    def add(self, job: Job) -> None:
        """A job waits."""
        self._waiting.setdefault(job.device, deque()).append(job)
        if job.device:
            self._latest[job.device] = self._monotonic()
            self._latest.move_to_end(job.device)
            if len(self._latest) > 2:  # this one's and the latest other's
                self._latest.popitem(last=False)

    def next(self, flying: Collection[str] = ()) -> Job | None:
        """The job whose turn it is, out of those that wait; None where there is none, or where all
        are of cameras that have a frame at the child (`flying`) and are not alone.
        """
        free = [d for d in self._waiting if not d or d not in flying or self._alone(d)]
        if not free:
            return None
        device = min(free, key=lambda d: self._served.get(d, 0))  # the first of those alike
        jobs = self._waiting[device]
        job = jobs.popleft()
        if not jobs:
            del self._waiting[device]
        self._count += 1
        self._served[device] = self._count
        self._served.move_to_end(device)
        if len(self._served) > MAX_SERVED:
            self._served.popitem(last=False)
        return job

    def __bool__(self) -> bool:
        """Whether any job waits."""
        return bool(self._waiting)

    def _alone(self, device: str) -> bool:
        since = self._monotonic() - ALONE_S
        return all(at < since for other, at in self._latest.items() if other != device)
