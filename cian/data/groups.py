"""Which images train together: groups that share a class, as published, or random ones (FIDELITY row 12); pairs to look at."""

from collections import Counter, deque
from itertools import count

import numpy as np

BARREN_WALKS = 3  # shuffled walks over the ids without a new pair after which they hold no more


def common_class_groups(order, tags, size):
    """Disjoint groups of `size` images with a common class, walking `order` (ids); yields tuples of ids.

    A group starts with the next image; each further member is the next one that shares a class with every member so far.
    Images passed over wait in front of those not reached yet. tags: id -> its classes.

    An image that completes no group with all that are left is set aside, and the walk begins anew over the others, in the order
    in which it met them. The published walk ends there: its groups are the first of these, up to the first image set aside
    (FIDELITY row 12a).
    """
    classes = {image: frozenset(tags[image]) for image in order}
    fresh, waiting, left = iter(order), deque(), len(order)
    while left >= size:
        members, passed, met = [], [], []
        while len(members) < size:
            image = waiting.popleft() if waiting else next(fresh, None)
            if image is None:
                break
            met.append(image)
            (members if all(classes[image] & classes[member] for member in members) else passed).append(image)
        if len(members) == size:
            waiting.extend(passed)  # behind those that still wait
            left -= size
            yield tuple(members)
        else:
            fresh, left = iter(met[1:]), left - 1  # `met` are all that remain, the first of them is set aside


def lonely_images(ids, tags):
    """Those of `ids` that share no class with any other: no group with a common class takes them."""
    shown = Counter(index for image in ids for index in set(tags[image]))
    return [image for image in ids if all(shown[index] == 1 for index in tags[image])]


def random_groups(order, tags, size):
    """Consecutive groups of `size` images of `order` (ids), whatever their classes; the incomplete tail is dropped."""
    for start in range(0, len(order) - size + 1, size):
        yield tuple(order[start : start + size])


GROUPINGS = {"common": common_class_groups, "random": random_groups}


def random_pairs(ids, tags, grouping, seed):
    """Yield pairs of ids as training groups them, walk after shuffled walk, none twice, in either order.

    tags: id -> its classes; grouping: one of GROUPINGS; seed: of the walks.
    """
    seen, barren = set(), 0
    for walk in count():
        order = list(ids)
        np.random.default_rng((seed, walk)).shuffle(order)
        fresh = [pair for pair in GROUPINGS[grouping](order, tags, 2) if frozenset(pair) not in seen]
        yield from fresh
        seen.update(map(frozenset, fresh))
        barren = 0 if fresh else barren + 1
        if barren == BARREN_WALKS:
            return


def batches_of_groups(order, tags, group_size, batch, grouping="common"):
    """List of batches, each a list of batch / group_size groups (tuples of ids); an incomplete last batch is dropped.

    ValueError: unknown grouping, or `batch` not a multiple of the group size.
    """
    if grouping not in GROUPINGS:
        raise ValueError(f"grouping: {grouping!r}, expected one of {', '.join(GROUPINGS)}")
    if batch % group_size:
        raise ValueError(f"batch: {batch} images, expected a multiple of the group size {group_size}")
    groups = list(GROUPINGS[grouping](order, tags, group_size))
    count = batch // group_size
    return [groups[start : start + count] for start in range(0, len(groups) - count + 1, count)]
