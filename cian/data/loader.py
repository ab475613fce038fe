"""Batches made in worker processes, ahead of the training loop; the same batches whatever the number of workers.

Everything random in an example comes from (seed, epoch, batch, position), so any batch can be made again on its own: that is
what makes resuming exact.
"""

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

import numpy as np
from loky import ProcessPoolExecutor

from cian.base.parallel import prepare_worker
from cian.data.cams import read_seed
from cian.data.groups import batches_of_groups
from cian.data.images import read_image
from cian.data.transforms import feature_size, random_crop, shrink_label
from cian.data.voc import VOCDataset


@dataclass(frozen=True)
class Examples:
    """Makes training examples of a data set: image crops and, where there is a label folder, their shrunk labels."""

    dataset: VOCDataset
    labels: Optional[Path]
    crop: int
    scales: Tuple[float, ...]
    pad_label: int = 0

    def make(self, image_id, key):
        """One example: image uint8 (3, S, S) RGB and label uint8 (s, s) or None; `key` seeds its randomness.

        ValueError names the label file when it differs from the image in size, or holds unknown classes.
        """
        image = read_image(self.dataset.image_path(image_id))
        label = None
        if self.labels is not None:
            label = read_seed(Path(self.labels) / f"{image_id}.png", image.shape[:2], len(self.dataset.classes))
        image, label = random_crop(image, label, self.crop, np.random.default_rng(key), self.scales, self.pad_label)
        if label is not None:
            label = shrink_label(label, feature_size(self.crop))
        return image.transpose(2, 0, 1), label

    def make_batch(self, ids, keys):
        """Images uint8 (B, 3, S, S) and labels uint8 (B, s, s) or None."""
        images, labels = zip(*(self.make(image_id, key) for image_id, key in zip(ids, keys)))
        return np.stack(images), None if self.labels is None else np.stack(labels)


@dataclass(frozen=True)
class Plan:
    """Which images make up which batch of an epoch: shuffled, grouped, cut into batches.

    group_size 1 makes plain shuffled batches. rank and ranks: this process's share of every batch, whole groups. updates:
    batches of an epoch, by further shuffled walks over the list where one gives fewer; 0: those of one walk.
    """

    ids: Tuple[str, ...]
    tags: dict
    batch: int
    group_size: int = 1
    grouping: str = "random"
    seed: int = 0
    rank: int = 0
    ranks: int = 1
    updates: int = 0

    def epoch(self, epoch):
        """List of batches; a batch is a list of (group of ids, tuple of random keys), this rank's share."""
        batches = self._walk((self.seed, epoch))
        while len(batches) < self.updates:
            batches += self._walk((self.seed, epoch, len(batches)))
        return [self._share(index, epoch, groups) for index, groups in enumerate(batches[: self.updates or None])]

    def _walk(self, seed):
        """The batches of one shuffled walk over the list: lists of groups of ids; ValueError where there is none."""
        order = list(self.ids)
        np.random.default_rng(seed).shuffle(order)
        batches = batches_of_groups(order, self.tags, self.group_size, self.batch, self.grouping)
        if not batches:
            raise ValueError(
                f"no batch of {self.batch} images in groups of {self.group_size} can be made from the "
                f"{len(order)} images of the list; use a smaller batch or a longer list"
            )
        return batches

    def _share(self, index, epoch, groups):
        size = len(groups) // self.ranks
        if size * self.ranks != len(groups):
            raise ValueError(f"batch: {len(groups)} groups cannot be shared by {self.ranks} workers; use a multiple")
        keyed = [
            (
                group,
                tuple((self.seed, epoch, index, position * self.group_size + member) for member in range(len(group))),
            )
            for position, group in enumerate(groups)
        ]
        return keyed[self.rank * size : (self.rank + 1) * size]


class Loader:
    """Runs `make_batch(ids, keys)` for the batches of a plan in `workers` processes, `ahead` batches in advance.

    workers 0 makes them in this process. Close it, or use it in a `with`.
    """

    def __init__(self, plan, make_batch, workers=1, ahead=4):
        self.plan, self._make_batch, self._ahead = plan, make_batch, ahead
        self._pool = (
            ProcessPoolExecutor(workers, initializer=prepare_worker, initargs=(os.getpid(),)) if workers else None
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Stop the worker processes at once; batches under way are given up."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)

    def batches(self, epoch, start=0):
        """Yield (ids, made batch) of an epoch in order, from batch `start` on; ids are flat, groups consecutive."""
        tasks = []
        for groups in self.plan.epoch(epoch)[start:]:
            tasks.append(([i for group, _ in groups for i in group], [k for _, keys in groups for k in keys]))
        if self._pool is None:
            for ids, keys in tasks:
                yield ids, self._make_batch(ids, keys)
            return
        waiting, upcoming = deque(), iter(tasks)
        for task in tasks:
            while len(waiting) < self._ahead:
                following = next(upcoming, None)
                if following is None:
                    break
                waiting.append(self._pool.submit(self._make_batch, *following))
            yield task[0], waiting.popleft().result()
