"""Plans and the loader: same batches whatever the workers, shares of ranks, and errors from worker processes."""

import numpy as np
import pytest

from cian.data.images import write_label
from cian.data.loader import Examples, Loader, Plan
from cian.data.voc import open_dataset
from cian.scenes.generate import generate


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    generate(folder, train=12, val=1, size=64, workers=1)
    return open_dataset(folder)


def plan_of(dataset, **options):
    ids = dataset.read_ids("train_aug")
    return Plan(tuple(ids), dataset.read_tags(ids), **{**dict(batch=4, group_size=2, grouping="random"), **options})


def all_batches(dataset, plan, workers, start=0, labels=None):
    examples = Examples(dataset, labels or dataset.mask_folder, 33, (0.5, 1.0, 1.5))
    with Loader(plan, examples.make_batch, workers, ahead=2) as loader:
        return list(loader.batches(1, start))


def assert_equal(one, other):
    assert [ids for ids, _ in one] == [ids for ids, _ in other]
    for (_, a), (_, b) in zip(one, other):
        assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])


def test_updates_of_an_epoch(dataset):
    tags = dataset.read_tags(dataset.read_ids("train_aug"))
    for grouping in ("random", "common"):
        walk = plan_of(dataset, grouping=grouping).epoch(1)
        assert plan_of(dataset, grouping=grouping, updates=2).epoch(1) == walk[:2]
        more = plan_of(dataset, grouping=grouping, updates=8).epoch(1)
        assert len(more) == 8 and more[: len(walk)] == walk
        flat = [[i for group, _ in batch for i in group] for batch in more]
        assert len({tuple(ids) for ids in flat}) == 8  # other walks
        keys = [key for batch in more for _, keys in batch for key in keys]
        assert len(set(keys)) == 8 * 4  # other crops
        if grouping == "common":
            assert all(set(tags[a]) & set(tags[b]) for batch in more for (a, b), _ in batch)


def test_same_batches_whatever_the_number_of_workers(dataset):
    plan = plan_of(dataset)
    here = all_batches(dataset, plan, 0)
    assert len(here) == 3 and here[0][1][0].shape == (4, 3, 33, 33) and here[0][1][1].shape == (4, 5, 5)
    assert_equal(here, all_batches(dataset, plan, 1))
    assert_equal(here, all_batches(dataset, plan, 2))


def test_an_epoch_can_be_entered_anywhere(dataset):
    plan = plan_of(dataset)
    assert_equal(all_batches(dataset, plan, 0)[2:], all_batches(dataset, plan, 0, start=2))


def test_epochs_and_seeds_differ(dataset):
    plan, other = plan_of(dataset), plan_of(dataset, seed=1)
    orders = [[group for batch in p.epoch(e) for group, _ in batch] for p, e in ((plan, 0), (plan, 1), (other, 0))]
    assert orders[0] != orders[1] and orders[0] != orders[2]
    assert plan.epoch(0) == plan.epoch(0)


def test_ranks_share_every_batch_in_order(dataset):
    whole = plan_of(dataset).epoch(0)
    shares = [plan_of(dataset, rank=rank, ranks=2).epoch(0) for rank in (0, 1)]
    assert [a + b for a, b in zip(*shares)] == whole
    with pytest.raises(ValueError, match="2 groups cannot be shared by 3 workers"):
        plan_of(dataset, ranks=3).epoch(0)


def test_a_list_too_short_for_a_batch(dataset):
    with pytest.raises(ValueError, match="no batch of 16 images in groups of 2 can be made from the 12 images"):
        plan_of(dataset, batch=16).epoch(0)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_label_of_another_size_names_the_file(dataset, tmp_path, workers):
    for image_id in dataset.read_ids("train_aug"):
        write_label(tmp_path / f"{image_id}.png", np.zeros((5, 5)))
    with pytest.raises(ValueError, match=r"scene.*\.png|\.png.*size"):
        all_batches(dataset, plan_of(dataset), workers, labels=tmp_path)
