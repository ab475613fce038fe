"""Groups of images with a common class: the published walk, hand-worked cases and a slow oracle."""
import random

import pytest

from cian.data.groups import batches_of_groups, common_class_groups, lonely_images, random_groups, random_pairs

TAGS = {"a": (1,), "b": (2,), "c": (1, 2), "d": (3,), "e": (2,), "f": (3,), "g": (1,)}


def test_images_passed_over_wait_in_front():
    # a meets c (b waits); b, waiting, goes first and meets e (d waits); d meets f; g is the tail
    assert list(common_class_groups("abcdefg", TAGS, 2)) == [("a", "c"), ("b", "e"), ("d", "f")]


def test_every_pair_of_a_larger_group_shares_a_class():
    tags = {"a": (1,), "b": (1, 2), "c": (2,), "d": (1, 3)}
    # c shares a class with b, not with a
    assert list(common_class_groups("abcd", tags, 3)) == [("a", "b", "d")]


def published(order, tags, size):
    """The published walk with plain lists: those that wait come first, then the fresh ones; who is passed over waits at the
    back. It ends at the first image that completes no group: its groups, and all that were left then, in the order met.
    """
    waiting, fresh, groups = [], list(order), []
    while True:
        group, passed = [], []
        candidates = waiting + fresh
        for image in candidates:
            (group if all(set(tags[image]) & set(tags[m]) for m in group) else passed).append(image)
            if len(group) == size:
                break
        else:
            return groups, candidates
        groups.append(tuple(group))
        seen = set(group + passed)
        waiting = [i for i in waiting if i not in seen] + passed
        fresh = [i for i in fresh if i not in seen]


def oracle(order, tags, size):
    """Published walks, each over what the one before left without the image at which it ended."""
    groups = []
    while len(order) >= size:
        found, left = published(order, tags, size)
        groups += found
        order = left[1:]
    return groups


@pytest.mark.parametrize("size", [2, 3, 4])
def test_groups_equal_the_oracle_and_begin_with_the_published_ones(size):
    further = 0
    for trial in range(200):
        draw = random.Random(trial)
        tags = {i: draw.sample(range(6), draw.randint(1, 2)) for i in range(draw.randint(3, 60))}
        order = list(tags)
        draw.shuffle(order)
        groups, theirs = list(common_class_groups(order, tags, size)), published(order, tags, size)[0]
        assert groups == oracle(order, tags, size)
        assert groups[: len(theirs)] == theirs
        further += len(groups) - len(theirs)
        used = [i for group in groups for i in group]
        assert len(used) == len(set(used))
        assert all(set(tags[a]) & set(tags[b]) for group in groups for a in group for b in group)
    assert further > 0


def test_a_lonely_image_ends_no_walk():
    ids = [f"i{number:03d}" for number in range(101)]
    tags = dict.fromkeys(ids, (8,))
    tags["i050"] = (20,)
    groups = list(common_class_groups(ids, tags, 2))
    assert sorted(image for group in groups for image in group) == sorted(set(ids) - {"i050"})
    assert groups[:25] == published(ids, tags, 2)[0][:25]
    assert lonely_images(ids, tags) == ["i050"]
    assert lonely_images("abc", {"a": (1,), "b": (1, 2), "c": (3, 4)}) == ["c"]


def test_random_groups_ignore_classes():
    assert list(random_groups(list("abcde"), TAGS, 2)) == [("a", "b"), ("c", "d")]


def test_random_pairs_are_never_twice_the_same():
    ids = [f"i{n}" for n in range(6)]
    tags = {name: (1,) if number < 4 else (2,) for number, name in enumerate(ids)}
    pairs = list(random_pairs(ids, tags, "common", 0))
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) > 3
    assert all(tags[a] == tags[b] for a, b in pairs)
    assert pairs == list(random_pairs(ids, tags, "common", 0)) != list(random_pairs(ids, tags, "common", 1))


def test_batches_drop_the_incomplete_last_one():
    assert batches_of_groups(list("abcdefg"), TAGS, 2, 4) == [[("a", "c"), ("b", "e")]]


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="grouping: 'any', expected one of common, random"):
        batches_of_groups(["a"], TAGS, 2, 4, "any")
    with pytest.raises(ValueError, match="batch: 5 images, expected a multiple of the group size 2"):
        batches_of_groups(["a"], TAGS, 2, 5)
