"""Batches of training samples without end, made ahead of the step that takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import cv2
import numpy as np
import torch

from framegate_models.sampling import LabelledPair, mirror_of, sample

AHEAD: Final = 4
"""Batches that each sampling process has ready: a step takes a few milliseconds on a GPU."""

Batch = list[torch.Tensor]
"""The members of `Sample` in their order, each stacked: (batch, …)."""


class Batches(torch.utils.data.IterableDataset[Batch]):  # type: ignore[misc]
    """Random samples of `pairs`, `size` a batch; each process that iterates draws its own by `seed`
    and its number.
    """

    def __init__(
        self, pairs: Sequence[LabelledPair], classes: tuple[str, ...], size: int, seed: int
    ) -> None:
        self._pairs, self._classes, self._size, self._seed = pairs, classes, size, seed

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        if worker is not None:
            cv2.setNumThreads(1)  # OpenCV's own threads do not outlive the fork
        rng = np.random.default_rng([self._seed, 0 if worker is None else worker.id])
        mirror = mirror_of(self._classes)
        while True:
            rows = [
                sample(rng, self._pairs[int(i)], len(self._classes), mirror)
                for i in rng.integers(0, len(self._pairs), self._size)
            ]
            yield [torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True)]


def ahead(batches: Batches, processes: int) -> Iterator[Batch]:
    """The batches, by one thread beside the caller's where `processes` is 0, which two cores keep
    up with; else by so many processes, for a GPU that takes them faster.
    """
    if processes:
        yield from torch.utils.data.DataLoader(
            batches, batch_size=None, num_workers=processes, prefetch_factor=AHEAD
        )
    with ThreadPoolExecutor(1) as beside:
        source = iter(batches)
        coming = beside.submit(next, source)
        while True:
            batch = coming.result()
            coming = beside.submit(next, source)
            yield batch
